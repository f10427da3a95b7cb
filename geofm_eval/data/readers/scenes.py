"""Scenes that own labels are cut from: their grids, and geometries in their coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Load
from geofm_eval.data.pixels import to_unit
from geofm_eval.data.readers.grids import Grid
from geofm_eval.data.readers.images import TIFF
from geofm_eval.data.readers.labelled import Objects
from geofm_eval.data.readers.listed import check_inside, visible
from geofm_eval.data.readers.rasters import Window, check_bands, grid_of, read_window, read_windows
from geofm_eval.errors import DataError

Points = npt.NDArray[np.float64]
"""(n, 2) x and y."""


@dataclass(frozen=True)
class SceneFile:
    """A georeferenced GeoTIFF of any size.

    Args:
        name: path below the folder of the data, without the ending.
        path: the file.
        grid: its grid.
    """

    name: str
    path: Path
    grid: Grid

    def pixels(self, points: Points) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Columns and rows of points in the CRS of the scene; infinite or NaN where undefined."""
        with np.errstate(invalid="ignore"):
            columns, rows = self.grid.place(points[:, 0], points[:, 1])
        return columns, rows

    def holds(self, windows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.bool_]:
        """Return which windows, (n, 2) columns and rows of their first pixels, are inside the scene."""
        height, width = self.grid.shape
        return np.asarray((windows >= 0).all(axis=1) & (windows <= (width - size, height - size)).all(axis=1))


def find_scenes(task: TaskSpec, root: Path, pattern: str) -> list[SceneFile]:
    """Find the scenes of a glob pattern, sorted by name.

    Raises:
        DataError: there is none, or one has no georeference or other bands than the task.
    """
    paths = [path for path in visible(root, pattern) if path.suffix.lower() in TIFF and path.is_file()]
    if not paths:
        raise DataError(
            f"{root}: no GeoTIFF fits the option scenes = '{pattern[:80]}'; expected a pattern below this folder, for "
            "example scenes/*.tif"
        )
    check_inside(root, paths)
    return [_scene(task, root, path) for path in paths]


def _scene(task: TaskSpec, root: Path, path: Path) -> SceneFile:
    check_bands(read_window(path, (0, 0, 1, 1)), task, task.bands)
    grid = grid_of(path)
    if grid is None:
        raise DataError(
            f"{path}: the scene has no georeference, so labels cannot be placed on it. Use the original GeoTIFF, or "
            "move it out of the folder of scenes"
        )
    return SceneFile(path.relative_to(root).with_suffix("").as_posix(), path, grid)


def has_data(task: TaskSpec, scene: SceneFile, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which pixels, (n, 2) columns and rows, have data in every band."""
    windows: list[Window] = [(int(column), int(row), 1, 1) for column, row in pixels]
    found = (to_unit(part.marked, task).valid.all() for part in read_windows(scene.path, windows))
    return np.fromiter(found, bool, len(windows))


@dataclass(frozen=True)
class CutChips:
    """Samples that are windows of scenes.

    Args:
        items: samples.
        windows: window of every sample by id.
        given: split by id, as far as the labels name one.
        dropped: features, and windows, that give no sample, by reason.
        load_target: reads the mask of a sample; None for one label per sample.
    """

    items: tuple[Item, ...]
    windows: Mapping[str, Window]
    given: Mapping[str, str]
    dropped: Mapping[str, tuple[str, ...]]
    load_target: Load | None = None


class Reprojection:
    """Geometries in the CRS of any scene; scenes of one CRS share the result.

    Args:
        crs: pyproj CRS of the geometries.
        geometries: (n,) shapely geometries.
    """

    def __init__(self, crs: Any, geometries: Objects) -> None:
        self._crs, self._geometries = crs, geometries
        self._found: dict[str, Objects] = {}

    def to(self, scene: SceneFile) -> Objects:
        """Return the geometries in the CRS of a scene; coordinates are infinite where they are undefined.

        Raises:
            DataError: no transformation between both CRS is known.
        """
        target = scene.grid.crs.to_wkt()
        if target not in self._found:
            self._found[target] = _projected(scene.path, self._crs, target, self._geometries)
        return self._found[target]


def _projected(path: Path, source: Any, target: str, geometries: Objects) -> Objects:
    import pyproj
    import shapely

    try:
        transformer = pyproj.Transformer.from_crs(source, pyproj.CRS.from_wkt(target), always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise DataError(
            f"{path}: labels in {str(source)[:60]} cannot be placed on the scene ({str(error)[:120]}). Save both in a "
            "common CRS, for example of EPSG"
        ) from error

    def move(points: Points) -> Points:
        return np.stack(transformer.transform(points[:, 0], points[:, 1]), axis=1)

    return np.asarray(shapely.transform(geometries, move))
