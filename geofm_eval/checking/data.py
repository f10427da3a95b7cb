"""Check of a task: its samples are read, counted and compared between splits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import BANDS, canonical, common_names, unit_of
from geofm_eval.checking.leaks import find_leaks
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.inspection import labelled
from geofm_eval.data.items import NAMES, Item
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.readers.rasters import read_target
from geofm_eval.data.split import ALL, Split
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError
from geofm_eval.fetch.data import complete_sizes
from geofm_eval.progress import LogProgress, StartProgress

FEWEST = 10
"""Samples per class of the training split below which a warning is given."""


@dataclass(frozen=True)
class BandValues:
    """Values of one band in the samples that were read, in the band's unit; ``unit`` is empty if it is unknown."""

    band: str
    unit: str
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class TaskCheck:
    """What a task's data hold.

    Args:
        task: catalog entry.
        splits: its splits.
        images: first sample of every split, and further ones spread over the first split.
        lines: sentences on every split.
        counts: samples per class, by split or fold; empty for other tasks.
        bands: values by band.
        warnings: what may be wrong, one sentence each.
    """

    task: TaskSpec
    splits: Mapping[str, Split] = field(repr=False)
    images: tuple[RawImage, ...] = field(repr=False)
    lines: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    bands: tuple[BandValues, ...]
    warnings: tuple[str, ...]


def check_task(task: TaskSpec, images: int = 8, progress: StartProgress = LogProgress) -> TaskCheck:
    """Open a data set, read some samples, count classes and look for leaks between splits.

    Args:
        task: catalog entry.
        images: number of samples of the first split that are read.
        progress: starts a progress display for hashing files.

    Raises:
        Unavailable: the data are missing.
        ContractError: a band is not named.
        DataError: the data do not match their layout, an official split is incomplete, or splits of own data share
            samples, groups or places.
    """
    splits = open_splits(task, progress)
    lines = [*(_line(task, name, split) for name, split in splits.items()), *_about_random(task, splits)]
    head, definition = _state(task, splits)
    first = next(iter(splits.values()))
    read = () if first.load is None else tuple(_spread(first, images))
    parts = parts_of(splits)
    warnings = [*_leaks(task, parts, progress), *_about_bands(task), *_about_classes(task, parts)]
    return TaskCheck(
        task, splits, read, (head, *lines, definition), _counts(task, parts), _values(task, read), tuple(warnings)
    )


def parts_of(splits: Mapping[str, Split]) -> dict[str, tuple[Item, ...]]:
    """Return the samples by split, or by fold if the data are cross-validated."""
    whole = splits.get(ALL)
    if whole is None or not whole.folds:
        return {name: split.items for name, split in splits.items()}
    folds: dict[str, list[Item]] = {f"fold {number}": [] for number in sorted(set(whole.folds))}
    for item, fold in zip(whole.items, whole.folds, strict=True):
        folds[f"fold {fold}"].append(item)
    return {name: tuple(items) for name, items in folds.items()}


def _line(task: TaskSpec, name: str, split: Split) -> str:
    dropped = "".join(f"; {len(ids)} dropped: {reason}" for reason, ids in split.dropped.items())
    if split.load is None:
        return f"  {name:<8} {len(split)} samples without images{dropped}; the first is {split.ids[0]}"
    image = split.read(0)
    target = _target(task, split.items[0], split.read_target(0)) if task.dense else ""
    first = f"the first, {split.ids[0]}, is {_shape(image.pixels.shape)}{target}, {image.valid.mean():.0%} valid"
    return f"  {name:<8} {len(split)}{_of(complete_sizes(task).get(name))} samples{dropped}; {first}"


def _state(task: TaskSpec, splits: Mapping[str, Split]) -> tuple[str, str]:
    """First and last line: whether the copy is complete, and who divided the data."""
    split = next(iter(splits.values()))
    if split.definition == "own":
        rule = ", ".join(f"{name} {value}" for name, value in split.rule.items())
        return f"{task.slug}: readable", f"  split    own data, {rule}"
    if split.definition == "custom":
        note = "custom (from the folder's split file): do not compare its results with those of the official split"
        return f"{task.slug}: readable", f"  split    {note}"
    expected = complete_sizes(task)
    for name, split in splits.items():
        listed = len(split) + sum(map(len, split.dropped.values()))
        if expected.get(name, listed) != listed:
            raise DataError(
                f"{task.slug}: split '{name}' has {listed} samples, but the complete data set has {expected[name]}. "
                "Complete the copy, or list the existing files in a splits.csv"
            )
    return f"{task.slug}: {'readable and complete' if expected else 'readable'}", "  split    official"


