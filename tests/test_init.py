"""The look at own data that writes their entry: what is found, what is never guessed, what is never overwritten."""

import re
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from typer.testing import CliRunner

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.catalog.writing import toml_value
from geofm_eval.cli import app
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError
from geofm_eval.looking import append_entries, commands, costs, draft_entry, entries_of, find_source, free_slug
from geofm_eval.looking.columns import as_classes
from geofm_eval.looking.naming import PRESETS, Names, name_bands
from geofm_eval.looking.samples import LookedSamples
from geofm_eval.looking.units import guess_unit
from geofm_eval.looking.vectors import _size
from tests.chip_files import write_tif
from tests.own_data import write_image

CATALOG = load_catalog()
CLASSES = ("crop", "forest", "water")


def class_folders(root: Path, count: int = 12, ending: str = ".tif", east: bool = False, bands: int = 4) -> Path:
    for number in range(count):
        folder = root / CLASSES[number % 3]
        write_image(folder / f"{number}{ending}", 400 + number, bands, east=2000.0 * number if east else None)
    return root


def written(file: Path) -> dict[str, TaskSpec]:
    own = tomllib.loads(file.read_text())["tasks"]
    return {slug: load_catalog([file]).task(slug) for slug in own}


def test_class_folders_give_an_entry_that_can_be_read(tmp_path: Path):
    draft = draft_entry(class_folders(tmp_path / "scenes"), "meadows", "PlanetScope4")
    file = tmp_path / "my.toml"
    append_entries(file, draft)
    task = written(file)["meadows"]
    assert (task.reader, task.kind, task.classes) == ("folder", "classification", CLASSES)
    assert (task.bands, task.product, task.pixels) == (("B02", "B03", "B04", "B08"), "any", 8)
    assert sum(map(len, open_splits(task).values())) == 12
    assert "unit     uint16 with a median of 430: digital numbers" in draft.facts
    assert draft.division == "12 samples: five-fold cross-validation, at random within classes"
    assert draft.warnings == ["fewer than 10 samples: crop (4), forest (4), water (4)"]


def test_data_with_places_get_blocks_and_a_random_twin(tmp_path: Path):
    draft = draft_entry(class_folders(tmp_path / "scenes", 30, east=True), "meadows", "B02,B03,B04,B08")
    assert re.fullmatch(r"30 samples: five-fold cross-validation, spatial blocks of about [\d.]+ k?m", draft.division)
    file = tmp_path / "my.toml"
    append_entries(file, draft)
    tasks = written(file)
    assert tasks["meadows"].gsd == 10.0
    assert tasks["meadows_random"].split == "random"
    assert tasks["meadows_random"].variant_of == "meadows"
    assert "--tasks meadows,meadows_random --models starter -q" in commands(load_catalog([file]), draft, file)[-1]


def test_bands_are_never_guessed(tmp_path: Path):
    draft = draft_entry(class_folders(tmp_path / "scenes"), "meadows")
    assert draft.task.bands == ("?",) * 4
    assert 'bands = ["?", "?", "?", "?"]  # name them in file order' in entries_of(draft)
    with pytest.raises(ContractError, match="Name each band in the order of the files"):
        open_splits(draft.task)


def test_descriptions_of_bands_are_used_and_said(tmp_path: Path):
    assert name_bands(None, [(2, ("Blue", "NIR"))])[0].bands == ("B02", "B08")
    assert "from the files' band descriptions: B2, B8A" in name_bands(None, [(2, ("B2", "B8A"))])[0].comment
    unclear = name_bands(None, [(2, ("Blue", "thermal"))])[0]
    assert unclear.bands == ("?", "?")
    assert "the files say Blue, thermal" in unclear.comment


@pytest.mark.parametrize(
    ("asked", "count", "message"),
    [
        ("S2L2A", 4, r"--bands S2L2A: names 12 bands .*, the images have 4; presets: .*PlanetScope4 \(4\)"),
        ("Blue,Green", 2, "give names such as B02, B03 instead of colours"),
        ("B02", 3, "names 1 bands"),
    ],
)
def test_bands_that_do_not_fit_are_refused(asked: str, count: int, message: str):
    with pytest.raises(ContractError, match=message):
        name_bands(asked, [(count, ())])


