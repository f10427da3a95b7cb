"""Records on disk: ``<run>/<kind>/<id>.json`` with a checksum, and ``.npz`` with per-sample outcomes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from pydantic import ValidationError

from geofm_eval.errors import DataError
from geofm_eval.garbage import uncollected
from geofm_eval.plurals import counted
from geofm_eval.records.keys import record_path
from geofm_eval.records.manifest import PARTS
from geofm_eval.records.outcomes import VALIDATION, arrays_sha256, checked_outcomes, checked_resamples, npz_bytes
from geofm_eval.records.schema import SCHEMA_VERSION, Record
from geofm_eval.records.verified import Verified, problem_with_scores
from geofm_eval.seals import CHECKSUM, checksum_of, parse_json, sealed
from geofm_eval.store import write_bytes, write_json


def _ranges_per_fraction(older: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 to 2: one range per label fraction instead of one per case, which no record ever had."""
    kept = {name: value for name, value in older.items() if name != "expected_range"}
    return {**kept, "schema_version": 2, "expected_ranges": {}}


def _with_checksum(older: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 to 3: records have a checksum; None for older ones."""
    return {**older, "schema_version": 3, CHECKSUM: None}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _ranges_per_fraction, 2: _with_checksum}
"""From schema version v to v + 1; readers apply them in turn, writers only write the newest."""

OUTPUTS = ("tables", "figures", PARTS)
"""Folders of a run without records."""


def write_record(record: Record, outcomes: Mapping[str, npt.NDArray[Any]] | None, run_dir: Path) -> Path:
    """Write a record after its per-sample outcomes, so that a record always has them, and return its path.

    Args:
        record: record; its ``outcomes_sha256`` and ``resamples_sha256`` are set here.
        outcomes: ``ids`` (n,) str, optionally ``groups`` (n,) str, and per label fraction ``correct_<fraction>``
            (draws, n) with 0 or 1; for a regression ``prediction_<fraction>`` (draws, n) and ``target`` (n,); for a
            dense task ``counts_<fraction>`` (draws or seeds, n, ...). For a probe, optionally ``val_<fraction>`` (B,),
            its validation score on resampled samples. None for a case without scores.
        run_dir: folder of the run.

    Raises:
        ContractError: outcomes do not fit the record's scores.
        StoreError: the disk is full or the folder cannot be written.
    """
    path = record_path(run_dir, record.case.kind, record.case.id)
    hashes: dict[str, str | None] = {"outcomes_sha256": None, "resamples_sha256": None}
    if outcomes is not None:
        items = {name: array for name, array in outcomes.items() if not name.startswith(VALIDATION)}
        arrays = checked_outcomes(record, items)
        resamples = checked_resamples(record, {name: outcomes[name] for name in outcomes if name not in items})
        hashes["outcomes_sha256"] = arrays_sha256(arrays)
        hashes["resamples_sha256"] = arrays_sha256(resamples) if resamples else None
        write_bytes(path.with_suffix(".npz"), npz_bytes(arrays | resamples))
    else:
        path.with_suffix(".npz").unlink(missing_ok=True)
    write_json(path, content_of(record.model_copy(update=hashes)))
    return path


def rewrite_record(record: Record, run_dir: Path) -> None:
    """Write a record of the run with another verdict; its per-sample outcomes stay unchanged.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    write_json(record_path(run_dir, record.case.kind, record.case.id), content_of(record))


def content_of(record: Record) -> dict[str, Any]:
    """Return the content of a record's file: its fields and a checksum."""
    return sealed(record.model_dump(mode="json"))


def read_record(path: Path) -> Record:
    """Read one record, and migrate it from an older schema.

    Raises:
        DataError: the file is damaged, is not a record, has impossible values, or has a newer schema than this version.
    """
    return _read(path)[0]


def read_checked(run_dir: Path, path: Path) -> Record:
    """Read one record, and check that its scores follow from its per-sample outcomes.

    Raises:
        DataError: see :func:`read_record`; or the outcomes are missing or damaged, or give other scores.
    """
    record = read_record(path)
    problem = problem_with_scores(run_dir, record)
    if problem is not None:
        raise DataError(problem.text)
    return record


def _read(path: Path) -> tuple[Record, str]:
    try:
        content = parse_json(path.read_bytes())
        found = checksum_of(content) if isinstance(content, dict) else ""
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not a readable record ({str(error)[:120]}): {_CURE}") from None
    if not isinstance(content, dict) or type(content.get("schema_version")) is not int:
        raise DataError(f"{path}: not a record: expected a JSON object with a schema_version")
    try:
        return Record.model_validate(_migrate(path, content, found)), found
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:80] or "record"
        raise DataError(
            f"{path}: field '{where}': {first['msg'][:160]} (errors in all: {error.error_count()}): {_CURE}"
        ) from None
    except (RecursionError, OverflowError) as error:
        raise DataError(f"{path}: not a readable record ({str(error)[:120]}): {_CURE}") from None


