"""Windows of own scenes that contain labelled polygons, with the polygons as mask."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.readers.images import place_of_grid
from geofm_eval.data.readers.labelled import Labelled, Objects, finite, name_of
from geofm_eval.data.readers.rasters import Window
from geofm_eval.data.readers.scenes import CutChips, Reprojection, SceneFile
from geofm_eval.data.units import joined

log = logging.getLogger(__name__)

OUTSIDE = "outside every scene"
EDGE = "in no whole window, at the edge of its scene"
SMALL = "contains no centre of a pixel"
SELECTED_ELSEWHERE = "views in further scenes, because each polygon selects windows of one"
MIXED = "polygons of several splits in one window"

SLIVER = 1e-3
"""Proportion of the smaller of two polygons up to which an overlap is not reported."""

Cell = tuple[int, int]
"""Column and row of a window in the regular grid of windows."""


@dataclass(frozen=True)
class _View:
    """Polygons in the pixels of one scene: coordinates are columns and rows."""

    scene: SceneFile
    size: int
    polygons: Objects
    bounds: npt.NDArray[np.float64]

    @property
    def cells(self) -> Cell:
        """Number of whole windows, in columns and rows."""
        height, width = self.scene.grid.shape
        return width // self.size, height // self.size

    @property
    def near(self) -> list[int]:
        """Positions of polygons whose bounds reach into the scene; those without finite coordinates do not."""
        height, width = self.scene.grid.shape
        west, north, east, south = np.where(finite(self.polygons)[:, None], self.bounds, np.nan).T
        return [int(k) for k in np.flatnonzero((east > 0) & (west < width) & (south > 0) & (north < height))]

    def touched(self, position: int) -> list[Cell]:
        """Whole windows that the bounds of a polygon touch."""
        west, north, east, south = np.floor(self.bounds[position] / self.size).astype(int)
        across, down = self.cells
        rows = range(max(north, 0), min(south, down - 1) + 1)
        return [(column, row) for row in rows for column in range(max(west, 0), min(east, across - 1) + 1)]

    def is_inside(self, position: int) -> bool:
        """Whether a polygon is within the whole windows."""
        west, north, east, south = self.bounds[position]
        across, down = self.cells
        return bool(min(west, north) >= 0 and east <= across * self.size and south <= down * self.size)

    def clipped(self, positions: Sequence[int], cell: Cell) -> Objects:
        """Polygons in the pixels of a window; a country would otherwise be drawn with all its vertices each time."""
        import shapely

        west, north = cell[0] * self.size, cell[1] * self.size
        frame = (west - 1, north - 1, west + self.size + 1, north + self.size + 1)
        parts = shapely.clip_by_rect(self.polygons[list(positions)], *frame)
        return np.asarray(shapely.transform(parts, lambda points: points - (west, north)))


@dataclass(frozen=True)
class _MaskWindow:
    """One window: its sample, and the polygons whose bounds touch it, in pixels of the window."""

    item: Item
    window: Window
    positions: list[int]
    polygons: Objects

    def named(self, names: Sequence[str]) -> list[str]:
        """Names of the polygons that own a pixel of the window, each once, without empty ones."""
        size = self.window[2]
        own = [k for n, k in enumerate(self.positions) if names[k] and _burnt(self.polygons[[n]], [1.0], size).any()]
        return sorted({names[k] for k in own})


def masked_windows(
    task: TaskSpec, found: Labelled, scenes: Sequence[SceneFile], size: int, parts: tuple[Path, ...]
) -> CutChips:
    """Return windows with labelled pixels as samples.

    Windows are on a regular grid from the north-western corner of each scene; incomplete ones at the edges are left
    out. A polygon selects windows of the first scene by name that shows one of its pixels. Every polygon is drawn in
    every window. A pixel in polygons with different labels has no label.
    """
    _report_overlaps(found)
    projected = Reprojection(found.crs, found.geometries)
    missing = dict.fromkeys(range(len(found.numbers)), OUTSIDE)
    windows: list[_MaskWindow] = []
    several: set[int] = set()
    for scene in scenes:
        view = _view(scene, size, projected.to(scene))
        several |= {position for position in view.near if position not in missing}
        for cell, shown in _selected(view, missing).items():
            window = (cell[0] * size, cell[1] * size, size, size)
            item = _item(found.path, scene, window, parts)
            windows.append(_MaskWindow(item, window, shown, view.clipped(shown, cell)))
    given, mixed = _splits(found, windows)
    kept = _grouped(found, [one for one in windows if one.item.id not in mixed])
    shapes = {one.item.id: (one.polygons, found.labels[one.positions]) for one in kept}

    def load_target(item: Item) -> npt.NDArray[Any]:
        return drawn_mask(task, *shapes[item.id], size)

    return CutChips(
        tuple(one.item for one in kept),
        {one.item.id: one.window for one in kept},
        given,
        _by_reason(found, {**missing, **dict.fromkeys(sorted(several), SELECTED_ELSEWHERE)}, mixed),
        load_target,
    )


def _splits(found: Labelled, windows: Sequence[_MaskWindow]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Split of every window whose polygons name one, by id; and ids of windows with polygons of several splits."""
    if found.splits is None:
        return {}, ()
    named = {one.item.id: one.named(found.splits) for one in windows}
    given = {id: splits[0] for id, splits in named.items() if len(splits) == 1}
    return given, tuple(id for id, splits in named.items() if len(splits) > 1)