def test_presets_have_the_bands_of_their_products():
    assert {name: len(preset.bands) for name, preset in PRESETS.items()} == {
        "S2L2A": 12, "S2L1C": 13, "PlanetScope4": 4, "RGB": 3, "S1": 2,
    }  # fmt: skip
    assert name_bands("s2l2a", [(12, ())])[0].product == "L2A"
    assert name_bands("vv,vh", [(2, ())])[0].product == "GRD"


def samples(low: float, median: float, high: float, dtype: str = "float32", bands: int = 2) -> LookedSamples:
    quantiles = np.array([[low, low, median, high, high]] * bands)
    return LookedSamples(10, {(8, 8): 10}, bands, {dtype: 10}, (), quantiles, 0.0, None, ())


@pytest.mark.parametrize(
    ("values", "bands", "reason", "fields"),
    [
        ((100, 900, 4000, "uint16"), ("?", "?"), "uint16 with a median of 900: digital numbers", {}),
        ((0.0, 0.2, 0.9), ("?", "?"), "float in 0..1: reflectance, scale = 10000", {"scale": 10_000.0}),
        ((-30.0, -14.0, -2.0), ("VV", "VH"), "negative floats: dB", {}),
        ((1010, 1900, 4000, "uint16"), ("?", "?"), "carry the +1000 of baseline 04.00", {"offset": -1000.0}),
        ((0, 80, 250, "uint8"), ("B04", "B03"), "8-bit picture", {"scale": 10.784314}),
        ((-1.0, 0.1, 1.0), ("A00", "A01"), "values are taken as they are", {}),
    ],
)
def test_units_are_guessed_with_their_reason(values, bands, reason, fields):
    found = guess_unit(samples(*values), Names(bands, "any", ""))
    assert reason in found.reason
    assert found.fields == pytest.approx(fields)


@pytest.mark.parametrize(
    ("values", "bands", "warning"),
    [
        ((0, 40_000, 65_000, "uint16"), ("?", "?"), "unit unknown; set scale and offset"),
        ((0.0, 0.05, 0.6), ("VV", "VH"), "looks like linear backscatter"),
        ((0, 80, 250, "uint8"), ("B04", "B03"), "no physical unit"),
    ],
)
def test_doubtful_units_are_warned_about(values, bands, warning):
    assert warning in guess_unit(samples(*values), Names(bands, "any", "")).warning


