"""Run the suite under a variant: in a run of its own, from an empty cache, resumable."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.studies.trust.machines.facts import Facts, numbers_of, read_facts, write_facts
from benchmarks.studies.trust.machines.switches import DEFAULT, MachineVariant, described
from geofm_eval.environment import process_provenance
from geofm_eval.errors import DataError

EVERYTHING, PROBES = "benchmarks", "benchmarks/test_probe.py"
"""Test paths of ``make bench``, and of its probes."""

BENCH = ("--suite", "bench", "-m", "not dense")
"""Options of ``make bench``; later options of the same name replace these."""

FINISHED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
"""Exit statuses of a pytest session that finished."""


@dataclass(frozen=True)
class Workplace:
    """Where and how variants are run.

    Args:
        root: root of the checkout; runs are written to ``reports/runs``.
        name: folder of the results, and prefix of the names of runs.
        python: interpreter of the suite.
        workers: processes of pytest-xdist.
        dense: whether to run the dense probes too.
        options: additional pytest options.
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
        """Folder of the results of finished variants."""
        return self.root / "reports" / "runs" / self.name

    @property
    def selection(self) -> tuple[str, ...]:
        """Selected part of the suite; results of different selections are not compared."""
        return (*(("dense",) if self.dense else ()), *self.options)

    def result(self, variant: MachineVariant) -> Path:
        """Return the result file of a variant; it exists once the variant is finished."""
        return self.folder / f"{variant.name}.json"

    def run(self, variant: MachineVariant) -> str:
        """Return the name of the run of a variant."""
        return f"{self.name}-{variant.name}"

    def sessions(self, variant: MachineVariant) -> list[list[str]]:
        """Return the commands of a variant: all of ``make bench`` for the default one, its probes for the others."""
        what = EVERYTHING if variant.name == DEFAULT else PROBES
        selections = [(what, *BENCH)]
        if self.dense:
            selections.append((PROBES, "--suite", "bench", "-m", "dense"))
        how = ("-n", str(self.workers), "--threads", str(variant.threads), "--run", self.run(variant), "--resume", "-q")
        return [[self.python, "-m", "pytest", *own, *self.options, *how] for own in selections]


def finished(place: Workplace, variant: MachineVariant) -> Facts | None:
    """Return the result of an earlier call with the same code; None if the variant is not finished.

    Raises:
        DataError: the variant was run with another selection.
    """
    path = place.result(variant)
    if not path.exists():
        return None
    facts = read_facts(path)
    if tuple(facts.selection) != place.selection:
        raise DataError(
            f"{path}: was run with {' '.join(facts.selection) or 'the default selection'}, not with "
            f"{' '.join(place.selection) or 'the default one'}; choose another --name, or delete the file"
        )
    return facts if facts.code == present_code() else None


def present_code() -> str:
    """Return the commit of the checkout, with ``+changes`` if tracked files differ from it; empty if unknown."""
    code = process_provenance()["code"]
    return f"{code['commit'] or ''}{'+changes' if code['dirty'] else ''}"


def all_finished(place: Workplace) -> list[Facts]:
    """Return every result of the folder, the default variant first, the others in the order in which they ended.

    Raises:
        DataError: a file is not a result.
    """
    paths = sorted(place.folder.glob("*.json"), key=lambda path: (path.stem != DEFAULT, path.stat().st_mtime))
    return [read_facts(path) for path in paths]


def measure(place: Workplace, variant: MachineVariant) -> Facts:
    """Run or resume a variant, and store the result.

    Raises:
        SystemExit: pytest did not finish; the same call resumes.
    """
    run, cache = place.root / "reports" / "runs" / place.run(variant), place.folder / "cache" / variant.name
    resumed = run.exists()
    if not resumed:
        shutil.rmtree(cache, ignore_errors=True)  # results of an older run would not be computed under this variant
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


def _session(place: Workplace, variant: MachineVariant, command: Sequence[str], environment: Mapping[str, str]) -> int:
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
            f"{variant.name}: pytest ended with status {int(status)} before all cases had run; see {log}. "
            "Repeat the command to resume."
        )
    return int(status)


def workplace_here(python: str, options: Sequence[str], name: str, workers: int, dense: bool) -> Workplace:
    """Return the workplace of this checkout, with the environment of this process."""
    root = Path(__file__).resolve().parents[4]
    return Workplace(root, name, python, workers, dense, tuple(options), os.environ)
