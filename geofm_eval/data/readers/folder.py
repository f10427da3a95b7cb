"""Own images in one folder per class, with or without split folders, as torchvision's ``ImageFolder`` reads them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.readers.chips import check_options
from geofm_eval.data.readers.images import IMAGES, is_image, load_pixels, place_of
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.own_splits import split_of
from geofm_eval.errors import ContractError, DataError, Unavailable


def read_pool(task: TaskSpec, root: Path) -> Pool:
    r"""List the images of a folder as ``<class>/<any folders>/<image>`` or ``<split>/<class>/<any folders>/<image>``.

    Folders are splits if at least ``train`` and one of ``val`` (also ``valid``, ``validation``, ``dev``) and ``test``
    exist, in capitals or not, unless the task's classes have these names. Ids are paths relative to the root. Hidden
    files and folders, and files that are not images, are ignored. Georeferenced images have a place.

    The only option is ``group``: a regular expression with one group in parentheses, which finds the group of a sample
    in its id, for example ``(S2[AB]_\w+?)_``.

    Raises:
        ContractError: the task is not a classification of at least two classes, or its options are wrong.
        Unavailable: the folder has no images.
        DataError: folders and classes differ, or a folder of a class is empty.
    """
    pattern = _group_pattern(task)
    _check_task(task)
    images = {folder: tuple(_images(folder)) for folder in _folders(root)}
    if not any(images.values()):
        raise Unavailable("data", f"{root} has no folders with images ({', '.join(IMAGES)})", task.how_to_get)
    items: list[Item] = []
    given: dict[str, str] = {}
    for split, folder in _split_folders(task, root, images).items():
        inside = images[folder] if split else chain.from_iterable(images.values())
        found = _by_class(folder, inside)
        _check_classes(task, folder, found, whole=split in ("", "train"))
        listed = [_item(task, root, path, kind, pattern) for kind in task.classes for path in found.get(kind, ())]
        items += listed
        given |= {item.id: split for item in listed if split}

    def load(item: Item) -> npt.NDArray[Any]:
        return load_pixels(item.path, task)

    return Pool(root, tuple(sorted(items, key=lambda item: item.id)), load, given=given)


def _check_task(task: TaskSpec) -> None:
    if task.kind != "classification" or task.dates is not None:
        raise ContractError(
            f"task '{task.slug}': reader 'folder' reads one image per sample and takes classes from folder names; set "
            "kind = 'classification' without dates, or list the images in a table and use reader = 'table'"
        )
    if len(task.classes) < 2:
        raise ContractError(
            f"task '{task.slug}': classes has only {_names(task.classes)}; expected at least two, each with a folder"
        )


def _group_pattern(task: TaskSpec) -> re.Pattern[str] | None:
    check_options(task, group=None)
    text = task.options.get("group")
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except (re.error, TypeError) as error:
        raise ContractError(f"task '{task.slug}': group = {text!r} is not a regular expression ({error})") from error
    if pattern.groups != 1:
        raise ContractError(
            f"task '{task.slug}': group = {text!r} has {pattern.groups} groups in parentheses, expected one, for "
            "example '(S2[AB]_[0-9]+)_'"
        )
    return pattern


def _folders(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir()]


def _images(folder: Path) -> Iterator[Path]:
    """Images of a folder and of the folders below it."""
    if folder.is_symlink():
        raise DataError(
            f"{folder}: a link to a folder; its images could be listed twice or be outside the data. Copy the folder, "
            "or link the whole root"
        )
    for path in visible(folder):
        if path.is_dir():
            yield from _images(path)
        elif is_image(path):
            yield path


def _split_folders(task: TaskSpec, root: Path, images: Mapping[Path, Sequence[Path]]) -> dict[str, Path]:
    """Folders with class folders by split; the root alone, under the empty name, if there are no split folders."""
    named = [(folder, split_of(folder.name)) for folder in images]
    splits = {split: folder for folder, split in named if split is not None}
    if "train" not in splits or len(splits) < 2 or {folder.name for folder in splits.values()} <= {*task.classes}:
        return {"": root}
    for folder, split in named:
        if split is None and images[folder]:
            raise DataError(
                f"{root}: folder '{folder.name}' with {len(images[folder])} images is next to the split folders "
                f"{', '.join(sorted(other.name for other in splits.values()))}. Move it into one of them or out of the "
                "root"
            )
        if split is not None and splits[split] != folder:
            raise DataError(
                f"{root}: folders '{splits[split].name}' and '{folder.name}' both mean split '{split}'; keep one"
            )
    return splits


def _by_class(folder: Path, images: Iterable[Path]) -> dict[str, list[Path]]:
    """Images by the name of the folder directly below ``folder`` that contains them."""
    found: dict[str, list[Path]] = {path.name: [] for path in _folders(folder)}
    for path in images:
        kind = path.relative_to(folder).parts[0]
        if kind in found:
            found[kind].append(path)
    return found


def _check_classes(task: TaskSpec, folder: Path, found: Mapping[str, Sequence[Path]], *, whole: bool) -> None:
    """Refuse folders that are not classes, and classes without images; ``whole``: every class must have a folder."""
    unknown = [name for name, paths in found.items() if paths and name not in task.classes]
    if unknown:
        first = folder / unknown[0]
        inside = {path.name for path in _folders(first)} & {*task.classes}
        cure = f", or set root to {first}" if inside else ""
        raise DataError(
            f"{folder}: {len(unknown)} of {len(found)} folders are not classes of task '{task.slug}', for example "
            f"'{unknown[0][:40]}'; expected {_names(task.classes)}. Add it to classes, or move it away{cure}"
        )
    empty = [name for name in task.classes if name in found and not found[name]]
    absent = [name for name in task.classes if name not in found] if whole else []
    if empty or absent:
        what = f"folder '{empty[0]}' has no images" if empty else f"there is no folder for class '{absent[0]}'"
        raise DataError(
            f"{folder}: {what} ({len(empty)} empty, {len(absent)} absent); expected images ({', '.join(IMAGES)}) of "
            f"every class. Complete the copy, or remove the class from task '{task.slug}'"
        )


def _names(names: Sequence[str]) -> str:
    return ", ".join(name[:24] for name in names[:4]) + (f", ... ({len(names)})" if len(names) > 4 else "")


def _item(task: TaskSpec, root: Path, path: Path, kind: str, pattern: re.Pattern[str] | None) -> Item:
    name = path.relative_to(root).as_posix()
    lonlat, box = place_of(path)
    return Item(name, path, task.classes.index(kind), _group(task, name, pattern), lonlat, box=box)


def _group(task: TaskSpec, name: str, pattern: re.Pattern[str] | None) -> str | None:
    match = pattern.search(name) if pattern else None
    if pattern is not None and (match is None or not match[1]):
        raise DataError(
            f"task '{task.slug}': group = '{pattern.pattern[:60]}' finds no group in the id '{name[:80]}'; every "
            "sample needs one. Change the regular expression, or remove the option"
        )
    return match[1] if match else None