def table(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_of_files_and_numbers_is_a_regression(tmp_path: Path):
    rows = [f"{write_image(tmp_path / f'{n}.npy', 400 + n).name},{n * 1.5}" for n in range(12)]
    draft = draft_entry(table(tmp_path / "trees.csv", "file,biomass", *rows), "trees", "B02,B03,B04,B08")
    assert (draft.task.kind, draft.task.metric, draft.task.options) == ("regression", "r2", {"label": "biomass"})
    assert draft.division == "12 samples: five-fold cross-validation, at random"


def test_a_table_of_embeddings_is_task_and_model(tmp_path: Path):
    rows = [f"p{n},{CLASSES[n % 3]},{n},1,2,3" for n in range(12)]
    path, file = table(tmp_path / "plots.csv", "id,crop,A00,A01,A02,A03", *rows), tmp_path / "my.toml"
    draft = draft_entry(path, "plots")
    assert append_entries(file, draft) == "vectors01"
    catalog = load_catalog([file])
    assert catalog.model("vectors01").tasks == ("plots",)
    assert catalog.model("vectors01").options["columns"] == "A*"
    assert commands(catalog, draft, file)[-1].endswith("--tasks plots --models starter -q")
    assert append_entries(file, draft_entry(path, "fields_two")) == "vectors02"


def test_exports_of_earth_engine_are_identified_by_their_index(tmp_path: Path):
    rows = [f"0{n},{CLASSES[n % 3]},{n},1,2,3" for n in range(12)]
    path = table(tmp_path / "plots.csv", "system:index,crop,A00,A01,A02,A03", *rows)
    draft = draft_entry(path, "plots")
    assert draft.task.options == {"label": "crop", "id": "system:index"}
    assert draft.source.embedding["key"] == "system:index"


@pytest.mark.parametrize(("metres", "pixels"), [(50, 16), (230, 24), (380, 40), (5000, 64)])
def test_chips_are_about_as_large_as_the_polygons(tmp_path: Path, metres: int, pixels: int):
    import geopandas
    from shapely.geometry import box

    place = {"crs": "EPSG:32630", "transform": Affine(10, 0, 500_000, 0, -10, 4_500_000)}
    write_tif(tmp_path / "one.tif", np.full((1, 16, 16), 500, np.uint16), **place)
    shapes = [box(500_000 + 900 * n, 4_400_000, 500_000 + 900 * n + metres, 4_400_000 + metres) for n in range(5)]
    table = geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32630").to_crs("EPSG:4326")
    assert _size(table, tmp_path / "one.tif") == pixels


def test_labelled_points_next_to_a_scene_give_chips(tmp_path: Path):
    import geopandas

    pixels = np.random.default_rng(0).integers(200, 900, (4, 400, 400)).astype(np.uint16)
    place = {"crs": "EPSG:32630", "transform": Affine(10, 0, 500_000, 0, -10, 4_500_000)}
    (tmp_path / "scenes").mkdir()
    write_tif(tmp_path / "scenes" / "one.tif", pixels, **place)
    east, north = np.meshgrid(500_500 + 700 * np.arange(5), 4_499_500 - 700 * np.arange(5))
    points = geopandas.points_from_xy(east.ravel(), north.ravel())
    frame = geopandas.GeoDataFrame({"class": [CLASSES[n % 3] for n in range(25)]}, geometry=points, crs="EPSG:32630")
    frame.to_file(tmp_path / "labels.gpkg")
    draft = draft_entry(tmp_path, "dots", "B02,B03,B04,B08")
    assert draft.task.options == {"labels": "labels.gpkg", "column": "class", "scenes": "scenes/*.tif", "size": 64}
    assert draft.items == 25
    assert draft.located


@pytest.mark.parametrize(
    ("names", "label", "message"),
    [
        ("id,a,b", None, r"2 columns may hold the label \(a, b\); name it with --label COLUMN"),
        ("plots,label,split", None, "expected a column file, file_name, path, image, or a column id"),
        ("file,label", "biomas", "there is no column 'biomas'"),
    ],
)
def test_unclear_tables_are_refused(names: str, label: str | None, message: str, tmp_path: Path):
    rows = (",".join(str(row) for _ in names.split(",")) for row in range(3))
    path = table(tmp_path / "t.csv", names, *rows)
    with pytest.raises(DataError, match=message):
        find_source(path, label)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "does not exist; give a folder"),
        (lambda root: write_image(root / "x" / "one.tif").parent, "found 1 images in it and nothing that labels them"),
        (lambda root: write_image(root / "one.png", bands=3), "a single file must be a table or labelled geometries"),
    ],
)
def test_what_is_not_understood_is_refused(make, message: str, tmp_path: Path):
    with pytest.raises(ContractError, match=message):
        find_source(make(tmp_path))


def test_images_of_mixed_band_counts_are_refused(tmp_path: Path):
    class_folders(tmp_path)
    odd = write_image(tmp_path / "water" / "odd.tif", 500, bands=3)
    with pytest.raises(DataError, match=rf"{odd.name}: has 3 bands, and most images have 4"):
        draft_entry(tmp_path, "meadows")


def test_copies_gaps_and_sizes_are_warned_about(tmp_path: Path):
    class_folders(tmp_path)
    write_image(tmp_path / "crop" / "copy.tif", 400)
    with_gaps = np.full((4, 9, 9), 500, np.float32)
    with_gaps[:, 0] = np.nan
    write_tif(tmp_path / "water" / "gaps.tif", with_gaps)
    warnings = " ".join(draft_entry(tmp_path, "meadows").warnings)
    assert "1 images are copies of another one, first copy.tif" in warnings
    assert "images of 2 sizes" in warnings
    assert "are NaN or nodata" in warnings
    assert "several dtypes" in warnings


