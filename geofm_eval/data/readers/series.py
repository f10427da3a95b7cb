"""Common code of time series readers: dates, bands by name, arrays, and empty pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import canonical
from geofm_eval.data.readers.files import read_or_explain
from geofm_eval.errors import ContractError, DataError


def dates_of(task: TaskSpec) -> int:
    """Return the number of dates that a time series task declares.

    Raises:
        ContractError: the task declares none.
    """
    if task.dates is None:
        raise ContractError(
            f"task '{task.slug}': reader '{task.reader}' reads series; set dates to the number of images per sample"
        )
    return task.dates


def band_positions(task: TaskSpec, stored: Sequence[str], where: object) -> list[int]:
    """Return the position of each of the task's bands among the bands of a file.

    Args:
        task: declares its bands, all or some of the file's.
        stored: bands of the file in file order.
        where: file or layout, for messages.

    Raises:
        ContractError: the file lacks a band.
    """
    found = {canonical(name): position for position, name in enumerate(stored)}
    missing = [name for name in task.bands if canonical(name) not in found]
    if missing:
        raise ContractError(
            f"task '{task.slug}': {where} has no band {', '.join(missing)}; choose bands of {', '.join(stored)}"
        )
    return [found[canonical(name)] for name in task.bands]


def load_array(path: Path) -> npt.NDArray[Any]:
    """Open a ``.npy`` file as a memory map.

    Raises:
        DataError: the file cannot be read, or holds Python objects or complex values.
    """
    failures = (OSError, ValueError, EOFError, OverflowError, MemoryError, RecursionError, SyntaxError)
    array = read_or_explain(path, "npy array", lambda: np.load(path, mmap_mode="r", allow_pickle=False), failures)
    if array.dtype.kind not in "biufU":
        raise DataError(f"{path}: dtype is {array.dtype}, expected real numbers. Write the array again as real numbers")
    return array


def without_empty(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Mark pixels that are zero in every band as no data; zero in some bands is a dark pixel.

    Args:
        pixels: (..., bands, height, width) stored values.

    Returns:
        The values as float32, NaN at empty pixels.
    """
    empty = (pixels == 0).all(axis=-3, keepdims=True)
    return np.where(empty, np.float32(np.nan), pixels.astype(np.float32))