def _about_random(task: TaskSpec, splits: Mapping[str, Split]) -> Iterator[str]:
    """Name the variant to compare blocks with: geofm-eval init writes it, but entries by hand often lack it."""
    if task.variant_of is None and next(iter(splits.values())).rule.get("by") == "blocks":
        fields = f"like = '{task.slug}', variant_of = '{task.slug}', split = 'random'"
        yield f"  compare  with a random split, [tasks.{task.slug}_random]: {fields}"


def _leaks(task: TaskSpec, parts: Mapping[str, Sequence[Item]], progress: StartProgress) -> Iterator[str]:
    """Leaks are refused in own data, unless the entry accepts them; those of published data are warnings."""
    files = [] if task.simulated else [path for items in parts.values() for item in items for path in item.files]
    for leak in find_leaks(parts, hashes_of(files, task.root, progress)):
        if task.own and not task.shared_groups:
            raise DataError(f"{task.slug}: {leak}; to accept it, set shared_groups = true")
        yield str(leak)


def _about_bands(task: TaskSpec) -> Iterator[str]:
    unknown = [name for name in task.bands if canonical(name) not in BANDS]
    if unknown:
        meant = common_names(unknown)
        hint = f" (did you mean {', '.join(f'{new} for {old}' for old, new in meant.items())}?)" if meant else ""
        yield (
            f"bands {', '.join(unknown[:8])} are not known{hint}: their unit is not checked, and only models that name "
            "the same bands read them"
        )


def _counts(task: TaskSpec, parts: Mapping[str, Sequence[Item]]) -> dict[str, tuple[int, ...]]:
    if task.kind != "classification":
        return {}
    found = {name: Counter(item.label for item in items) for name, items in parts.items()}
    return {name: tuple(counts[label] for label in range(len(task.classes))) for name, counts in found.items()}


def _about_classes(task: TaskSpec, parts: Mapping[str, Sequence[Item]]) -> Iterator[str]:
    counts = _counts(task, parts)
    for label, name in enumerate(task.classes if counts else ()):
        absent = [split for split, found in counts.items() if not found[label]]
        if absent:
            yield f"class {name} has no sample in {', '.join(absent)}"
    trained = counts.get(NAMES[0]) or tuple(map(sum, zip(*counts.values(), strict=True)))
    few = [f"{name} ({count})" for name, count in zip(task.classes, trained, strict=False) if 0 < count < FEWEST]
    if few:
        yield f"fewer than {FEWEST} training samples: {', '.join(few[:8])}"


def _values(task: TaskSpec, images: Sequence[RawImage]) -> tuple[BandValues, ...]:
    found = []
    for position, band in enumerate(task.bands if images else ()):
        pixels = np.concatenate([np.moveaxis(one.pixels, -3, 0)[position][one.valid] for one in images])
        low, median, high = (float(value) for value in np.quantile(pixels, (0.02, 0.5, 0.98)))
        found.append(BandValues(band, unit_of(band) or "", low, median, high))
    return tuple(found)


def _spread(split: Split, images: int) -> list[RawImage]:
    """Evenly spread samples, because neighbours in a list often share a class."""
    positions = np.unique(np.linspace(0, len(split) - 1, min(images, len(split))).astype(int))
    return [split.read(int(position)) for position in positions]


def _target(task: TaskSpec, item: Item, target: npt.NDArray[Any]) -> str:
    size = f", target {_shape(target.shape)}"
    try:
        stored = read_target(item.target or item.path)
    except DataError:
        return size  # a target of another format, which its own reader has read
    found = target[stored.is_nodata[0]] if stored.nodata is not None else target[:0]
    if not found.size:
        return size
    value, kept = f"{stored.nodata:g}", np.unique(found[labelled(found, task)])
    if not kept.size:
        return f"{size} (nodata {value}: no label)"
    names = ", ".join(task.classes[int(number)] for number in kept) if task.classes else "a value"
    return f"{size} (nodata {value} is {names}; to ignore it, set label_nodata = 'ignore')"


def _of(count: int | None) -> str:
    return "" if count is None else f" of {count}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
