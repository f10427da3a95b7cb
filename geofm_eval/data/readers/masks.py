"""Own images with a mask per image: classes or numbers per pixel, in the formats of common annotation tools."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Load, Pool
from geofm_eval.data.readers.chips import check_options, classes_of
from geofm_eval.data.readers.given import given_by_folders, given_by_lists, lists_of
from geofm_eval.data.readers.grids import check_one_grid
from geofm_eval.data.readers.images import TIFF, load_pixels, place_of
from geofm_eval.data.readers.listed import check_inside
from geofm_eval.data.readers.mask_files import Colour, legend_of, read_legend, read_mask
from geofm_eval.data.readers.pairing import found_files, unpaired
from geofm_eval.data.readers.rasters import Raster, grid_of, is_turned
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
        ContractError: unknown or contradicting options, or a task with one label per sample.
        DataError: nothing is paired, names are ambiguous, or a list or legend is damaged.
    """
    check_options(task, image=None, mask=None, images=None, masks=None, values=None, ignore=None)
    if not task.dense:
        raise ContractError(
            f"task '{task.slug}': reader 'masks' is for kind = segmentation or dense_regression, found {task.kind}. "
            "For one label per image use reader = 'folder' or 'table'"
        )
    images, masks = found_files(task, root)
    dropped = unpaired(images, masks, root)
    pairs = {key: (images[key], masks[key]) for key in sorted(images.keys() & masks.keys())}
    check_inside(root, (path for pair in pairs.values() for path in pair))
    given, unused = _given(pairs, root)
    items = tuple(_item(key, *pairs[key], root) for key in pairs if not given or key in given)

    def load(item: Item) -> npt.NDArray[Any]:
        return load_pixels(item.path, task)

    return Pool(root, items, load, _target_loader(task, items), given, {**dropped, **unused})


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
    legend = legend_of(mask, root)
    others = () if legend is None else (legend,)
    return Item(key, image, None, lonlat=lonlat, target=mask, box=box, target_others=others)


def _target_loader(task: TaskSpec, items: Sequence[Item]) -> Load:
    ignored = _ignored(task)
    if task.numeric:
        return lambda item: _numbers(_mask(item, None)[0], ignored)
    codes, seen = _codes(task, ignored), {path for item in items for path in item.target_others}
    legends = {path: _legend(task, path, ignored) for path in sorted(seen)}

    def load_target(item: Item) -> npt.NDArray[np.int64]:
        colours = legends[item.target_others[0]] if item.target_others else None
        mask, coloured = _mask(item, colours)
        return classes_of(mask, task, {code: code for code in (colours or {}).values()} if coloured else codes)

    return load_target


def _mask(item: Item, colours: Mapping[Colour, int] | None) -> tuple[Raster, bool]:
    """Read the mask of a sample, which must share the grid of its image if both are georeferenced."""
    mask, coloured = read_mask(item.target or item.path, colours)
    grid = grid_of(item.path) if item.path.suffix.lower() in TIFF else None
    check_one_grid(grid, mask.grid)
    if grid is None and mask.grid is not None:
        _check_order(mask.path, item.path)
    if mask.grid is None and grid is not None:
        _check_order(item.path, mask.path)
    return mask, coloured


def _check_order(path: Path, other: Path) -> None:
    """Refuse a pair of which one file is turned when it is read, and the other has no place to turn it by."""
    if is_turned(path):
        raise DataError(
            f"{path}: its pixels are not stored north-up, and {other.parent.name}/{other.name[:80]} has no "
            "georeference, so whether their rows agree is unknown. Write the file north-up, for example with gdalwarp"
        )


def _numbers(mask: Raster, ignored: Sequence[int | str]) -> npt.NDArray[np.float32]:
    values = mask.marked[0].astype(np.float32)
    return np.where(
        np.isin(mask.pixels[0], [value for value in ignored if not isinstance(value, str)]), np.float32(np.nan), values
    )


def _ignored(task: TaskSpec) -> tuple[int | str, ...]:
    """Values and names without a label."""
    found = task.options.get("ignore", ())
    listed = list(found) if isinstance(found, (list, tuple)) else [found]
    if any(isinstance(value, bool) or not isinstance(value, (int, str)) for value in listed):
        raise ContractError(
            f"task '{task.slug}': option ignore is {found!r}; expected whole numbers that are stored in masks, or "
            "names of a legend, for example [0, 255]"
        )
    return tuple(listed)


def _codes(task: TaskSpec, ignored: Sequence[int | str]) -> dict[int, int]:
    """Class of every stored value; values without a label have the task's ignore value."""
    named = task.options.get("values", {str(number): name for number, name in enumerate(task.classes)})
    if not isinstance(named, Mapping) or not all(_is_whole(value) for value in named):
        raise ContractError(
            f"task '{task.slug}': option values is {str(named)[:120]}; expected the class of every stored value, for "
            "example { 0 = 'water', 255 = 'land' }"
        )
    unknown = sorted({str(name) for name in named.values()} - set(task.classes))
    absent = [name for name in task.classes if name not in named.values()]
    if unknown or absent:
        what = f"names {', '.join(unknown)[:120]}, not among the classes" if unknown else "does not name every class"
        raise ContractError(
            f"task '{task.slug}': option values {what}; expected {', '.join(task.classes)[:160]}. List values without "
            "a label in the option ignore instead"
        )
    codes = {int(value): task.classes.index(name) for value, name in named.items()}
    without = [value for value in ignored if not isinstance(value, str)]
    if twice := sorted(set(without) & set(codes)):
        raise ContractError(
            f"task '{task.slug}': option ignore contains {twice}, but {twice[0]} means class "
            f"'{task.classes[codes[twice[0]]]}'. Set the option values to the class of every other value"
        )
    return {task.ignore: task.ignore, **codes, **dict.fromkeys(without, task.ignore)}


def _is_whole(value: object) -> bool:
    return str(value).removeprefix("-").isdecimal()


def _legend(task: TaskSpec, path: Path, ignored: Sequence[int | str]) -> dict[Colour, int]:
    found = read_legend(path)
    unknown = [name for name in found.values() if name not in task.classes and name not in ignored]
    if unknown:
        raise ContractError(
            f"{path}: {', '.join(unknown)[:120]} are not classes of task '{task.slug}' "
            f"({', '.join(task.classes)[:120]}). Add them to classes, or to the option ignore if their pixels have no "
            "label"
        )
    return {colour: task.classes.index(name) if name in task.classes else task.ignore for colour, name in found.items()}
