"""Pairs of image and mask in a folder, by patterns of their names or by two folders."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.images import IMAGES
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.mask_files import MASKS
from geofm_eval.errors import ContractError, DataError

Found = dict[str, Path]
"""File by the part of its name that an image and its mask share."""


def found_files(task: TaskSpec, root: Path) -> tuple[Found, Found]:
    """Return images and masks by the part of their names that pairs them.

    Raises:
        ContractError: the options name neither two patterns nor two folders, or a pattern has no ``*``.
        DataError: a folder is missing, or two files have the same key.
    """
    options = task.options
    if {"image", "mask"} <= set(options) and not {"images", "masks"} & set(options):
        return _by_patterns(task, root, _text(task, "image"), _text(task, "mask"))
    if {"images", "masks"} <= set(options) and not {"image", "mask"} & set(options):
        return _in_folders(task, root, _text(task, "images"), _text(task, "masks"))
    raise ContractError(
        f"task '{task.slug}': reader 'masks' needs the options image and mask (patterns, for example image = "
        "'*_image.tif' and mask = '*_mask.tif') or images and masks (two folders); found "
        f"{', '.join(sorted(options)) or 'none'}"
    )


def _text(task: TaskSpec, name: str) -> str:
    value = task.options[name]
    if not isinstance(value, str) or not value:
        raise ContractError(f"task '{task.slug}': option {name} is {value!r}; expected text")
    return value


def _in_folders(task: TaskSpec, root: Path, images: str, masks: str) -> tuple[Found, Found]:
    first, second = root / images, root / masks
    if first == second:
        raise ContractError(
            f"task '{task.slug}': options images and masks are both '{images[:80]}'; expected two folders. For files "
            "in one folder set image and mask to patterns of their names"
        )
    return _in_folder(root, first, IMAGES, second), _in_folder(root, second, MASKS, first)


def _in_folder(root: Path, folder: Path, endings: tuple[str, ...], other: Path) -> Found:
    """Files of a folder, without those of the other folder if it is inside."""
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder. Set the options images and masks to folders below {root}")
    files = [path for path in _files(folder) if path.suffix.lower() in endings]
    if folder in other.parents:
        files = [path for path in files if other not in path.parents]
    return _unique((path.relative_to(folder).with_suffix("").as_posix(), path) for path in files)


def _by_patterns(task: TaskSpec, root: Path, image: str, mask: str) -> tuple[Found, Found]:
    for name, pattern in (("image", image), ("mask", mask)):
        if not pattern.count("*") or pattern.count("*") != image.count("*"):
            raise ContractError(
                f"task '{task.slug}': option {name} is '{pattern[:80]}'; expected as many * as in the other pattern, "
                "at least one. The parts that they stand for pair images with masks"
            )
    # A mask such as a.mask.tif also fits '*.tif'; the longer pattern decides.
    first, second = sorted((image, mask), key=len, reverse=True)
    files = _files(root)
    special = _matching(root, files, first)
    taken = set(special.values())
    general = _matching(root, [path for path in files if path not in taken], second)
    return (special, general) if first == image else (general, special)


def _matching(root: Path, files: Iterable[Path], pattern: str) -> Found:
    expression = _expression(pattern)
    matches = ((path, expression.fullmatch(path.relative_to(root).as_posix())) for path in files)
    return _unique(
        ("/".join(part for part in match.groups() if part), path) for path, match in matches if match is not None
    )


def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern without a folder finds files in all folders, which are then part of the key."""
    parts = [re.escape(part) for part in pattern.split("*")]
    return re.compile("(.+)".join(parts) if "/" in pattern else "(?:(.+)/)?" + "([^/]+)".join(parts))


def _files(folder: Path) -> list[Path]:
    return [path for path in visible(folder, "**/*") if path.is_file()]


def _unique(named: Iterable[tuple[str, Path]]) -> Found:
    found: Found = {}
    for key, path in named:
        if found.setdefault(key, path) != path:
            raise DataError(
                f"{path}: '{key[:80]}' is also the name of {found[key].name[:80]}; an image and its mask are paired by "
                "name. Remove or rename one of the files"
            )
    return found


def unpaired(images: Mapping[str, Path], masks: Mapping[str, Path], root: Path) -> dict[str, tuple[str, ...]]:
    """Return names of images and masks without a partner, by reason.

    Raises:
        DataError: no image has a mask.
    """
    if not images.keys() & masks.keys():
        what = f"{_example('image', images)} and {_example('mask', masks)}"
        raise DataError(
            f"{root}: no image has a mask ({what}). The parts of both names that the options do not fix must be equal; "
            "check the options of the task"
        )
    reasons = {
        "image without a mask": tuple(sorted(images.keys() - masks.keys())),
        "mask without an image": tuple(sorted(masks.keys() - images.keys())),
    }
    return {reason: names for reason, names in reasons.items() if names}


def _example(what: str, found: Mapping[str, Path]) -> str:
    if not found:
        return f"0 {what}s"
    return f"{len(found)} {what}s, for example '{PurePosixPath(min(found)).as_posix()[:60]}'"