def test_entries_are_appended_and_never_overwritten(tmp_path: Path):
    file = table(tmp_path / "my.toml", "# mine", "[recipes.plain]", 'title = "Plain"')
    draft = draft_entry(class_folders(tmp_path / "scenes"), "meadows", "PlanetScope4")
    append_entries(file, draft)
    before = file.read_text()
    assert before.startswith("# mine\n[recipes.plain]\n")
    with pytest.raises(ContractError, match=r"already has \[tasks\.meadows\]; choose another name with --name"):
        append_entries(file, draft)
    with pytest.raises(ContractError, match=r"cannot distinguish.*With --name, choose another name"):
        append_entries(file, draft_entry(tmp_path / "scenes", "meadows_two", "PlanetScope4"))
    assert file.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.toml", "scenes"]


def test_a_file_that_is_no_catalog_is_left_alone(tmp_path: Path):
    file = table(tmp_path / "my.toml", "this is [not toml")
    draft = draft_entry(class_folders(tmp_path / "scenes"), "meadows", "PlanetScope4")
    with pytest.raises(ContractError, match="not a readable TOML file"):
        append_entries(file, draft)
    assert file.read_text() == "this is [not toml\n"


def test_names_follow_from_the_path_and_can_be_distinguished(tmp_path: Path):
    assert free_slug(tmp_path / "My Scenes (2021).d", CATALOG) == "my_scenes_2021"
    assert free_slug(tmp_path / "reg", CATALOG) == "own_reg"
    assert free_slug(tmp_path / "eurosat", CATALOG) == "own_data"


def test_the_same_data_are_not_added_twice_by_chance(tmp_path: Path):
    file = tmp_path / "my.toml"
    append_entries(file, draft_entry(class_folders(tmp_path / "scenes"), "meadows", "PlanetScope4"))
    with pytest.raises(ContractError, match=r"has the entry \[tasks\.meadows\] already"):
        free_slug(tmp_path / "scenes", load_catalog([file]))


def test_costs_name_downloads_minutes_and_licences(tmp_path: Path):
    file, draft = tmp_path / "my.toml", draft_entry(class_folders(tmp_path / "scenes"), "meadows", "PlanetScope4")
    append_entries(file, draft)
    catalog = load_catalog([file])
    found = {cost.model.slug: cost for cost in costs(catalog, draft)}
    assert found["galileo_nano"].megabytes == pytest.approx(4.2, abs=0.1)
    assert 0 < found["galileo_nano"].minutes < found["dinov2_vitb14"].minutes
    assert any(command.startswith("geofm-eval fetch ") for command in commands(catalog, draft, file))


@given(st.lists(st.sampled_from(["1", "2", "3.5", "x", "y", "", "nan"]), max_size=30))
def test_labels_are_classes_or_numbers_and_all_are_counted(values: list[str]):
    try:
        found = as_classes(Path("t.csv"), "label", values)
    except DataError:
        return
    if found.kind == "classification":
        assert len(found.classes) >= 2
        assert sum(found.counts.values()) == sum(value not in ("", "nan") for value in values)
        assert all(found.counts[name] > 0 for name in found.classes)
    else:
        assert not found.classes


def test_comments_from_files_stay_comments(tmp_path: Path):
    names = ("blue\n[models.evil]", "red", "nir", "other")
    for number in range(12):
        path = write_image(tmp_path / "scenes" / CLASSES[number % 3] / f"{number}.tif", 400 + number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, "r+") as raster:
                raster.descriptions = names
    text = entries_of(draft_entry(tmp_path / "scenes", "meadows"))
    assert list(tomllib.loads(text)) == ["tasks"]
    assert "the files say blue [models.evil], red" in text


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    TEXT | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_any_value_is_written_as_toml_that_reads_back(value: object):
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value


def test_the_command_ends_with_the_next_commands(tmp_path: Path):
    class_folders(tmp_path / "scenes")
    words = ["init", str(tmp_path / "scenes"), "--name", "meadows", "--into", str(tmp_path / "my.toml")]
    first = CliRunner().invoke(app, words)
    assert 'First replace every "?" in its bands' in first.output
    second = CliRunner().invoke(app, [*words[:3], "pasture_two", *words[4:], "--bands", "PlanetScope4"])
    assert second.exit_code == 0, second.output
    assert "galileo_nano" in second.output
    assert second.output.rstrip().endswith("--tasks pasture_two --models starter -q")
