"""``geofm-eval expect --reseal``: accept ranges that were edited by hand, with a reason that is kept in the file."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from geofm_eval.errors import ContractError, DataError
from geofm_eval.expected.files import range_path, read_unsealed, write_ranges
from geofm_eval.expected.ranges import Ranges
from geofm_eval.plurals import counted


def reseal(folder: Path, tasks: Sequence[str], why: str) -> str:
    """Seal the ranges of some tasks as they are now, and return a line per file.

    An edited range keeps its numbers and gets the reason as its origin; a file without any seals only gets seals.

    Raises:
        ContractError: no reason or no task is given.
        DataError: a file is missing or invalid.
        StoreError: a file cannot be written.
    """
    if not why.strip():
        raise ContractError('expect --reseal needs a reason, which is kept in the range file: add --why "..."')
    if not tasks:
        raise ContractError("expect --reseal needs the tasks whose range files were edited, for example eurosat_sim")
    return "\n".join(_resealed(range_path(folder, task), why.strip()) for task in tasks)


def _resealed(path: Path, why: str) -> str:
    if not path.is_file():
        raise DataError(f"{path}: there is no such range file; name a task that has one")
    ranges, edited = read_unsealed(path)
    if len(edited) == len(ranges.ranges):
        write_ranges(ranges, path)
        return f"{path.stem}: {counted(len(edited), 'range')} sealed without changes"
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    changed = {
        key: replace(found, origin=replace(found.origin, why=why, date=today)) if key in edited else found
        for key, found in ranges.ranges.items()
    }
    write_ranges(Ranges(ranges.task, changed), path)
    names = ", ".join(key.name for key in sorted(edited))
    return f"{path.stem}: {counted(len(edited), 'edited range')} of {len(changed)} sealed: {names}"
