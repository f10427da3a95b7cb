"""Running the suite under a variant: a run of its own, from an empty cache, that goes on where it was interrupted."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.studies.trust.machines.facts import Facts, numbers_of, read_facts, write_facts
from benchmarks.studies.trust.machines.switches import DEFAULT, Variant, described
from geofm_eval.environment import provenance
from geofm_eval.errors import DataError

EVERYTHING, PROBES = "benchmarks", "benchmarks/test_probe.py"
"""What ``make bench`` collects, and the closed probes of it."""

BENCH = ("--suite", "bench", "-m", "not dense")
"""Selection of ``make bench``; later options of the same name replace these."""

FINISHED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
"""Statuses of pytest whose session reached its end: all passed, some failed."""


@dataclass(frozen=True)
class Workplace:
    """Where and how variants are run.

    Args:
        root: of the checkout; runs are written to ``reports/runs`` below it.
        name: of the folder that results are kept in, and what names of runs begin with.
        python: interpreter of the suite.
        workers: processes of pytest-xdist.
        dense: the dense probes too.
        options: of pytest, behind those of ``make bench``.
        base: environment that variants change.
    """

    root: Path
    name: str
    python: str
    workers: int
    dense: bool
    options: tuple[str, ...]
    base: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the results of finished variants are kept."""
        return self.root / "reports" / "runs" / self.name

    @property
    def selection(self) -> tuple[str, ...]:
        """What results of this workplace are about: those of another selection are not compared."""
        return (*(("dense",) if self.dense else ()), *self.options)

    def result(self, variant: Variant) -> Path:
        """The file that says that a variant is finished."""
        return self.folder / f"{variant.name}.json"

    def run(self, variant: Variant) -> str:
        """Name of the run of a variant."""
        return f"{self.name}-{variant.name}"

    def sessions(self, variant: Variant) -> list[list[str]]:
        """Commands of a variant: ``make bench`` as a whole by default, its closed probes under every other variant."""
        what = EVERYTHING if variant.name == DEFAULT else PROBES
        selections = [(what, *BENCH)]
        if self.dense:
            selections.append((PROBES, "--suite", "bench", "-m", "dense"))
        how = ("-n", str(self.workers), "--threads", str(variant.threads), "--run", self.run(variant), "--resume", "-q")
        return [[self.python, "-m", "pytest", *own, *self.options, *how] for own in selections]


def finished(place: Workplace, variant: Variant) -> Facts | None:
    """What an earlier call found with this code; None where the variant is still to be run.

    Raises:
        DataError: it was run with another selection.
    """
    path = place.result(variant)
    if not path.exists():
        return None
    facts = read_facts(path)
    if tuple(facts.selection) != place.selection:
        raise DataError(
            f"{path}: was run with {' '.join(facts.selection) or 'the usual selection'}, asked for is "
            f"{' '.join(place.selection) or 'the usual one'}: choose another --name, or delete the file"
        )
    return facts if facts.code == present_code() else None


def present_code() -> str:
    """The commit of the checkout, with ``+changes`` where tracked files differ from it; empty where unknown."""
    code = provenance()["code"]
    return f"{code['commit'] or ''}{'+changes' if code['dirty'] else ''}"


def all_finished(place: Workplace) -> list[Facts]:
    """Every result of the folder, the default variant first, the others in the order in which they ended.

    Raises:
        DataError: a file that is no result.
    """
    paths = sorted(place.folder.glob("*.json"), key=lambda path: (path.stem != DEFAULT, path.stat().st_mtime))
    return [read_facts(path) for path in paths]


def measure(place: Workplace, variant: Variant) -> Facts:
    """Run a variant, or what remains of it, and keep the result.

    Raises:
        SystemExit: pytest did not reach its end; the same call goes on.
    """
    run, cache = place.root / "reports" / "runs" / place.run(variant), place.folder / "cache" / variant.name
    resumed = run.exists()
    if not resumed:
        shutil.rmtree(cache, ignore_errors=True)  # what an older run left would not be computed under this variant
    environment = {**variant.environment(place.base), "GEOFM_CACHE": str(cache)}
    machine = described(place.python, environment, place.root)
    start = time.monotonic()
    status = max(_session(place, variant, command, environment) for command in place.sessions(variant))
    facts = Facts(
        variant=variant.name,
        title=variant.title,
        machine=machine,
        selection=place.selection,
        code=present_code(),
        status=status,
        seconds=time.monotonic() - start,
        resumed=resumed,
        **numbers_of(run),
    )
    write_facts(facts, place.result(variant))
    shutil.rmtree(cache, ignore_errors=True)
    return facts


def _session(place: Workplace, variant: Variant, command: Sequence[str], environment: Mapping[str, str]) -> int:
    place.folder.mkdir(parents=True, exist_ok=True)
    log = place.folder / f"{variant.name}.log"
    with log.open("a", encoding="utf-8") as file:
        try:
            status = subprocess.run(
                command, cwd=place.root, env=dict(environment), stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        except KeyboardInterrupt:
            status = pytest.ExitCode.INTERRUPTED
    if status not in FINISHED:
        raise SystemExit(
            f"{variant.name}: pytest ended with status {int(status)} before its cases did; see {log}. "
            "The same command goes on where it stopped."
        )
    return int(status)


def here(python: str, options: Sequence[str], name: str, workers: int, dense: bool) -> Workplace:
    """The workplace of this checkout, with the variables of this process."""
    root = Path(__file__).resolve().parents[4]
    return Workplace(root, name, python, workers, dense, tuple(options), os.environ)
