"""Own images with a mask per image: classes or numbers per pixel, in the formats of common annotation tools."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.readers.chips import check_options
from geofm_eval.data.readers.given import given_by_folders, given_by_lists, lists_of
from geofm_eval.data.readers.images import load_pixels, place_of
from geofm_eval.data.readers.listed import check_inside
from geofm_eval.data.readers.mask_targets import legends_of, target_loader
from geofm_eval.data.readers.pairing import found_files, unpaired
from geofm_eval.errors import ContractError, DataError


def read_pool(task: TaskSpec, root: Path) -> Pool:
    """List own images that have a mask.

    Options:
        image, mask: patterns, for example ``*_merged.tif`` and ``*.mask.tif``; the parts that ``*`` stands for pair
            them and are the id. A pattern without a folder finds files in all folders.
        images, masks: two folders instead; files with the same relative path, apart from the ending, are a pair.
        values: class of every stored value, for example ``{ 0 = "water", 255 = "land" }``; by default value k is class
            k. Several values may mean one class.
        ignore: stored values without a label, and names in a legend that are not classes of the task.

    Images are GeoTIFF, JPEG, PNG or npy; masks GeoTIFF, PNG or npy. A palette PNG holds its indices; with CVAT's
    ``labelmap.txt`` the colours of a palette or RGB PNG are the classes. Pixels without data in a mask have no label,
    nor do pixels with NaN in a mask of numbers. Splits come from lists (``train.txt``, ``val.txt``, ``test.txt``) or
    folders with these names, if there are any.

    Raises:
        ContractError: unknown or contradicting options, or a task with one label per sample or with series.
        DataError: nothing is paired, names are ambiguous, or a list or legend is damaged.
    """
    check_options(task, image=None, mask=None, images=None, masks=None, values=None, ignore=None)
    if not task.dense:
        raise ContractError(
            f"task '{task.slug}': reader 'masks' is for kind = segmentation or dense_regression, found {task.kind}. "
            "For one label per image use reader = 'folder' or 'table'"
        )
    if task.dates is not None:
        raise ContractError(
            f"task '{task.slug}': reader 'masks' reads single images, but dates = {task.dates}. For series, list the "
            "images in a table with the columns id, date, file and mask, and use reader = 'table'"
        )
    images, masks = found_files(task, root)
    dropped = unpaired(images, masks, root)
    pairs = {key: (images[key], masks[key]) for key in sorted(images.keys() & masks.keys())}
    check_inside(root, (path for pair in pairs.values() for path in pair))
    given, unused = _given(pairs, root)
    items = tuple(_item(key, *pairs[key], root) for key in pairs if not given or key in given)

    def load(item: Item) -> npt.NDArray[Any]:
        return load_pixels(item.path, task)

    return Pool(root, items, load, target_loader(task, items), given, {**dropped, **unused})


def _given(pairs: Mapping[str, tuple[Path, Path]], root: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    lists = lists_of(root)
    if not lists:
        return given_by_folders(
            {key: image.relative_to(root).as_posix() for key, (image, _) in pairs.items()}, root
        ), {}
    given, dropped = given_by_lists(lists, pairs)
    if not given:
        first = next(iter(pairs))
        raise DataError(
            f"{root}: the lists {', '.join(path.name for path in lists.values())} name none of the {len(pairs)} images "
            f"with masks, for example '{first[:80]}'. Write one name of an image without its ending per line"
        )
    unlisted = tuple(key for key in pairs if key not in given)
    return given, {**dropped, **({"is in no split list": unlisted} if unlisted else {})}


def _item(key: str, image: Path, mask: Path, root: Path) -> Item:
    lonlat, box = place_of(image)
    return Item(key, image, None, lonlat=lonlat, target=mask, box=box, target_others=legends_of(mask, root))