def _grouped(found: Labelled, windows: list[_MaskWindow]) -> list[_MaskWindow]:
    """Windows with the groups of their polygons; those with several groups make them one."""
    if found.groups is None or not windows:
        return windows
    pairs = [(one.item.id, name) for one in windows for name in one.named(found.groups)]
    of = dict(zip([id for id, _ in pairs], joined(*np.array(pairs).T[::-1]).tolist(), strict=True))
    return [replace(one, item=replace(one.item, group=of[one.item.id])) for one in windows]


def _view(scene: SceneFile, size: int, polygons: Objects) -> _View:
    import shapely

    def place(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack(scene.pixels(points), axis=1)

    in_pixels = np.asarray(shapely.transform(polygons, place))
    return _View(scene, size, in_pixels, shapely.bounds(in_pixels).reshape(-1, 4))


def _selected(view: _View, missing: dict[int, str]) -> dict[Cell, list[int]]:
    """Polygons of every window that one of the missing polygons selects; these are then not missing any more."""
    cells = {position: view.touched(position) for position in view.near}
    chosen: set[Cell] = set()
    for position in [position for position in cells if position in missing]:
        drawn = {cell for cell in cells[position] if _burnt(view.clipped([position], cell), [1.0], view.size).any()}
        chosen |= drawn
        if drawn:
            del missing[position]
        else:
            missing[position] = SMALL if view.is_inside(position) else EDGE
    found: dict[Cell, list[int]] = {cell: [] for cell in sorted(chosen, key=lambda cell: cell[::-1])}
    for position, touched in cells.items():
        for cell in touched:
            if cell in found:
                found[cell].append(position)
    return found


def _burnt(polygons: Objects, values: Sequence[float] | npt.NDArray[Any], size: int) -> npt.NDArray[np.float64]:
    """(size, size) value of the last polygon that contains the centre of a pixel; 0 outside."""
    from rasterio.features import rasterize

    shapes = [(polygon, value) for polygon, value in zip(polygons, values, strict=True) if not polygon.is_empty]
    if not shapes:
        return np.zeros((size, size))
    return np.asarray(rasterize(shapes, (size, size), dtype="float64"))


def drawn_mask(task: TaskSpec, polygons: Objects, labels: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Draw polygons as classes or values per pixel.

    Args:
        task: declares ``ignore`` and the option ``background``.
        polygons: (n,) in columns and rows of the mask.
        labels: (n,) classes or values.
        size: pixels per side.

    Returns:
        (size, size): int64 classes, with the background or ``ignore`` outside all polygons and ``ignore`` where labels
        differ; or float32 values with NaN instead.
    """
    different, rank = np.unique(labels, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    highest = _burnt(polygons[order], rank[order] + 1.0, size).astype(np.int64)
    lowest = _burnt(polygons[order[::-1]], rank[order[::-1]] + 1.0, size).astype(np.int64)
    outside: float = np.nan if task.numeric else task.ignore
    background = task.options.get("background")
    values = np.concatenate([[outside if background is None else task.classes.index(background)], different])
    found = np.where(highest == lowest, values[highest], outside)
    return found.astype(np.float32 if task.numeric else np.int64)


def _report_overlaps(found: Labelled) -> None:
    import shapely

    tree = shapely.STRtree(found.geometries)
    first, second = tree.query(found.geometries, predicate="intersects")
    other = (first < second) & (found.labels[first] != found.labels[second])
    first, second = first[other], second[other]
    # Neighbours that were transformed apart overlap by slivers.
    shared = shapely.area(shapely.intersection(found.geometries[first], found.geometries[second]))
    smaller = np.minimum(shapely.area(found.geometries[first]), shapely.area(found.geometries[second]))
    inside = shared > SLIVER * smaller
    if count := len({*first[inside].tolist(), *second[inside].tolist()}):
        log.warning(
            "%s: %d polygons overlap polygons with other labels; pixels in both have no label", found.path.name, count
        )


def _by_reason(found: Labelled, reasons: Mapping[int, str], mixed: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Features by reason, and windows with polygons of several splits."""
    dropped: dict[str, list[str]] = {}
    for position, reason in reasons.items():
        dropped.setdefault(reason, []).append(name_of(found.numbers[position]))
    return {reason: tuple(names) for reason, names in dropped.items()} | ({MIXED: mixed} if mixed else {})


def _item(labels: Path, scene: SceneFile, window: Window, parts: tuple[Path, ...]) -> Item:
    column, row, size, _ = window
    lonlat, box = place_of_grid(scene.grid.part(window))
    name = f"{scene.name}@{column},{row},{size}"
    return Item(name, scene.path, None, lonlat=lonlat, target=labels, box=box, target_others=parts)
