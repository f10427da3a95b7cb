"""Rasters of embeddings: pixels as tokens, pooled chips, dense probes in flat memory, and values at points."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import ModelSpec, dense_cases, load_catalog, probe_cases
from geofm_eval.data.embeddings.points import NODATA, OUTSIDE, sampled
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import RawImage, Split
from geofm_eval.dense import tokens
from geofm_eval.dense.tokens import TokenEncoder, sample_tokens
from geofm_eval.dense.windows import covering, window_size
from geofm_eval.errors import ContractError, DataError, GeofmError
from geofm_eval.feature_blocks import extract
from geofm_eval.seeds import generator
from geofm_eval.workspace import Settings, Workspace
from tests.chip_files import write_tif
from tests.embedding_files import plots
from tests.small_chips import CATALOG, FLOODS, chips, few_chips
from tests.small_items import LAND, items

PIXELS = ModelSpec(slug="aef", title="Maps", architecture="pixels")
HEIGHTS = CATALOG.task("biomassters_sim")
RECIPE = CATALOG.recipe("probing")


def encoder(task, size):
    adapter = InputAdapter(PIXELS, task, RECIPE)
    return TokenEncoder(load_backbone(PIXELS, adapter), adapter, size, torch.device("cpu"))


def test_an_entry_needs_no_more_than_its_architecture():
    assert PIXELS.taps == ("final",)
    assert (PIXELS.bands, PIXELS.depth, PIXELS.poolings, PIXELS.is_control) == (("*",), 0, ("mean",), False)
    assert ModelSpec(slug="raw", title="Raw pixels", architecture="pixels", family="control").is_control


def test_a_chip_is_pooled_to_the_mean_of_its_pixels_with_data():
    split = items(LAND, count=5)
    hole = np.ones((16, 16), bool)
    hole[3:5] = False

    def load(item):
        pixels = split.load(item).copy()
        pixels[:, ~hole] = np.nan
        return pixels

    holed = Split(LAND, "train", split.items, "official", load)
    adapter = InputAdapter(PIXELS, LAND, RECIPE)
    block = extract(load_backbone(PIXELS, adapter), adapter, holed)
    expected = [load(item)[:, hole].mean(1) for item in split.items]
    np.testing.assert_allclose(block.features("final"), np.array(expected), rtol=1e-6)


@pytest.mark.parametrize("most", [20_000, 700])
def test_tokens_are_pixels_with_their_labels(most):
    split = chips(FLOODS, count=4)
    found = sample_tokens(encoder(FLOODS, 32), split, 7, most)
    pairs = [split.read_pair(index) for index in range(4)]
    labels = np.concatenate([target.ravel() for _, target in pairs])
    pixels = np.concatenate([image.pixels.reshape(len(FLOODS.bands), -1).T for image, _ in pairs])
    known = np.flatnonzero(labels >= 0)
    if len(known) > most:
        known = np.sort(generator("dense probe", 7, "train").choice(known, most, replace=False))
    np.testing.assert_array_equal(found.features["final"], pixels[known])
    np.testing.assert_array_equal(found.targets.argmax(1), labels[known])
    np.testing.assert_array_equal(found.chips, known // 32**2)
    assert found.weights.tolist() == [1.0] * len(known)


def test_tokens_of_overlapping_windows_are_those_of_each_window():
    """Chips of 40 pixels in windows of 32: four windows per chip, of which pixels in the middle have several."""
    split, size = chips(FLOODS, count=3, side=40), 32
    found = sample_tokens(encoder(FLOODS, size), split, 7)
    rows = []
    for index in range(3):
        image, target = split.read_pair(index)
        for window in covering(40, 40, size):
            known = target[window.area] >= 0
            rows.append(image.pixels[:, *window.area][:, known].T)
    np.testing.assert_array_equal(found.features["final"], np.concatenate(rows))


def test_a_dense_probe_of_pixels_finds_bright_ground(monkeypatch):
    catalog = few_chips(monkeypatch)
    workspace = Workspace(replace(catalog, models={"aef": PIXELS}), Settings())
    sweep = workspace.dense_sweep("aef", FLOODS.slug)
    assert (sweep.taps, sweep.grid, sweep.window) == (("final",), (32, 32), 32)
    assert sweep.rows[0].val_score > 0.9
    assert workspace.ceiling(FLOODS.slug, 32, (32, 32)) == 1.0


def test_a_large_chip_takes_the_memory_of_a_few_windows(monkeypatch):
    """Only the drawn tokens of a chip are kept, and four windows are encoded at once."""
    side, whole = 600, np.zeros((len(FLOODS.bands), 600, 600), np.float32)
    image = RawImage(whole, np.ones((side, side), bool))
    target = np.tile(np.arange(side) % 2, (side, 1)).astype(np.int64)
    monkeypatch.setattr(Split, "read_pair", lambda *_: (image, target))
    monkeypatch.setattr(Split, "read", lambda *_: image)
    seen, maps = [], tokens.TokenEncoder.maps

    def recorded(self, *arguments, **more):
        for encoded in maps(self, *arguments, **more):
            seen.append(len(encoded.windows))
            yield encoded

    monkeypatch.setattr(tokens.TokenEncoder, "maps", recorded)
    size = window_size(None, [(side, side)])
    found = sample_tokens(encoder(FLOODS, size), chips(FLOODS, count=1), 7)
    assert (size, len(found.weights), seen) == (224, tokens.MOST_TOKENS, [4, 4, 1])


def test_pixels_are_probed_on_dense_tasks_and_never_trained():
    catalog = replace(CATALOG, models={**CATALOG.models, "aef": PIXELS})
    found = probe_cases(catalog, "extended", models=["aef"], tasks=["sen1floods11_sim", "eurosat_sim"])
    assert {(case.task, case.layer) for case in found} == {("sen1floods11_sim", "final"), ("eurosat_sim", "final")}
    assert dense_cases(catalog, "extended", models=["aef"], tasks=["sen1floods11_sim"]) == []
    assert probe_cases(catalog, "extended", tasks=["sen1floods11_sim"]) == probe_cases(
        CATALOG, "extended", tasks=["sen1floods11_sim"]
    )


def test_options_of_pixels_are_checked():
    with pytest.raises(ValueError, match="missing is for option raster"):
        ModelSpec(slug="aef", title="Maps", architecture="pixels", options={"missing": 2})
    with pytest.raises(ValueError, match="tasks is missing"):
        ModelSpec(slug="aef", title="Maps", architecture="pixels", options={"raster": "aef.tif"})


# Values at points.


def write_map(path, nodata=-128, crs="EPSG:32632", bands=3, south_up=False):
    """A map of 40 x 50 pixels of 2 km around (9, 50): band b of pixel (row, column) is 40 b + row - column."""
    values = np.add.outer(np.arange(40), -np.arange(50))[None] + 40 * np.arange(bands)[:, None, None]
    values[:, 10, 10] = nodata
    step = Affine(2000, 0, 450_000, 0, -2000, 5_580_000)
    if south_up:
        step, values = Affine(2000, 0, 450_000, 0, 2000, 5_580_000 - 80_000), values[:, ::-1]
    shape = {"height": 40, "width": 50, "count": bands, "dtype": "int16", "nodata": nodata}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=step, **shape, **tiles) as file:
        file.write(values.astype(np.int16))


def lonlat_at(rows, columns):
    """Degrees of the centres of pixels of the map."""
    from geofm_eval.data.readers.grids import project

    x, y = 450_000 + 2000 * (np.asarray(columns) + 0.5), 5_580_000 - 2000 * (np.asarray(rows) + 0.5)
    return np.stack(project("EPSG:32632", "EPSG:4326", x.tolist(), y.tolist()), axis=1)


@pytest.mark.parametrize("south_up", [False, True])
def test_points_have_the_values_of_the_pixels_that_contain_them(tmp_path, south_up):
    write_map(tmp_path / "aef.tif", south_up=south_up)
    rows, columns = np.array([0, 39, 17, 10, 5]), np.array([0, 49, 33, 10, 48])
    found = sampled(tmp_path / "aef.tif", lonlat_at(rows, columns))
    expected = (40 * np.arange(3) + (rows - columns)[:, None]).astype(np.float32)
    expected[3] = np.nan
    np.testing.assert_array_equal(found.values, expected)
    assert found.reasons.tolist() == ["", "", "", NODATA, ""]
    outside = sampled(tmp_path / "aef.tif", np.concatenate([lonlat_at([-1, 0, 40], [3, 50, 3]), [[200.0, 95.0]]]))
    assert outside.reasons.tolist() == [OUTSIDE] * 4
    assert np.isnan(outside.values).all()


def test_masks_alpha_scale_and_offset_of_a_raster_count(tmp_path):
    from rasterio.enums import ColorInterp

    path, pixels = tmp_path / "aef.tif", np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    pixels[2] = 255
    pixels[2, 1, 1] = 0
    place = {"crs": "EPSG:32632", "transform": Affine(2000, 0, 450_000, 0, -2000, 5_580_000)}
    write_tif(path, pixels, **place)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
        file.scales, file.offsets = [0.5, 1, 1], [10, 0, 0]
    write_tif(tmp_path / "aef.tif.msk", np.where(np.arange(64).reshape(1, 8, 8) == 2, 0, 255).astype(np.uint8))
    found = sampled(path, lonlat_at([0, 0, 1], [1, 2, 1]))
    assert found.reasons.tolist() == ["", NODATA, NODATA]
    assert found.values[0].tolist() == [pixels[0, 0, 1] * 0.5 + 10, pixels[1, 0, 1]]


def test_blocks_too_large_to_read_alone_are_refused(tmp_path, monkeypatch):
    write_map(tmp_path / "aef.tif")
    monkeypatch.setattr("geofm_eval.data.readers.rasters.MOST_BYTES", 1000)
    with pytest.raises(DataError, match="Write the file in tiles"):
        sampled(tmp_path / "aef.tif", lonlat_at([0], [0]))


def test_a_raster_without_a_crs_is_refused(tmp_path):
    write_map(tmp_path / "aef.tif", crs=None)
    with pytest.raises(DataError, match="the raster has no CRS and place"):
        sampled(tmp_path / "aef.tif", np.zeros((1, 2)))


@pytest.fixture
def made(tmp_path):
    """Plots at the centres of pixels."""
    made = plots(tmp_path)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    where = lonlat_at(np.arange(60) % 7 + 20, np.arange(60) % 30)
    rows = [line.split(",") for line in lines[1:]]
    moved = [
        ",".join([*row[:3], f"{lon:.9f}", f"{lat:.9f}", row[5]]) for row, (lon, lat) in zip(rows, where, strict=True)
    ]
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *moved]))
    write_map(tmp_path / "aef.tif")
    return made


def entry(made, options):
    made.entries["aef"] = (
        f'[models.aef]\ntitle = "Maps"\narchitecture = "pixels"\ntasks = ["plots"]\noptions = {options}\n'
        'embedding = { product_version = "1", product_year = 2024 }\n'
    )
    return made.workspace()


def test_a_raster_is_sampled_at_the_places_of_samples(made):
    workspace = entry(made, '{ raster = "aef.tif" }')
    block = workspace.block("aef", "plots", "train")
    numbers = np.array([int(one) for one in block.ids])
    expected = 40 * np.arange(3) + (numbers % 7 + 20 - numbers % 30)[:, None]
    np.testing.assert_array_equal(block.features("final"), expected)
    assert workspace.backbone("aef", "plots").weights_source == "pixels:aef.tif"
    assert {row.tap for row in workspace.sweep("aef", "plots", "linear").rows} == {"final"}


def test_points_outside_and_without_data_are_counted_and_refused(made):
    lines = (made.folder / "labels.csv").read_text().splitlines()
    hole = lonlat_at([10], [10])[0]
    for number, (lon, lat) in ((1, (9.0, 10.0)), (2, hole)):
        row = lines[number].split(",")
        lines[number] = ",".join([*row[:3], str(lon), str(lat), row[5]])
    (made.folder / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(GeofmError) as caught:
        entry(made, '{ raster = "aef.tif" }').blocks("aef", "plots")
    assert f"2 of 60 samples of plots have no embedding (1 {OUTSIDE} and 1 {NODATA}), at most 0 allowed" in str(
        caught.value
    )
    assert len(str(caught.value)) <= 400
    block = entry(made, '{ raster = "aef.tif", missing = 2 }').block("aef", "plots", "train")
    assert block.meta["missing"] == {"final": 2}


def test_samples_without_a_place_are_refused(made):
    text = (made.folder / "plots.py").read_text()
    (made.folder / "plots.py").write_text(text.replace("lonlat=(float", "lonlat=None and (float"))
    with pytest.raises(ContractError, match="60 of 60 samples have no known place"):
        entry(made, '{ raster = "aef.tif" }').blocks("aef", "plots")


def test_a_regression_per_pixel_reads_the_pixels_too():
    task = HEIGHTS.model_copy(update={"dates": None})
    split = chips(task, count=2)
    heights = Split(task, "train", split.items, "official", split.load, lambda item: split.load(item)[0] / 100)
    found = sample_tokens(encoder(task, 32), heights, 7)
    np.testing.assert_allclose(found.targets[:, 0], found.features["final"][:, 0] / 100, rtol=1e-6)


def test_the_catalog_of_the_package_has_no_such_entries():
    assert not [model for model in load_catalog().models.values() if model.without_network]
