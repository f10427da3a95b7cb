"""Per-sample outcomes of a record, ``<run>/<kind>/<id>.npz``: checked when written, hashed, limited in size."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.errors import ContractError, DataError
from geofm_eval.metric import METRICS, SUMS, metric_named
from geofm_eval.plurals import counted
from geofm_eval.records.keys import record_path
from geofm_eval.records.schema import Record
from geofm_eval.records.scores import Score
from geofm_eval.stats.scores import prediction_dtype

CORRECT, PREDICTION = "correct_", "prediction_"
"""Prefixes of per-sample outcomes of classification and regression, for example ``correct_1.0``."""

COUNTS = "counts_"
"""Prefix of counts over the pixels of every image of a dense task."""

TARGET = "target"
"""Name of the array of a regression target."""

FOLD = "fold"
"""Name of the array with the fold of every sample of cross-validated data."""

VALIDATION = "val_"
"""Prefix of validation scores on resampled validation samples, in the same file.

They have their own hash: a committed run keeps them for every tap, and per-sample outcomes for few.
"""

MOST_BYTES = 2 * 2**30
"""Limit of the unpacked size; a small file may claim any size."""

_FINITE = "leave out the samples without outcomes, or measure the case again"


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of one case on each of its test samples.

    Args:
        ids: (n,) str, sample ids in split order.
        groups: (n,) str, scene or event of every sample; None if unknown.
        correct: per label fraction, (draws, n) uint8; empty for regression.
        prediction: per label fraction, (draws, n) float32, or float64 if float32 is too coarse for the target; with
            shuffle splits one row per shuffle, NaN for samples that it did not test. Empty for classification.
        target: (n,) float64; None for classification.
        counts: per label fraction of a dense task, (seeds, n, K, K) int64 confusion counts (rows: true class), or
            (seeds, n, 5) float64 ``metric.SUMS``. Empty for tasks with one label per sample.
        folds: (n,) uint8, fold that tested every sample; None if not cross-validated.
    """

    ids: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_] | None
    correct: dict[str, npt.NDArray[np.uint8]]
    prediction: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    target: npt.NDArray[np.float64] | None = None
    counts: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    folds: npt.NDArray[np.uint8] | None = None


