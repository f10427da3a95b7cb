"""What a GeoTIFF says about its pixels: gaps, orientation, place and the meaning of its values."""

import threading
from pathlib import Path
from socket import create_server

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine, from_origin

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers.chips import classes_of
from geofm_eval.data.readers.grids import check_one_grid
from geofm_eval.data.readers.rasters import grid_of, read_bands, read_raster, read_target
from geofm_eval.errors import DataError
from tests.chip_files import write_tif

SIDE = 8
PLACE = {"crs": "EPSG:32630", "transform": from_origin(500_000, 4_500_000, 10, 10)}
RAMP = np.arange(2 * SIDE * 6, dtype=np.uint16).reshape(2, SIDE, 6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chip.tif"


@pytest.fixture
def task() -> TaskSpec:
    return load_catalog().task("sen1floods11")


def write_mask(path: Path, mask: np.ndarray, *, internal: bool) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as file:
        file.write_mask(mask)


@pytest.mark.parametrize("internal", [True, False])
def test_masked_pixels_are_no_data(path: Path, internal: bool):
    write_tif(path, RAMP, **PLACE)
    mask = np.full((SIDE, 6), 255, np.uint8)
    mask[:, :2] = 0
    write_mask(path, mask, internal=internal)
    assert path.with_name("chip.tif.msk").exists() is not internal
    read = read_raster(path).marked
    assert np.isnan(read[:, :, :2]).all()
    assert np.array_equal(read[:, :, 2:], RAMP[:, :, 2:])


def test_mask_and_nodata_both_count(path: Path):
    write_tif(path, RAMP, nodata=47, **PLACE)
    mask = np.full((SIDE, 6), 255, np.uint8)
    mask[0, 0] = 0
    write_mask(path, mask, internal=True)
    assert np.argwhere(np.isnan(read_raster(path).marked)).tolist() == [[0, 0, 0], [0, 7, 5], [1, 0, 0]]


def test_alpha_band_is_a_mask_and_no_data_band(path: Path):
    pixels = np.concatenate([RAMP, np.ones((1, SIDE, 6), np.uint16)])
    pixels[2, 3] = 0
    write_tif(path, pixels, **PLACE)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    read = read_raster(path).marked
    assert read.shape == (2, SIDE, 6)
    assert np.flatnonzero(np.isnan(read).all(axis=(0, 2))).tolist() == [3]


def test_four_bands_of_which_one_is_alpha_are_not_four_bands(path: Path, task: TaskSpec):
    write_tif(path, np.full((4, SIDE, SIDE), 9, np.uint8), photometric="RGB", alpha="YES")
    with pytest.raises(DataError, match=r"3 bands \(and 1 alpha, used as a mask\), expected 4"):
        read_bands(path, task, ("B02", "B03", "B04", "B08"))


@pytest.mark.parametrize(("nodata", "hole"), [(np.nan, np.nan), (-9999.9, np.float32(-9999.9))])
def test_nodata_of_floats(path: Path, nodata: float, hole: float):
    pixels = RAMP.astype(np.float32)
    pixels[:, 0] = hole
    write_tif(path, pixels, nodata)
    assert np.isnan(read_raster(path).marked).sum() == 12


def test_files_beside_do_not_change_what_a_file_says(path: Path):
    write_tif(path, RAMP)
    sidecar = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    path.with_name("chip.tif.aux.xml").write_text(sidecar)
    path.with_suffix(".tfw").write_text("10\n0\n0\n10\n500000\n4500000\n")
    assert np.array_equal(read_raster(path).marked, RAMP)
    assert grid_of(path) is None


VRT = """<VRTDataset rasterXSize="8" rasterYSize="1">
<VRTRasterBand dataType="Byte" band="1"{kind}>{source}</VRTRasterBand></VRTDataset>"""


def test_virtual_raster_reads_no_other_file(path: Path, tmp_path: Path):
    (tmp_path / "secret.bin").write_bytes(b"12345678")
    raw = f'<SourceFilename relativeToVRT="0">{tmp_path / "secret.bin"}</SourceFilename>'
    path.write_text(VRT.format(kind=' subClass="VRTRawRasterBand"', source=raw))
    with pytest.raises(DataError, match=r"chip.tif: not a readable GeoTIFF"):
        read_raster(path)


def test_virtual_raster_opens_no_connection(path: Path):
    with create_server(("127.0.0.1", 0)) as server:
        calls: list[str] = []

        def answer() -> None:
            connection, _ = server.accept()
            calls.append("called")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/a.tif"
        source = f"<SimpleSource><SourceFilename>{url}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        path.write_text(VRT.format(kind="", source=source))
        write_tif(path.with_name("good.tif"), RAMP)
        path.with_name("good.tif.msk").write_text(path.read_text())
        for name in ("chip.tif", "good.tif"):
            with pytest.raises(DataError, match="not a readable GeoTIFF"):
                read_raster(path.with_name(name))
        assert not calls


def turned(rows: bool, columns: bool, swap: bool) -> tuple[np.ndarray, Affine]:
    """RAMP as a file stores it whose axes are reversed or swapped, and the transform that says so."""
    pixels, a, e, c, f = RAMP, 10, -10, 500_000, 4_500_000
    if rows:
        pixels, f, e = pixels[:, ::-1], f - 10 * SIDE, 10
    if columns:
        pixels, c, a = pixels[:, :, ::-1], c + 10 * 6, -10
    if swap:
        return pixels.swapaxes(1, 2).copy(), Affine(0, a, c, e, 0, f)
    return pixels.copy(), Affine(a, 0, c, 0, e, f)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_every_turn_by_ninety_degrees_is_brought_north_up(path: Path, rows: bool, columns: bool, swap: bool):
    pixels, transform = turned(rows, columns, swap)
    write_tif(path, pixels, crs="EPSG:32630", transform=transform)
    mask = np.full(pixels.shape[1:], 255, np.uint8)
    mask[pixels[0] == 0] = 0
    write_mask(path, mask, internal=True)
    write_tif(path.with_name("north.tif"), RAMP, **PLACE)
    expected = RAMP.astype(np.float32)
    expected[:, 0, 0] = np.nan
    assert np.array_equal(read_raster(path).marked, expected, equal_nan=True)
    check_one_grid(grid_of(path.with_name("north.tif")), grid_of(path))


def test_rotated_pixels_are_refused(path: Path):
    write_tif(path, RAMP, crs="EPSG:32630", transform=PLACE["transform"] @ Affine.rotation(20))
    with pytest.raises(DataError, match="rotated or sheared"):
        read_raster(path)


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"transform": Affine(10, 0, 500_000, 0, 10, 4_500_000)},
        {"crs": "EPSG:32630"},
        {"crs": "EPSG:4326", "transform": Affine(1, 0, 0, 0, -1, SIDE)},
    ],
)
def test_file_without_a_place_is_read_as_it_is_and_fits_any_other(path: Path, place: dict):
    write_tif(path, RAMP, **place)
    write_tif(path.with_name("placed.tif"), RAMP, **PLACE)
    assert np.array_equal(read_raster(path).marked, RAMP)
    check_one_grid(grid_of(path), grid_of(path.with_name("placed.tif")))


