"""What a reader of an on-disk layout hands over: items with stable ids, and the splits that they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

NAMES = ("train", "val", "test")
"""The three splits of every task."""

ABSENT = "is absent"
"""How the reason ends for which a reader drops an item that lacks a file: the data are not all here."""

Definition = Literal["official", "custom"]
"""Who split the data: the data set's publishers, or the folder's own split file."""


@dataclass(frozen=True)
class Item:
    """One image, or one time series of images, with its label.

    Args:
        id: stable name, such as ``Forest_12``.
        path: the file, or the first one, that messages name.
        label: position of its class in the task's ``classes``, or the value of a regression target (NaN where the data
            have none: such an item is dropped and counted); None for dense tasks.
        group: scene, event or site that it was cut from, where known.
        lonlat: longitude and latitude of its centre in degrees, where known.
        others: further files that its pixels are read from.
        target: file of the label of every pixel; None for other tasks.
        dates: date of every image of a series, ascending; empty for single images.
        frames: positions of the images of a series in its file; empty where all of them are read.
        rank: its place in the order that the publishers cut their folds in, where they have one.
    """

    id: str
    path: Path
    label: int | float | None
    group: str | None = None
    lonlat: tuple[float, float] | None = None
    others: tuple[Path, ...] = ()
    target: Path | None = None
    dates: tuple[date, ...] = ()
    frames: tuple[int, ...] = ()
    rank: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the item is read from."""
        return (self.path, *self.others, *(() if self.target is None else (self.target,)))


@dataclass(frozen=True)
class Listing:
    """What a data set's folder holds according to its split files.

    Args:
        root: the folder.
        items: items of every split.
        definition: who split the data.
        load: reads the pixels of one item in stored values and file band order: (bands, height, width), or
            (dates, bands, height, width) for a series, in the order of ``Item.dates``. NaN marks what the file itself
            declares as no data.
        load_target: reads the label of every pixel of one item, (height, width): int64 classes with the task's
            ``ignore`` value, or float32 with NaN where there is none; None for tasks with one label per item.
        dropped: ids that the reader left out by split and reason, such as ``{"test": {"label is NaN": ("a", "b")}}``.
    """

    root: Path
    items: Mapping[str, tuple[Item, ...]]
    definition: Definition
    load: Callable[[Item], npt.NDArray[Any]]
    load_target: Callable[[Item], npt.NDArray[Any]] | None = None
    dropped: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
