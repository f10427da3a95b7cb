"""Chips cut from own scenes at labelled points and polygons; nothing is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.readers.chips import check_options
from geofm_eval.data.readers.features import parts_of
from geofm_eval.data.readers.images import place_of_grid
from geofm_eval.data.readers.labelled import Labelled, name_of, read_labelled
from geofm_eval.data.readers.listed import check_inside
from geofm_eval.data.readers.rasters import Window, check_bands, read_window
from geofm_eval.data.readers.scenes import CutChips, Reprojection, SceneFile, find_scenes, has_data
from geofm_eval.data.readers.vector_masks import masked_windows
from geofm_eval.errors import ContractError, DataError

REASONS = (
    "outside every scene",
    "the chip is not whole at the edge of its scene",
    "the scene has no data there",
)
"""Why a feature gives no chip, by how close it came."""

VIEWS = "views in further scenes, because each feature is used in one"
"""Why further chips of a feature are left out."""

ROLES = ("split", "group")
"""Columns of the labels that are found by these names, or by the option ``columns``."""


def read_pool(task: TaskSpec, root: Path) -> Pool:
    """Cut chips from scenes at labelled features.

    Options:
        labels: GeoJSON, GeoPackage, Shapefile or GeoParquet with points or polygons.
        column: column of classes or values.
        scenes: pattern of GeoTIFFs below the folder, for example ``scenes/*.tif``.
        size: pixels per side of a chip.
        target: ``chip`` (default of tasks with one label per sample): a chip centred on the point, or on a
            representative point of the polygon. ``mask`` (default of dense tasks): windows on a regular grid of the
            scene that contain pixels of polygons, with the polygons as mask. A pixel belongs to a polygon if its centre
            is inside; in polygons with different labels it has none.
        background: class outside all polygons of a mask; without it, these pixels have no label.
        columns: names of the columns of splits and groups, for example ``{ split = "fold" }``; by default ``split``
            and ``group``, if they exist.
        group: the same as ``columns.group``.
        layer: layer of a GeoPackage with several.

    Labels are transformed to the CRS of each scene. A feature in several scenes is used in the first, by name, that
    gives a whole chip with data. Features that give no chip, and views of features in further scenes, are counted by
    reason. A window of a mask has the split of its polygons; if they are of several splits, it is left out and counted.
    Windows that share a group of polygons are one group. The id of a sample contains scene, feature, and column, row
    and size of its window.

    Raises:
        ContractError: unknown, missing or contradicting options.
        DataError: labels or scenes are damaged or without a CRS, or no feature can be used.
    """
    _check(task)
    path = root / task.options["labels"]
    parts = parts_of(path) if path.is_file() else ()
    check_inside(root, (path, *parts))
    found = read_labelled(task, path, polygons_only=task.dense)
    scenes = find_scenes(task, root, task.options["scenes"])
    cut = _cut(task, found, scenes, parts)
    dropped = {**found.dropped, **cut.dropped}
    if not cut.items:
        counts = ", ".join(f"{len(ids)} {reason}" for reason, ids in dropped.items())
        raise DataError(
            f"{path}: no feature gives a sample ({counts[:200]}). Compare the place and CRS of labels and scenes, and "
            "the size of chips with that of scenes"
        )

    def load(item: Item) -> npt.NDArray[Any]:
        part = read_window(item.path, cut.windows[item.id])
        check_bands(part, task, task.bands)
        return part.marked

    return Pool(root, cut.items, load, cut.load_target, given=cut.given, dropped=dropped)


def _cut(task: TaskSpec, found: Labelled, scenes: list[SceneFile], parts: tuple[Path, ...]) -> CutChips:
    import rasterio

    size = int(task.options["size"])
    with rasterio.Env():  # otherwise each call of rasterio, for every feature, would enter one
        if task.dense:
            return masked_windows(task, found, scenes, size, parts)
        return _chips(task, found, scenes, size)


def _check(task: TaskSpec) -> None:
    target = "mask" if task.dense else "chip"
    known = ("labels", "column", "scenes", "size", "background", "columns", "group", "layer")
    check_options(task, **dict.fromkeys(known), target=("chip", "mask"))
    for name in ("labels", "column", "scenes"):
        if not isinstance(task.options.get(name), str):
            raise ContractError(
                f"task '{task.slug}': reader 'vector' needs the option {name}, a text; found {task.options.get(name)!r}"
            )
    size = task.options.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ContractError(f"task '{task.slug}': option size is {size!r}; expected pixels per side of a chip")
    if task.options.get("target", target) != target:
        raise ContractError(
            f"task '{task.slug}': target = '{task.options['target']}' is not for kind = {task.kind}; expected "
            f"'{target}'. Change one of them"
        )
    _check_columns(task)
    _check_background(task, target)


def _check_columns(task: TaskSpec) -> None:
    columns, group = task.options.get("columns", {}), task.options.get("group", "")
    named = isinstance(columns, dict) and {*columns} <= {*ROLES} and all(isinstance(v, str) for v in columns.values())
    if not named or not isinstance(group, str):
        raise ContractError(
            f"task '{task.slug}': options have columns = {str(columns)[:80]} and group = {group!r:.40}; expected names "
            f"of columns for {' and '.join(ROLES)}, for example columns = {{ split = 'fold' }}"
        )


def _check_background(task: TaskSpec, target: str) -> None:
    background = task.options.get("background")
    if background is not None and background not in task.classes:
        raise ContractError(
            f"task '{task.slug}': option background is {background!r}; expected one of the classes, "
            f"{', '.join(task.classes)[:160] or 'which a task of numbers does not have'}"
        )
    if background is not None and target != "mask":
        raise ContractError(f"task '{task.slug}': option background is for target = 'mask'; remove it")


@dataclass
class _Placed:
    """Scene and first pixel of the chip of every feature, as far as found."""

    scenes: list[SceneFile | None]
    windows: npt.NDArray[np.int64]
    closest: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    size: int

    def place(self, task: TaskSpec, scene: SceneFile, points: npt.NDArray[np.float64]) -> None:
        """Place the features that are not yet placed on a scene, if their chip is whole and has data."""
        columns, rows = scene.pixels(points)
        height, width = scene.grid.shape
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        self.times += inside
        places = np.stack([columns, rows], axis=1)
        places[~inside] = -self.size
        # The centre of the chip is at most half a pixel from the feature, in both directions.
        windows = np.floor(places - self.size / 2 + 0.5).astype(np.int64)
        whole = inside & scene.holds(windows, self.size)
        free = np.array([found is None for found in self.scenes], bool)
        chosen = np.flatnonzero(whole & free)
        filled = chosen[has_data(task, scene, np.floor(places[chosen]).astype(np.int64))]
        self.closest = np.maximum(self.closest, inside.astype(np.int64) + whole)
        self.windows[filled] = windows[filled]
        for position in filled:
            self.scenes[position] = scene


def _chips(task: TaskSpec, found: Labelled, scenes: list[SceneFile], size: int) -> CutChips:
    import shapely

    count = len(found.numbers)
    zeros = np.zeros(count, np.int64)
    placed = _Placed([None] * count, np.zeros((count, 2), np.int64), zeros, zeros.copy(), size)
    points = Reprojection(found.crs, np.asarray(shapely.point_on_surface(found.geometries)))
    for scene in scenes:
        placed.place(task, scene, shapely.get_coordinates(points.to(scene)))
    items: list[Item] = []
    windows: dict[str, Window] = {}
    given: dict[str, str] = {}
    dropped: dict[str, list[str]] = {}
    for position, chosen in enumerate(placed.scenes):
        name = name_of(found.numbers[position])
        if chosen is None:
            dropped.setdefault(REASONS[placed.closest[position]], []).append(name)
            continue
        if placed.times[position] > 1:
            dropped.setdefault(VIEWS, []).append(name)
        column, row = placed.windows[position].tolist()
        item = _item(found, position, chosen, (column, row, size, size))
        items.append(item)
        windows[item.id] = (column, row, size, size)
        if found.splits is not None and found.splits[position]:
            given[item.id] = found.splits[position]
    return CutChips(tuple(items), windows, given, {reason: tuple(names) for reason, names in dropped.items()})


def _item(found: Labelled, position: int, scene: SceneFile, window: Window) -> Item:
    column, row, size, _ = window
    lonlat, box = place_of_grid(scene.grid.part(window))
    label = found.labels[position].item()
    group = None if found.groups is None else found.groups[position]
    return Item(
        f"{scene.name}/{found.numbers[position]}@{column},{row},{size}", scene.path, label, group, lonlat, box=box
    )
