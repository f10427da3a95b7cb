"""``geofm-eval expect --reseal``: accept ranges that were edited by hand, with a reason that the file keeps."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from geofm_eval.errors import ContractError, DataError
from geofm_eval.expected.files import range_path, read_unsealed, write_ranges
from geofm_eval.expected.ranges import Ranges


def reseal(folder: Path, tasks: Sequence[str], why: str) -> str:
    """Seal the ranges of some tasks as they are now, and return a line per file.

    An edited range keeps its numbers and gets the reason as its origin; a file that never had seals gets them alone.

    Raises:
        ContractError: no reason, or no task.
        DataError: a file is absent, or is not what a range file should be.
        StoreError: a file cannot be written.
    """
    if not why.strip():
        raise ContractError('expect --reseal needs a reason, which the range file keeps: add --why "..."')
    if not tasks:
        raise ContractError("expect --reseal needs the tasks whose range files were edited, such as eurosat_sim")
    return "\n".join(_resealed(range_path(folder, task), why.strip()) for task in tasks)


def _resealed(path: Path, why: str) -> str:
    if not path.is_file():
        raise DataError(f"{path}: no such range file: expected the slug of a task that has one")
    ranges, edited = read_unsealed(path)
    if len(edited) == len(ranges.ranges):
        write_ranges(ranges, path)
        return f"{path.stem}: {len(edited)} ranges sealed as they are"
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    changed = {
        key: replace(found, origin=replace(found.origin, why=why, date=today)) if key in edited else found
        for key, found in ranges.ranges.items()
    }
    write_ranges(Ranges(ranges.task, changed), path)
    names = ", ".join(key.name for key in sorted(edited))
    return f"{path.stem}: {len(edited)} edited of {len(changed)} ranges sealed: {names}"
