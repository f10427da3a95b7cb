"""Labels per pixel from masks of own data: what the stored values, and the colours of a legend, mean for a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Load
from geofm_eval.data.readers.chips import classes_of
from geofm_eval.data.readers.grids import check_one_grid
from geofm_eval.data.readers.images import TIFF
from geofm_eval.data.readers.mask_files import Colour, legend_of, read_legend, read_mask
from geofm_eval.data.readers.rasters import Raster, grid_of, is_turned
from geofm_eval.errors import ContractError, DataError


def legends_of(mask: Path, root: Path) -> tuple[Path, ...]:
    """Return the legend that a mask depends on, as further files of its sample; empty if there is none."""
    legend = legend_of(mask, root)
    return () if legend is None else (legend,)


def target_loader(task: TaskSpec, items: Sequence[Item]) -> Load:
    """Return a function that reads the labels of a sample from its mask.

    Args:
        task: declares the classes, and in its options ``values`` (class of every stored value; by default value k is
            class k) and ``ignore`` (stored values, and names of a legend, without a label).
        items: all samples, whose legends are read once.

    Raises:
        ContractError: the options contradict the classes or a legend.
        DataError: a legend is damaged.
    """
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