def read_outcomes(run_dir: Path, record: Record) -> Outcomes | None:
    """Read the per-sample outcomes of a record; None if it has none.

    Raises:
        DataError: the file is missing or damaged, or belongs to another version of the record.
    """
    if record.outcomes_sha256 is None:
        return None
    arrays = _read_arrays(run_dir, record, record.outcomes_sha256, resamples=False)
    found = {
        prefix: {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in (CORRECT, PREDICTION, COUNTS)
    }
    return Outcomes(
        arrays["ids"],
        arrays.get("groups"),
        found[CORRECT],
        found[PREDICTION],
        arrays.get(TARGET),
        found[COUNTS],
        arrays.get(FOLD),
    )


def names_outcomes(path: Path) -> bool:
    """Return whether a file has arrays other than validation resamples; False if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(not name.startswith(VALIDATION) for name in file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_resamples(run_dir: Path, record: Record) -> dict[str, npt.NDArray[np.float32]]:
    """Read the validation scores of a record on resampled validation samples.

    Returns:
        (B,) per label fraction; resample b has the same validation samples in every record of a task. Empty if the
        record has none, because it is of an older version or was not validated.

    Raises:
        DataError: the file is missing or damaged, or belongs to another version of the record.
    """
    if record.resamples_sha256 is None:
        return {}
    arrays = _read_arrays(run_dir, record, record.resamples_sha256, resamples=True)
    return {name.removeprefix(VALIDATION): array for name, array in arrays.items()}


def resamples_alone(run_dir: Path, record: Record) -> bytes:
    """Return the ``.npz`` of a record without per-sample outcomes, not compressed, because archives compress better.

    Raises:
        DataError: as in :func:`read_resamples`.
    """
    buffer = io.BytesIO()
    arrays = {f"{VALIDATION}{key}": array for key, array in read_resamples(run_dir, record).items()}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _read_arrays(run_dir: Path, record: Record, sha256: str, resamples: bool) -> dict[str, npt.NDArray[Any]]:
    """Read the validation resamples, or all other arrays, and compare their hash."""
    path = record_path(run_dir, record.case.kind, record.case.id).with_suffix(".npz")
    what = "validation resamples" if resamples else "per-sample outcomes"
    try:
        with zipfile.ZipFile(path) as file:
            members = {member.filename.removesuffix(".npy"): member for member in file.infolist()}
            unpacked = sum(member.file_size for member in file.infolist())
            if unpacked > MOST_BYTES:
                raise ValueError(f"it unpacks to {unpacked} bytes, more than {MOST_BYTES}")
            wanted = [name for name in members if name.startswith(VALIDATION) == resamples]
            arrays = {name: _array(file.read(members[name])) for name in wanted}
    except Exception as error:  # zipfile, zlib and numpy report damage with a dozen unrelated exceptions
        raise DataError(f"{path}: {what} are not readable ({error}): run the case again") from None
    if arrays_sha256(arrays) != sha256:
        raise DataError(f"{path}: {what} differ from those that the record was written with: run the case again")
    return arrays


def _array(content: bytes) -> npt.NDArray[Any]:
    """Return the array of a ``.npy`` file, which cannot be written to.

    ``numpy.load`` would parse every header again, which takes most of its time: the arrays of all records of a task
    have the same few headers.

    Raises:
        ValueError, TypeError, IndexError: the file is no such file, is cut short, or holds Python objects.
    """
    version, digits = content[6], 2 if content[6] == 1 else 4
    start = 8 + digits + int.from_bytes(content[8 : 8 + digits], "little")
    shape, fortran, dtype = _header(content[:start], version)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return np.ndarray(shape, dtype, content, start, order="F" if fortran else "C")


@lru_cache(maxsize=256)
def _header(raw: bytes, version: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether the first axis varies fastest, and the dtype."""
    file = io.BytesIO(raw)
    np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
    return read(file)


def checked_outcomes(record: Record, outcomes: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return outcomes as they are written; ContractError if they do not fit the scores."""
    where = f"outcomes of {record.case.id}"
    dense = any(name.startswith(COUNTS) for name in outcomes)
    regression = not dense and any(_predicts(score.metric) for score in record.scores.values())
    prefix = COUNTS if dense else PREDICTION if regression else CORRECT
    folds = (FOLD,) if record.provenance.protocol == "folds" and not dense else ()
    expected = {"ids", *folds, *((TARGET,) if regression else ()), *(f"{prefix}{key}" for key in record.scores)}
    if set(outcomes) - {"groups"} != expected:
        raise ContractError(
            f"{where}: found arrays {sorted(outcomes)}, expected {sorted(expected)} (groups are optional)"
        )
    arrays = {name: np.asarray(array) for name, array in outcomes.items()}
    for name in {"ids", "groups"} & set(arrays):
        arrays[name] = arrays[name].astype(np.str_)
    items = {name: len(arrays[name]) for name in ("ids", "groups", TARGET, FOLD) if name in arrays}
    if len(set(items.values())) > 1:
        raise ContractError(f"{where}: found lengths {items}, expected equal ones; give one entry per sample")
    shuffled = record.provenance.protocol == "shuffle_splits"
    for key, score in record.scores.items():
        name = f"{prefix}{key}"
        if dense:
            arrays[name] = _checked_counts(f"{where}: {name}", arrays[name], score, items["ids"])
            continue
        arrays[name] = arrays[name].astype(prediction_dtype(arrays[TARGET]) if regression else np.uint8)
        _check_array(f"{where}: {name}", arrays[name], score, items["ids"], shuffled)
    if regression:
        arrays[TARGET] = arrays[TARGET].astype(np.float64)
        if not np.isfinite(arrays[TARGET]).all():
            raise ContractError(f"{where}: the target has values that are not finite; {_FINITE}")
    return arrays


def _predicts(metric: str) -> bool:
    """Whether numbers are predicted, instead of samples being right or wrong."""
    return metric in METRICS and not METRICS[metric].confusion


def checked_resamples(record: Record, given: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return validation resamples as they are written; ContractError if they do not fit the scores."""
    arrays = {name: np.asarray(array, dtype=np.float32) for name, array in given.items()}
    lengths = {array.shape for array in arrays.values()}
    unknown = [name for name in arrays if name.removeprefix(VALIDATION) not in record.scores]
    if unknown or len(lengths) > 1 or any(len(shape) != 1 for shape in lengths):
        raise ContractError(
            f"validation resamples of {record.case.id}: found {sorted(arrays)} of shapes {sorted(lengths)}, expected "
            "one array (B,) per label fraction with a score"
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ContractError(f"validation resamples of {record.case.id} have values that are not finite; {_FINITE}")
    return arrays


def _checked_counts(where: str, array: npt.NDArray[Any], score: Score, items: int) -> npt.NDArray[Any]:
    """Return counts as they are written; reject other numbers of seeds, images or classes."""
    confusions = metric_named(score.metric).confusion
    shape, wanted = array.shape, (len(score.per_draw), items)
    fits = len(shape) == 4 and shape[2] == shape[3] if confusions else len(shape) == 3 and shape[2] == len(SUMS)
    if shape[:2] != wanted or not fits or score.n != items:
        rest = "K, K" if confusions else str(len(SUMS))
        raise ContractError(f"{where} has shape {shape}, expected (seeds, n, {rest}) with (seeds, n) = {wanted}")
    if not np.isfinite(array).all():
        raise ContractError(f"{where} has values that are not finite; {_FINITE}")
    return array.astype(np.int64 if confusions else np.float64)


def _check_array(where: str, array: npt.NDArray[Any], score: Score, items: int, shuffled: bool) -> None:
    """Reject outcomes that do not fit a score; every draw tests every sample, every shuffle some of them."""
    if array.shape != (len(score.per_draw), items):
        raise ContractError(f"{where} has shape {array.shape}, expected (draws, n) = ({len(score.per_draw)}, {items})")
    known = ~np.isnan(array)
    if np.isinf(array).any() or not (shuffled or known.all()):
        raise ContractError(f"{where} has values that are not finite; {_FINITE}")
    tested = int(known.any(axis=0).sum())
    if tested != score.n:
        raise ContractError(
            f"{where} has outcomes of {counted(tested, 'sample')}, expected {score.n}, the scores' n; give the outcome "
            "of every sample that is scored"
        )


def arrays_sha256(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the hash of the arrays, independent of the date in a zip file."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return a compressed ``.npz`` file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
