"""One trial per kind of file: damage it, read it as the library does, and return the verdict."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.studies.trust.faults import world
from benchmarks.studies.trust.faults.damage import Trial, Verdict, damaged
from geofm_eval.errors import GeofmError
from geofm_eval.expected import read_ranges
from geofm_eval.paths import geofm_cache
from geofm_eval.records import (
    Record,
    pack,
    read_manifest,
    read_outcomes,
    read_records,
    read_resamples,
    read_skips,
    record_path,
    unpack,
)
from geofm_eval.records.files import content_of
from geofm_eval.seals import unseal_bytes
from geofm_eval.store import content_hash


def trial_of(path: Path, look: Callable[[], Verdict]) -> Trial:
    """Make a trial that damages one file and reads it."""
    raw = path.read_bytes()

    def trial(rng: random.Random) -> Verdict:
        path.write_bytes(damaged(raw, rng))
        try:
            return look()
        except GeofmError:
            return "reported"
        except Exception:
            return "traceback"
        finally:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)

    return trial


def any_of(trials: list[Trial]) -> Trial:
    """Make a trial that damages one of several files."""
    return lambda rng: rng.choice(trials)(rng)


def records(folder: Path) -> Trial:
    """Damage a record: the others are read, and it is unchanged or rejected by name."""
    run = world.write_run(folder / "run")
    whole, _ = read_records(run)
    paths = [record_path(run, record.case.kind, record.case.id) for record in whole]
    return any_of([trial_of(path, lambda path=path: _run_verdict(run, whole, path)) for path in paths])  # type: ignore[misc]


def outcomes(folder: Path) -> Trial:
    """Damage per-sample outcomes and resamples: they are unchanged or rejected by name."""
    run = world.write_run(folder / "run")
    whole, _ = read_records(run)
    paths = [record_path(run, record.case.kind, record.case.id).with_suffix(".npz") for record in whole]
    return any_of([trial_of(path, lambda path=path: _run_verdict(run, whole, path)) for path in paths])  # type: ignore[misc]


def _run_verdict(run: Path, whole: list[Record], path: Path) -> Verdict:
    found, problems = read_records(run)
    named = any(str(path) in problem for problem in problems)
    before = {record.case.id: record for record in whole}
    after = {record.case.id: record for record in found}
    if set(before) - set(after) - {path.stem}:
        return "lost"
    if any(_digest(content_of(record)) != _digest(content_of(before[name])) for name, record in after.items()):
        return "silently wrong"
    if path.stem not in after:
        return "reported" if named else "silently wrong"
    if path.suffix == ".npz" and not named:
        return "right" if _arrays_of(run, after[path.stem]) == world_arrays(before[path.stem]) else "silently wrong"
    return "reported" if named else "right"


def _digest(content: dict[str, object]) -> str:
    return content_hash(content)


def _arrays_of(run: Path, record: Record) -> tuple[str | None, str | None]:
    """Read the arrays, which compares their hashes with those of the record."""
    read_outcomes(run, record)
    read_resamples(run, record)
    return record.outcomes_sha256, record.resamples_sha256


def world_arrays(record: Record) -> tuple[str | None, str | None]:
    """Return the original hashes of the arrays."""
    return record.outcomes_sha256, record.resamples_sha256


def plans(folder: Path) -> Trial:
    """Damage the plan or the skips of a run."""
    run = world.write_run(folder / "run")
    plan, (skips, _) = read_manifest(run), read_skips(run)

    def look() -> Verdict:
        found, problems = read_skips(run)
        if read_manifest(run) != plan or (found != skips and not problems):
            return "silently wrong"
        return "reported" if problems else "right"

    return any_of([trial_of(run / "run.json", look), trial_of(run / "skipped-main.jsonl", look)])


def manifests(folder: Path) -> Trial:
    """Damage the manifest of a cache directory: it is rebuilt with a warning."""
    return _cached(folder, (world.MANIFEST,))


def caches(folder: Path) -> Trial:
    """Damage files of a cache directory."""
    return _cached(folder, ("features.npy", "ids.json"))


def _cached(folder: Path, names: tuple[str, ...]) -> Trial:
    final = folder / "key"
    whole = world.stored(final)
    files = {path.name: path.read_bytes() for path in final.iterdir()}

    def look() -> Verdict:
        found = world.stored(final)
        same = found["result"] == whole["result"] and _contents(final, files) == _contents(None, files)
        rebuilt = len(list(folder.glob("key.damaged*"))) > 0
        for aside in folder.glob("key.damaged*"):
            shutil.rmtree(aside)
        return "silently wrong" if not same else "reported" if rebuilt else "right"

    return any_of([trial_of(final / name, look) for name in names])


def _contents(final: Path | None, files: dict[str, bytes]) -> dict[str, bytes]:
    names = [name for name in files if name != world.MANIFEST]
    return {name: files[name] if final is None else (final / name).read_bytes() for name in names}


def memories(folder: Path) -> Trial:
    """Damage cached hashes of data and of verified records."""
    path = folder / "remembered.json"
    whole = world.remembered(path)
    return trial_of(path, lambda: "right" if world.remembered(path) == whole else "silently wrong")


def checkpoints(folder: Path) -> Trial:
    """Damage a training checkpoint."""
    path = folder / "checkpoint.pt"
    whole = world.write_checkpoint(path)

    def look() -> Verdict:
        try:
            return "right" if unseal_bytes(path.read_bytes()) == whole else "silently wrong"
        except ValueError:
            return "reported"  # training restarts with a warning

    return trial_of(path, look)


def archives(folder: Path) -> Trial:
    """Damage an archive of a run: everything is read, or an error names it."""
    run = world.write_run(folder / "run")
    path = folder / "run.tar.xz"
    pack(run, path, {record.case.id for record in read_records(run)[0]})
    whole = [_digest(content_of(record)) for record in read_records(unpack(path))[0]]

    def look() -> Verdict:
        try:
            found, problems = read_records(unpack(path))
        finally:
            shutil.rmtree(geofm_cache() / "references", ignore_errors=True)
        if problems or len(found) < len(whole):
            return "lost"
        return "right" if [_digest(content_of(record)) for record in found] == whole else "silently wrong"

    return trial_of(path, look)


def ranges(folder: Path) -> Trial:
    """Damage a file of expected ranges."""
    path = world.write_expected(folder / "colours.toml")
    whole = read_ranges(path)
    return trial_of(path, lambda: "right" if read_ranges(path) == whole else "silently wrong")


KINDS: dict[str, tuple[Callable[[Path], Trial], int]] = {
    "records": (records, 300),
    "outcomes": (outcomes, 200),
    "plans and skips": (plans, 100),
    "manifests": (manifests, 150),
    "caches": (caches, 100),
    "memories": (memories, 60),
    "checkpoints": (checkpoints, 150),
    "archives": (archives, 100),
    "ranges": (ranges, 200),
}
"""Trial and number of repetitions by kind."""
