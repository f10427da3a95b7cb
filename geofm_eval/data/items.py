"""Samples with stable ids and the splits they belong to, as readers of on-disk layouts return them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from geofm_eval.errors import ContractError

NAMES = ("train", "val", "test")
"""The three splits of every task."""

ABSENT = "is absent"
"""Ending of the reason for dropping a sample that lacks a file: the copy of the data is incomplete."""

Definition = Literal["official", "custom", "own"]
"""Who split the data: the publishers of the data set, the folder's own split file, or (``own``) a user's own data."""


@dataclass(frozen=True, slots=True)
class Item:
    """One sample: an image or a time series of images, with its label.

    Args:
        id: stable name, for example ``Forest_12``.
        path: the file, or the first of several, that messages name.
        label: position of its class in the task's ``classes``, or the value of a regression target (NaN if the data
            have none; such a sample is dropped and counted); None for dense tasks.
        group: scene, event or site that it was cut from, if known.
        lonlat: longitude and latitude of its centre in degrees, if known.
        others: further files that hold its pixels.
        target: file of the per-pixel labels; None for other tasks.
        dates: date of every image of a series, ascending; empty for single images.
        frames: positions of the selected images in the file of a series; empty if all are read.
        rank: position in the order in which the publishers cut their folds, if they have one.
        box: (west, south, east, north) of its footprint in degrees, if known; overlapping samples stay in one split.
        target_others: further files that its per-pixel labels depend on, for example the legend of a coloured mask.
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
    box: tuple[float, float, float, float] | None = None
    target_others: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that holds pixels or labels of the sample."""
        return (self.path, *self.others, *(() if self.target is None else (self.target,)), *self.target_others)


Load = Callable[[Item], npt.NDArray[Any]]
"""Reads pixels, or labels per pixel, of one sample."""


@dataclass(frozen=True)
class Listing:
    """Contents of a data set's folder according to its split files.

    Args:
        root: the folder.
        items: samples of every split.
        definition: who split the data.
        load: reads the pixels of one sample as stored, in file band order: (bands, height, width), or (dates, bands,
            height, width) for a series, in the order of ``Item.dates``. NaN marks what the file declares as no data.
            None if the data have no images; see :class:`Pool`.
        load_target: reads the per-pixel labels of one sample, (height, width): int64 classes with the task's ``ignore``
            value, or float32 with NaN for pixels without a value; None for tasks with one label per sample.
        dropped: ids that the reader left out by split and reason, for example ``{"test": {"label is NaN": ("a",
            "b")}}``.
        folds: fold of every sample by id, for cross-validated data, whose only split is ``all``; empty for others.
        rule: how own data were divided, for the record, for example ``{"by": "blocks", "block_m": 2400.0}``.
    """

    root: Path
    items: Mapping[str, tuple[Item, ...]]
    definition: Definition
    load: Load | None
    load_target: Load | None = None
    dropped: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)
    rule: Mapping[str, str | float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """Labelled samples of own data before they are divided into splits, as generic readers return them.

    Args:
        root: folder of the data.
        items: samples in a stable order (by id), each with a unique id.
        load: reads the stored pixels of one sample, as in :class:`Listing`; None if the data have no images, so that
            only tables of embeddings can be measured.
        load_target: reads the per-pixel labels of one sample, as in :class:`Listing`.
        given: split (``train``, ``val``, ``test``) by id, as far as the data name one: empty if they name none, without
            ids whose split is empty in a table, and without ``val`` or ``test`` if the data do not have that split.
        dropped: ids of samples that were left out, by reason.
        folds: number of the fold by id, if the data name folds for cross-validation; empty if they name none.
    """

    root: Path
    items: tuple[Item, ...]
    load: Load | None
    load_target: Load | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)


def stored_pixels(load: Load | None, item: Item) -> npt.NDArray[Any]:
    """Return the stored pixels of a sample.

    Raises:
        ContractError: the data have no images.
    """
    if load is None:
        raise ContractError(
            f"sample '{item.id[:80]}' of {item.path.name} has no image: only models with architecture = 'table' can be "
            "measured on these data. Add a column file with the path of each image to measure other models"
        )
    return load(item)
