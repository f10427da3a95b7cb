"""TerraMesh examples on disk: aligned modalities, the class that covers most of a tile, the +1000 offset."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.simulation.standins.chips import write_geotiff

TILES = ("a_0", "b_1", "c_2", "d_3")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """S2L2A and S1RTC below a home of the test's own; tile b_1 carries the offset."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    options = {"modalities": ["S2L2A", "S1RTC"], "shifted": ["b_1"]}
    return load_catalog().task("terramesh_examples").model_copy(update={"options": options})


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    folder = tmp_path / task.root
    for modality in ("S2L2A", "S1RTC", "LULC"):
        (folder / modality).mkdir(parents=True)
    for number, tile in enumerate(TILES):
        offset = 1000 if tile == "b_1" else 0
        bands = 500 + 10 * np.arange(12) + offset
        write_geotiff(folder / f"S2L2A/{tile}.tif", np.broadcast_to(bands[:, None, None], (12, 8, 8)).astype(np.int16))
        write_geotiff(folder / f"S1RTC/{tile}.tif", np.full((2, 8, 8), -11.5))
        write_land(folder, tile, number + 1)
    return folder


def write_land(folder: Path, tile: str, kind: int, rest: int = 9) -> None:
    land = np.full((1, 8, 8), rest, dtype=np.uint8)
    land[0, :5] = kind
    write_geotiff(folder / f"LULC/{tile}.tif", land)


def test_tiles_are_split_by_name_and_labelled_by_what_covers_most(task: TaskSpec, root: Path):
    splits = open_splits(task)
    assert {name: split.ids for name, split in splits.items()} == {
        "train": ("a_0", "b_1"),
        "val": ("c_2",),
        "test": ("d_3",),
    }
    assert {split.definition for split in splits.values()} == {"custom"}
    assert splits["train"].labels.tolist() == [0, 1]
    assert task.classes[splits["test"].labels[0]] == "crops"


def test_offset_is_taken_off_where_it_is_declared(task: TaskSpec, root: Path):
    split = open_splits(task)["train"]
    for index in (0, 1):
        pixels = split.read(index).pixels[:, 0, 0]
        np.testing.assert_allclose(pixels, [*(500 + 10 * np.arange(12)), -11.5, -11.5])


def test_land_without_data_is_no_class(task: TaskSpec, root: Path):
    write_land(root, "a_0", 0, rest=2)
    assert open_splits(task)["train"].labels[0] == 1


@pytest.mark.parametrize(
    ("kind", "rest", "says"), [(10, 9, "label values 9, 10 are out of range"), (0, 0, "no pixel has a class")]
)
def test_land_of_other_classes_is_refused(task: TaskSpec, root: Path, kind: int, rest: int, says: str):
    write_land(root, "a_0", kind, rest)
    with pytest.raises(DataError, match=rf"a_0.tif: {says}"):
        open_splits(task)


def test_place_is_the_middle_of_the_tile(task: TaskSpec, root: Path):
    lon, lat = open_splits(task)["val"].items[0].lonlat
    assert (lon, lat) == pytest.approx((9.0005, 48.7512), abs=2e-3)  # 500 km east, 5,400 km north in UTM zone 32


def test_tiles_that_do_not_fit_are_named(task: TaskSpec, root: Path):
    write_geotiff(root / "S1RTC/c_2.tif", np.full((2, 7, 8), -11.5))
    with pytest.raises(DataError, match=r"the image has \(7, 8\) pixels, but S2L2A/c_2.tif has \(8, 8\)"):
        open_splits(task)["val"].read(0)
    write_geotiff(root / "S2L2A/c_2.tif", np.full((13, 8, 8), 900, dtype=np.int16))
    with pytest.raises(DataError, match=r"c_2.tif: found 13 bands, expected 12"):
        open_splits(task)["val"].read(0)


def test_absent_and_damaged_files_are_named(task: TaskSpec, root: Path):
    (root / "S1RTC/d_3.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 4 listed files missing; the first is .*S1RTC/d_3.tif"):
        open_splits(task)
    (root / "LULC/b_1.tif").write_text("not found")
    with pytest.raises(DataError, match=r"LULC/b_1.tif: not a readable GeoTIFF"):
        open_splits(task)