LONGEST_PROBLEM = 300
"""Characters of a problem that is shown in a message about a run."""

_CURE = "delete it and run the case again with --resume"


def record_files(run_dir: Path) -> list[Path]:
    """Return the files of a run's records, in the order of kind and case id."""
    found = sorted(run_dir.glob("*/*.json"))
    return [path for path in found if path.parent.name not in OUTPUTS and not path.name.startswith(".")]


def read_records(run_dir: Path) -> tuple[list[Record], list[str]]:
    """Read every record of a run, in the order of kind and case id; scores are recomputed from per-item outcomes.

    Returns:
        The records that could be read, and one sentence per file that is not what it was written as. A record whose
        scores are not those of its outcomes is left out; one whose outcomes are damaged keeps its own scores.

    Raises:
        DataError: the folder does not exist.
    """
    if not run_dir.is_dir():
        raise DataError(f"{run_dir}: no such run: give the folder of a run, or its name below reports/runs")
    with uncollected():
        return _read_all(run_dir)


def _read_all(run_dir: Path) -> tuple[list[Record], list[str]]:
    records: list[Record] = []
    problems: list[str] = []
    verified = Verified(run_dir)
    for path in record_files(run_dir):
        try:
            record, checksum = _read(path)
            problem = verified.problem(_placed(record, path), checksum)
        except DataError as error:
            problems.append(str(error))
            continue
        if problem is not None:
            problems.append(problem.text)
        if problem is None or not problem.contradicts:
            records.append(record)
    verified.keep()
    return records, problems


def shown_problems(problems: Sequence[str]) -> str:
    """Return the first of the problems of :func:`read_records`, cut if it is long, and the number of the others."""
    first, more = problems[0], len(problems) - 1
    first = first if len(first) <= LONGEST_PROBLEM else f"{first[: LONGEST_PROBLEM - 2]}.."
    return f"{first} (and {counted(more, 'more problem')})" if more else first


def _migrate(path: Path, content: dict[str, Any], checksum: str) -> dict[str, Any]:
    version = content["schema_version"]
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: found record schema {_short(version)}, expected at most {SCHEMA_VERSION}: upgrade geofm-eval"
        )
    whole = version == SCHEMA_VERSION and content.get(CHECKSUM) == checksum
    if not whole and (version == SCHEMA_VERSION or CHECKSUM in content):
        raise DataError(f"{path}: its content does not match its checksum, because it was damaged or edited: {_CURE}")
    while version < SCHEMA_VERSION:
        if version not in MIGRATIONS:
            raise DataError(f"{path}: found record schema {_short(version)}, expected 1 to {SCHEMA_VERSION}")
        content = MIGRATIONS[version](content)
        version += 1
    return content


def _short(version: int) -> str:
    return str(version) if abs(version) < 10**6 else "of very many digits"


def _placed(record: Record, path: Path) -> Record:
    if (record.case.kind, record.case.id) != (path.parent.name, path.stem):
        raise DataError(
            f"{path}: the file has the record of {record.case.kind}/{record.case.id}: move it there or delete it"
        )
    return record