@pytest.mark.parametrize(
    ("place", "one"),
    [
        ({"transform": from_origin(500_000.9, 4_500_000.9, 10, 10)}, True),
        ({"transform": from_origin(500_005, 4_500_000, 10, 10)}, False),
        ({"transform": from_origin(500_000, 4_500_000, 10, 10.2)}, False),
        ({"crs": "EPSG:32733"}, False),
        ({"crs": "EPSG:25830"}, True),  # ETRS89 / UTM 30N, the same coordinates within a metre
        ({"crs": 'LOCAL_CS["drawing",UNIT["metre",1]]'}, False),
    ],
)
def test_grids_are_one_within_a_tenth_of_a_pixel(path: Path, place: dict, one: bool):
    write_tif(path, RAMP, **PLACE)
    write_tif(path.with_name("other.tif"), RAMP, **{**PLACE, **place})
    first, second = grid_of(path), grid_of(path.with_name("other.tif"))
    if one:
        check_one_grid(first, second)
    else:
        with pytest.raises(
            DataError, match=r"other.tif: the grid \(.*\) differs from that of .*chip.tif \(EPSG:32630"
        ) as told:
            check_one_grid(first, second)
        assert len(str(told.value)) <= 400


@pytest.mark.parametrize("kind", [np.complex64, "complex_int16"])
def test_complex_values_are_refused(path: Path, kind: object):
    write_tif(path, np.ones((1, SIDE, SIDE), np.complex64), dtype=kind)
    with pytest.raises(DataError, match="the values are complex"):
        read_raster(path)