def test_too_few_tiles(task: TaskSpec, root: Path):
    for tile in TILES[:2]:
        (root / f"S2L2A/{tile}.tif").unlink()
    with pytest.raises(DataError, match="found 2 tiles, expected at least one"):
        open_splits(task)
    for tile in TILES[2:]:
        (root / f"S2L2A/{tile}.tif").unlink()
    with pytest.raises(Unavailable, match="S2L2A has no tiles"):
        open_splits(task)


@pytest.mark.parametrize(
    ("update", "says"),
    [
        ({"options": {"modalities": ["DEM"]}}, "expected one or more of S2L1C, S2L2A, S1RTC"),
        ({"options": {}}, "expected one or more of S2L1C, S2L2A, S1RTC"),
        ({"options": {"modalities": ["S1RTC"], "offset": 1000}}, "option offset is unknown"),
        ({"bands": ("B10",)}, "S2L2A, S1RTC has no band B10"),
    ],
)
def test_what_the_catalog_must_say(task: TaskSpec, root: Path, update: dict[str, object], says: str):
    with pytest.raises(ContractError, match=says):
        open_splits(task.model_copy(update=update))


def real_tiles(slug: str) -> dict[str, tuple[np.ndarray, tuple[float, float] | None, str]]:
    task = load_catalog().task(slug)
    return {
        item.id: (split.read(index).pixels, item.lonlat, task.classes[split.labels[index]])
        for split in open_splits(task).values()
        for index, item in enumerate(split.items)
    }


def test_real_tiles_are_aligned_and_in_their_units(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    tiles = real_tiles("terramesh_examples")
    assert len(tiles) == 5
    for id, (pixels, lonlat, _) in tiles.items():
        assert pixels.shape == (14, 224, 224)
        folder = real_home / "data/terramesh_examples"
        with rasterio.open(folder / f"S2L2A/{id}.tif") as file:
            np.testing.assert_array_equal(pixels[:12] + (1000 if id.startswith("433D") else 0), file.read())
            zone = file.crs.to_epsg() % 100
        with rasterio.open(folder / f"S1RTC/{id}.tif") as file:
            np.testing.assert_allclose(pixels[12:], file.read(), atol=1e-5)
        # The index of vegetation that is published with the tiles is the one of these very bands.
        with rasterio.open(folder / f"NDVI/{id}.tif") as file:
            published = file.read(1)
        stored = pixels if not id.startswith("433D") else pixels + 1000
        made = (stored[7] - stored[3]) / (stored[7] + stored[3])
        assert np.median(np.abs(made - published)) < 0.01
        assert lonlat is not None
        assert abs(lonlat[0] - (6 * zone - 183)) < 3.1  # degrees from the middle of the zone
    kinds = {id: kind for id, (_, _, kind) in tiles.items()}
    assert kinds["609U_541L_3_0"] == "snow and ice"
    assert kinds["637U_59R_1_3"] == "crops"


def test_real_cirrus_band_is_dark_without_the_offset(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    for pixels, _, _ in real_tiles("terramesh_examples_l1c").values():
        assert pixels.shape == (13, 224, 224)
        assert 0 < np.median(pixels[10]) < 100


def test_a_tile_without_any_pixel_is_dropped_and_counted(task: TaskSpec, root: Path):
    write_geotiff(root / f"S1RTC/{TILES[0]}.tif", np.full((2, 8, 8), np.nan))
    train = open_splits(task)["train"]
    assert train.ids == ("b_1",)
    assert train.dropped == {"no valid pixel": ("a_0",)}


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_values_in_another_unit_are_refused(task: TaskSpec, root: Path, factor: float):
    for tile in TILES:
        bands = (1500 + 10 * np.arange(12)) * factor
        write_geotiff(root / f"S2L2A/{tile}.tif", np.broadcast_to(bands[:, None, None], (12, 8, 8)).astype(np.float32))
    plain = task.model_copy(update={"options": {**task.options, "shifted": []}})
    with pytest.raises(DataError, match=r"the median value is .* DN, expected 20 to 20000"):
        open_splits(plain)["train"].read(0)
