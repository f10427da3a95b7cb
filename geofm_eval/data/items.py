"""What a reader of an on-disk layout hands over: items with stable ids, and the splits that they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

NAMES = ("train", "val", "test")
"""The three splits of every task."""

Definition = Literal["official", "custom"]
"""Who split the data: the data set's publishers, or the folder's own split file."""


@dataclass(frozen=True)
class Item:
    """One image with its label.

    Args:
        id: stable name, such as ``Forest_12``.
        path: the file.
        label: position of its class in the task's ``classes``.
        group: scene or event that it was cut from, where known.
        lonlat: longitude and latitude of its centre in degrees, where known.
    """

    id: str
    path: Path
    label: int
    group: str | None = None
    lonlat: tuple[float, float] | None = None


@dataclass(frozen=True)
class Listing:
    """What a data set's folder holds according to its split files.

    Args:
        root: the folder.
        items: items of every split.
        definition: who split the data.
        load: reads the pixels of one file as (bands, height, width) in stored values and file band order.
    """

    root: Path
    items: Mapping[str, tuple[Item, ...]]
    definition: Definition
    load: Callable[[Path], npt.NDArray[Any]]