def write_tags(path: Path, scale: float, offset: float, bands: int = 2) -> None:
    write_tif(path, np.full((bands, SIDE, SIDE), 500, np.uint16))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [scale] * bands, [offset] * bands


@pytest.mark.parametrize(
    ("tag", "declared", "agree"),
    [
        ((1e-4, 0), (1, 0), True),
        ((1e-4, -0.1), (1, -1000), True),
        ((1e-4, -0.1), (1, 0), False),
        ((1e-4, 0), (10_000, 0), False),
        ((1, -1000), (1, -1000), True),
        ((1, -1000), (1, 0), False),
        ((2.75e-5, -0.2), (0.275, -2000), True),
    ],
)
def test_scale_and_offset_of_a_file_must_be_those_of_the_task(path: Path, task: TaskSpec, tag, declared, agree):
    write_tags(path, *tag)
    task = task.model_copy(update={"scale": float(declared[0]), "offset": float(declared[1])})
    if agree:
        assert (read_bands(path, task, ("B02", "B03")).pixels == 500).all()
        return
    with pytest.raises(DataError, match=r"chip.tif: its tags define B02 as value \*"):
        read_bands(path, task, ("B02", "B03"))


def test_decibels_have_one_unit_only(path: Path):
    task = load_catalog().task("sen1floods11_s1")
    write_tags(path, 1e-4, 0)
    with pytest.raises(DataError, match="its tags define VV"):
        read_bands(path, task, ("VV", "VH"))


def test_labels_have_no_scale(path: Path):
    write_tags(path, 0.5, 0, bands=1)
    with pytest.raises(DataError, match="Write the labels without scale"):
        read_target(path)


CODE = {-1: -1, 0: 0, 1: 1}


@pytest.mark.parametrize(
    ("nodata", "told", "expected"),
    [(255, None, [-1, 0, 1]), (0, None, [0, 1]), (0, "ignore", [-1, 1])],
)
def test_nodata_of_a_label_is_ignored_unless_it_is_a_class(path: Path, task: TaskSpec, nodata, told, expected):
    values = [0, 1] if nodata == 0 else [0, 1, 255]
    write_tif(path, np.resize(np.array(values, np.uint8), (SIDE, SIDE)), nodata)
    task = task.model_copy(update={"label_nodata": told})
    assert np.unique(classes_of(read_raster(path), task, CODE)).tolist() == expected


def test_nodata_that_one_of_two_codes_knows_is_never_guessed(path: Path, task: TaskSpec):
    write_tif(path, np.resize(np.array([0, 1, 255], np.uint8), (SIDE, SIDE)), 255)
    with pytest.raises(DataError, match="set label_nodata = 'ignore'"):
        classes_of(read_raster(path), task, {0: 0, 1: 1}, {0: 0, 255: 1})
    told = task.model_copy(update={"label_nodata": "ignore"})
    assert np.unique(classes_of(read_raster(path), told, {0: 0, 1: 1}, {0: 0, 255: 1})).tolist() == [-1, 0, 1]


def test_masked_labels_are_ignored(path: Path, task: TaskSpec):
    write_tif(path, np.ones((SIDE, SIDE), np.uint8))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[2] = 255
    write_mask(path, mask, internal=True)
    assert (classes_of(read_raster(path), task, CODE) == 1).sum() == SIDE


def test_label_without_a_declared_gap_is_read_to_the_letter(path: Path, task: TaskSpec):
    write_tif(path, np.full((SIDE, SIDE), 255, np.uint8))
    with pytest.raises(DataError, match="label values 255 are out of range"):
        classes_of(read_raster(path), task, CODE)
