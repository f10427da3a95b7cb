"""Which columns of a user's table hold files, labels and everything else, by their names or as the task says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import canonical
from geofm_eval.data.readers.chips import check_options
from geofm_eval.data.readers.series import band_positions
from geofm_eval.data.tabular import LAT, LON, NUMBER, TEXT, column_names, found_column, shown
from geofm_eval.errors import ContractError, DataError

FILES = ("file", "file_name", "path", "image")
"""Names of a column with image files, the first that exists; with ``.<product>`` for one column per product."""

_USUAL = {
    "label": ("label",),
    "id": ("id",),
    "split": ("split",),
    "fold": ("fold",),
    "group": ("group",),
    "lon": LON,
    "lat": LAT,
    "date": ("date",),
}
_MASK = ("mask",)
"""Usual name of the column of labels if they are masks."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table by what they hold, and the bands of the image files.

    Args:
        path: the table.
        named: column of ``label`` (of the masks if there is one label per pixel), ``id``, ``split``, ``fold``,
            ``group``, ``lon``, ``lat`` and ``date``, as far as they exist.
        files: one column of image files per product; empty if the table names no images.
        bands: bands of the files of every column, in file order.
    """

    path: Path
    named: Mapping[str, str]
    files: tuple[str, ...]
    bands: tuple[tuple[str, ...], ...]

    def types(self, *, numeric: bool) -> dict[str, Any]:
        """Return the type of every column to read; labels are numbers or text."""
        numbers = {"lon", "lat", *(("label",) if numeric else ())}
        named = {column: NUMBER if role in numbers else TEXT for role, column in self.named.items()}
        return {**dict.fromkeys(self.files, TEXT), **named}


def columns_of(task: TaskSpec, path: Path) -> Columns:
    """Find the columns of a table.

    Raises:
        ContractError: the task's options are wrong, or name no bands for products.
        DataError: a column that the options name, the label, or every column that identifies a sample is missing.
    """
    of_masks: dict[str, None] = {"values": None, "ignore": None} if task.dense else {}
    check_options(task, file=None, label=None, labels=None, target=None, id=None, columns=None, bands=None, **of_masks)
    names, asked = column_names(path), _asked(task)
    usual = {**_USUAL, "label": _MASK} if task.dense else _USUAL
    named = {role: column for role in usual if (column := _column(path, names, role, asked, usual[role])) is not None}
    files = _file_columns(task, path, names, asked)
    if ("lon" in named) != ("lat" in named):
        found = named.get("lon") or named.get("lat")
        raise DataError(f"{path}: found column '{found}' alone, expected lon and lat. Add the other, or rename it")
    if "id" not in named and not files:
        raise DataError(
            f"{path}: there is neither a column id nor a column {', '.join(FILES)}; the columns are {shown(names)}. "
            "Name one, for example options = { id = 'plot' }"
        )
    if task.dates is not None and not {"date", "id"} <= {*named}:
        raise DataError(
            f"{path}: task '{task.slug}' declares series of {task.dates} dates; expected columns id and date, found "
            f"{shown(names)}. Add them, or name them in options.columns"
        )
    return Columns(path, named, tuple(files), tuple(files.values()))


def _asked(task: TaskSpec) -> dict[str, str]:
    """Columns by role as the options name them."""
    options = task.options
    columns, labels = options.get("columns", {}), options.get("labels", ())
    if not isinstance(columns, dict) or isinstance(labels, str):
        raise ContractError(
            f"task '{task.slug}': expected columns = {{ label = 'biomass' }} and label = 'biomass' in options, found "
            f"columns = {str(columns)[:60]} and labels = {str(labels)[:60]}"
        )
    if len(labels) > 1:
        raise ContractError(
            f"task '{task.slug}': labels are {shown([str(label) for label in labels])}; a task predicts one label per "
            f"sample. Write one task per column, each with options = {{ label = '{labels[0]}' }} and a name of its own"
        )
    asked = {**columns, **{role: options[role] for role in ("label", "id") if role in options}}
    asked |= {"label": labels[0]} if labels else {}
    wrong = [role for role in asked if role not in _USUAL and role.partition(".")[0] != "file"]
    if wrong or not all(isinstance(column, str) for column in asked.values()):
        raise ContractError(
            f"task '{task.slug}': options name columns {str(asked)[:120]}; expected names of columns for "
            f"{', '.join(_USUAL)}, file or file.<product>"
        )
    return asked


def _column(path: Path, names: Sequence[str], role: str, asked: Mapping[str, str], usual: Sequence[str]) -> str | None:
    if role in asked:
        return found_column(path, names, asked[role], "Correct the name in the task's options")
    found = next((name for name in usual if _has(names, name)), None)
    if found is None and role != "label":
        return None
    return found_column(path, names, found or usual[0], "Name it with options = { label = 'column' }")


def _has(names: Sequence[str], wanted: str) -> bool:
    return any(name.strip().lower() == wanted.lower() for name in names)


def _file_columns(
    task: TaskSpec, path: Path, names: Sequence[str], asked: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Bands by column of image files."""
    products = task.options.get("bands")
    if products is not None:
        return _product_columns(task, path, names, asked, products)
    if "file" in asked:
        return {found_column(path, names, asked["file"], "Correct the name in the task's options"): task.bands}
    usual = next((name for name in FILES if _has(names, name)), None)
    if usual is not None:
        return {found_column(path, names, usual, ""): task.bands}
    several = [name for name in names if name.strip().lower().partition(".")[0] in FILES and "." in name]
    if several:
        first = several[0].partition(".")[2].strip()
        raise ContractError(
            f"task '{task.slug}': {path.name} has files of several products ({shown(several)}); expected the bands of "
            f"each, in file order, for example options = {{ bands = {{ {first} = ['B02', 'B03'] }} }}"
        )
    return {}


def _product_columns(
    task: TaskSpec, path: Path, names: Sequence[str], asked: Mapping[str, str], products: Any
) -> dict[str, tuple[str, ...]]:
    """Columns of the products that have a band of the task, with all bands of their files."""
    if not isinstance(products, dict) or not all(isinstance(bands, list) and bands for bands in products.values()):
        raise ContractError(
            f"task '{task.slug}': option bands is {str(products)[:80]}; expected the bands of every product in file "
            "order, for example bands = { S2L2A = ['B02', 'B03'], S1GRD = ['VV', 'VH'] }"
        )
    held = [canonical(band) for bands in products.values() for band in bands]
    twice = next((band for band in held if held.count(band) > 1), None)
    if twice is not None:
        raise ContractError(f"task '{task.slug}': options name band {twice} in two places; keep one of them")
    band_positions(task, held, "options.bands")
    wanted = {canonical(band) for band in task.bands}
    used = {name: tuple(bands) for name, bands in products.items() if wanted & set(map(canonical, bands))}
    return {_product_column(path, names, name, asked): bands for name, bands in used.items()}


def _product_column(path: Path, names: Sequence[str], product: str, asked: Mapping[str, str]) -> str:
    usual = [f"{name}.{product}" for name in FILES]
    wanted = asked.get(f"file.{product}") or next((name for name in usual if _has(names, name)), usual[0])
    return found_column(path, names, wanted, f"Add it, or remove {product} from options.bands")
