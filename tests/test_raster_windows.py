"""A window of a GeoTIFF is the slice of the whole: pixels, masks, nodata and place, in any stored order."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from geofm_eval.data.readers import rasters
from geofm_eval.data.readers.rasters import read_raster, read_window, read_windows
from geofm_eval.errors import DataError
from tests.chip_files import write_tif

HEIGHT, WIDTH = 40, 48
ORDERS = {
    "north-up": Affine(10, 0, 500_000, 0, -10, 4_500_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 4_499_600),
    "mirrored": Affine(-10, 0, 500_480, 0, -10, 4_500_000),
    "turned": Affine(0, 10, 500_000, -10, 0, 4_500_000),
    "turned back": Affine(0, -10, 500_400, 10, 0, 4_499_520),
}


def write(path: Path, order: str = "north-up", mask: str = "", **profile: object) -> Path:
    pixels = np.random.default_rng(0).integers(0, 50, (3, HEIGHT, WIDTH)).astype(np.uint16)
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    write_tif(path, pixels, crs="EPSG:32630", transform=ORDERS[order], **{**tiles, **profile})
    holes = np.where(np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.2, 0, 255).astype(np.uint8)
    if mask == "alpha":
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    elif mask:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=mask == "internal"), rasterio.open(path, "r+") as file:
            file.write_mask(holes)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("windows")
    found = {}
    for order in ORDERS:
        for mask in ("", "internal", "beside", "alpha"):
            nodata = {"nodata": 7} if mask in ("", "internal") else {}
            found[order, mask] = write(folder / f"{order}-{mask}.tif", order, mask, **nodata)
    return found


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_a_window_is_a_slice(files: dict[tuple[str, str], Path], data: st.DataObject):
    path = files[data.draw(st.sampled_from(list(files)))]
    whole = read_raster(path)
    height, width = whole.pixels.shape[1:]
    column, row = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    across, down = data.draw(st.integers(1, width - column)), data.draw(st.integers(1, height - row))
    part = read_window(path, (column, row, across, down))
    expected = whole.marked[:, row : row + down, column : column + across]
    assert np.array_equal(part.marked, expected, equal_nan=np.issubdtype(expected.dtype, np.floating))
    assert (part.nodata, part.tags, part.alphas) == (whole.nodata, whole.tags, whole.alphas)
    assert whole.grid is not None
    assert part.grid is not None
    assert part.grid.shape == (down, across)
    np.testing.assert_allclose(part.grid.point(0, 0), whole.grid.point(column, row))
    np.testing.assert_allclose(part.grid.point(across, down), whole.grid.point(column + across, row + down))


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, 37, 4, 4), (45, 0, 4, 4), (0, 0, 0, 4)])
def test_a_window_that_leaves_the_file_is_refused(tmp_path: Path, window: tuple[int, int, int, int]):
    with pytest.raises(DataError, match="is not inside the 48 x 40 pixels"):
        read_window(write(tmp_path / "a.tif"), window)


def test_a_file_too_large_to_read_whole_is_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.tif")
    monkeypatch.setattr(rasters, "MOST_BYTES", 5000)
    with pytest.raises(DataError, match="expected chips of at most"):
        read_raster(path)
    assert [part.pixels.shape for part in read_windows(path, [(3, 4, 16, 8), (0, 0, 2, 2)])] == [(3, 8, 16), (3, 2, 2)]
    with pytest.raises(DataError, match="takes 7,680 bytes to read"):
        read_window(path, (0, 0, 40, 32))


def test_a_file_that_is_one_block_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.tif", tiled=False, blockysize=HEIGHT, blockxsize=WIDTH)
    monkeypatch.setattr(rasters, "MOST_BYTES", 5000)
    with pytest.raises(DataError, match="Write the file in tiles"):
        read_window(path, (0, 0, 2, 2))


def test_sheared_files_have_no_windows(tmp_path: Path):
    write_tif(tmp_path / "a.tif", np.ones((8, 8)), crs="EPSG:32630", transform=Affine(10, 5, 0, 5, -10, 0))
    with pytest.raises(DataError, match="rotated or sheared"):
        read_window(tmp_path / "a.tif", (0, 0, 2, 2))


def test_complex_values_have_no_windows(tmp_path: Path):
    write_tif(tmp_path / "a.tif", np.ones((8, 8), np.complex64))
    with pytest.raises(DataError, match="complex"):
        read_window(tmp_path / "a.tif", (0, 0, 2, 2))
