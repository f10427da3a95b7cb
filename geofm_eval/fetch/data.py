"""Data sets: where to get them, which layout they need, and a check of the local copy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item
from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_home
from geofm_eval.plurals import counted


def describe_task(task: TaskSpec) -> list[str]:
    """Return lines with the source, licence, size, folder and layout of a data set."""
    if task.simulated:
        return [f"{task.slug}: {task.title}", "  simulated: generated in the cache, nothing to fetch"]
    home = geofm_home()
    root = f"{home or 'GEOFM_HOME'}/{task.root}"
    state = "GEOFM_HOME is not set" if home is None else "exists" if (home / task.root).exists() else "missing"
    facts = {
        "get it": task.how_to_get,
        "source": task.source,
        "licence": task.licence,
        "size": task.size,
        "samples": _sizes(task),
        "folder": f"{root} ({state})",
    }
    lines = [f"  {name:<8} {fact}" for name, fact in facts.items() if fact]
    layout = [f"  {'layout' if number == 0 else '':<8} {line}" for number, line in enumerate(task.layout)]
    return [f"{task.slug}: {task.title}", *lines, *layout]


def check_task(task: TaskSpec) -> list[str]:
    """Open a data set, read the first sample of every split and count the samples.

    Returns:
        Lines with the counts, next to those of the complete data set if they are known.

    Raises:
        Unavailable: the data are missing.
        DataError: the data do not match their layout, or an official split is incomplete.
    """
    from geofm_eval.data.split import Split
    from geofm_eval.datasets import open_splits

    def line(name: str, split: Split) -> str:
        image = split.read(0)
        target = _target(task, split.items[0], split.read_target(0)) if task.dense else ""
        dropped = "".join(f"; {len(ids)} dropped: {reason}" for reason, ids in split.dropped.items())
        first = f"the first, {split.ids[0]}, is {_shape(image.pixels.shape)}{target}, {image.valid.mean():.0%} valid"
        return f"  {name:<8} {_samples(len(split), expected.get(name))}{dropped}; {first}"

    expected = _expected(task)
    splits = open_splits(task)
    lines = [line(name, split) for name, split in splits.items()]
    definition = next(iter(splits.values())).definition
    if definition == "custom":
        note = "custom (from the folder's split file): do not compare its results with those of the official split"
        return [f"{task.slug}: readable", *lines, f"  split    {note}"]
    for name, split in splits.items():
        listed = len(split) + sum(map(len, split.dropped.values()))
        if expected.get(name, listed) != listed:
            raise DataError(
                f"{task.slug}: split '{name}' has {counted(listed, 'sample')}, but the complete data set has "
                f"{expected[name]}. Complete the copy, or list the existing files in a splits.csv"
            )
    state = "readable and complete" if expected else "readable"
    return [f"{task.slug}: {state}", *lines, "  split    official"]


def _target(task: TaskSpec, item: Item, target: npt.NDArray[Any]) -> str:
    from geofm_eval.data.inspection import labelled
    from geofm_eval.data.readers.rasters import read_target

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


def _expected(task: TaskSpec) -> dict[str, int]:
    sizes = task.sizes if task.simulated else task.official_sizes
    if sizes is None:
        return {}
    return {"all": sum(sizes)} if task.protocol == "shuffle_splits" else dict(zip(NAMES, sizes, strict=True))


def _sizes(task: TaskSpec) -> str:
    return ", ".join(f"{count} {name}" for name, count in _expected(task).items())


def _samples(count: int, expected: int | None) -> str:
    return counted(count, "sample") if expected is None else f"{count} of {counted(expected, 'sample')}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
