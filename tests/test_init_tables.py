"""The look at own tables: products, series, labels without images, and columns that are easily taken for labels."""

import tomllib
from pathlib import Path

import geopandas
import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.checking import check_task
from geofm_eval.data.readers.features import read_features
from geofm_eval.data.readers.table_files import is_listing
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError
from geofm_eval.looking import Draft, append_entries, commands, draft_entry, find_source
from geofm_eval.looking.columns import as_classes
from geofm_eval.looking.vectors import _pattern
from tests.own_data import write_image, write_table, write_text

CLASSES = ("crop", "forest", "water")


def two_products(root: Path, count: int = 12) -> Path:
    """Optical digital numbers and radar in dB of every sample."""
    files = {"file.S2L2A": [f"s2/{n}.npy" for n in range(count)], "file.S1GRD": [f"s1/{n}.npy" for n in range(count)]}
    for number in range(count):
        write_image(root / f"s2/{number}.npy", 400 + number)
        radar = np.random.default_rng(number).uniform(-20, -5, (2, 8, 8)).astype(np.float32)
        (root / "s1").mkdir(exist_ok=True)
        np.save(root / f"s1/{number}.npy", radar)
    labels = [CLASSES[n % 3] for n in range(count)]
    return write_table(root / "labels.csv", {"id": [f"p{n:02d}" for n in range(count)], **files, "label": labels})


def test_a_column_of_files_per_product_is_a_sample_of_several_sensors(tmp_path: Path):
    draft = draft_entry(two_products(tmp_path), "pairs", "PlanetScope4,S1")
    append_entries(tmp_path / "my.toml", draft)
    task = load_catalog([tmp_path / "my.toml"]).task("pairs")
    assert task.options["bands"] == {"S2L2A": ["B02", "B03", "B04", "B08"], "S1GRD": ["VV", "VH"]}
    assert (task.bands[-3:], task.radar, task.pixels) == (("B08", "VV", "VH"), "GRD", 8)
    image = open_splits(task)["all"].read(0)
    assert image.pixels.shape == (6, 8, 8)
    assert np.median(image.pixels[-1]) < 0 < np.median(image.pixels[0])


def test_bands_of_several_products_are_never_guessed(tmp_path: Path):
    draft = draft_entry(two_products(tmp_path), "pairs")
    assert draft.task.options["bands"] == {"S2L2A": ["?"] * 4, "S1GRD": ["?"] * 2}
    assert not draft.bands_named
    assert draft.items == 12


def test_products_in_different_units_have_a_scale_per_band(tmp_path: Path):
    path = two_products(tmp_path)
    for file in (tmp_path / "s2").iterdir():
        np.save(file, np.load(file).astype(np.float32) / 10_000)
    draft = draft_entry(path, "pairs", "PlanetScope4,S1")
    assert draft.task.scale == (10_000.0,) * 4 + (1.0,) * 2
    append_entries(tmp_path / "my.toml", draft)
    assert (
        "scale = [10000.0, 10000.0, 10000.0, 10000.0, 1.0, 1.0]  # S2L2A: float" in (tmp_path / "my.toml").read_text()
    )


def series(root: Path, id: str = "id", date: str = "date", labels: tuple[str, ...] = CLASSES) -> Path:
    """Twelve samples of three dates; the last sample has two."""
    rows = [(sample, day) for sample in range(12) for day in range(3 if sample < 11 else 2)]
    columns = {
        id: [f"p{sample:02d}" for sample, _ in rows],
        date: [f"2023-0{day + 4}-01" for _, day in rows],
        "file": [write_image(root / f"{s}_{d}.npy", 400 + 10 * s + d).name for s, d in rows],
        "label": [labels[(sample + (day if len(labels) > 3 else 0)) % len(labels)] for sample, day in rows],
    }
    return write_table(root / "labels.csv", columns)


@pytest.mark.parametrize(("id", "date"), [("id", "date"), ("plot_id", "acquired")])
def test_rows_of_one_sample_with_several_dates_are_a_series(id: str, date: str, tmp_path: Path):
    draft = draft_entry(series(tmp_path, id, date), "fields_in_time", "PlanetScope4")
    append_entries(tmp_path / "my.toml", draft)
    task = load_catalog([tmp_path / "my.toml"]).task("fields_in_time")
    assert task.dates == 3
    assert open_splits(task)["all"].read(0).pixels.shape == (3, 4, 8, 8)
    assert "11 samples have 3 dates; 1 have another number and are dropped" in draft.source.comments["dates"]
    assert draft.source.counts == {"crop": 4, "forest": 4, "water": 4}


def test_dated_rows_with_labels_of_their_own_are_no_series(tmp_path: Path):
    path = series(tmp_path, "plot_id", labels=(*CLASSES, "wood"))
    assert find_source(path).dates is None


def test_labels_with_ids_alone_are_a_task_for_embeddings(tmp_path: Path):
    columns = {"id": [f"p{n}" for n in range(12)], "crop": [CLASSES[n % 3] for n in range(12)]}
    file = tmp_path / "my map.toml"
    draft = draft_entry(write_table(tmp_path / "labels.csv", columns), "plots")
    append_entries(file, draft)
    catalog = load_catalog([file])
    assert sum(map(len, open_splits(catalog.task("plots")).values())) == 12
    assert "images   none; only embeddings can be measured on this task" in draft.facts
    assert commands(catalog, draft, file)[-1] == f"geofm-eval init EMBEDDINGS --into '{file}'"


def test_a_column_of_images_is_recognised_under_another_name(tmp_path: Path):
    files = [write_image(tmp_path / f"{n}.npy", 400 + n).name for n in range(12)]
    path = write_table(tmp_path / "t.csv", {"chip": files, "label": [CLASSES[n % 3] for n in range(12)]})
    draft = draft_entry(path, "plots", "PlanetScope4")
    assert draft.task.options == {"columns": {"file": "chip"}}
    assert draft.looks[0].samples.count == 12


def test_y_beside_x_is_a_coordinate(tmp_path: Path):
    columns = {"id": [1, 2, 3], "x": [1, 2, 3], "y": [4, 5, 6], "cover": ["a", "b", "a"]}
    assert find_source(write_table(tmp_path / "t.csv", columns)).options["label"] == "cover"
    del columns["x"], columns["cover"]
    assert find_source(write_table(tmp_path / "t.csv", columns)).options["label"] == "y"


@pytest.mark.parametrize(
    ("values", "counts", "warning"),
    [
        (["none", "wood", "", "wood"], {"none": 1, "wood": 2}, "'none' is taken as a class"),
        (["NA", "wood", "nan", "wood"], {"NA": 1, "wood": 2}, "'NA' is taken as a class"),
        (["1", "2", "NA"], {"1": 1, "2": 1}, "1 of 3 samples have no label"),
    ],
)
def test_words_for_missing_numbers_are_classes_among_texts(values: list[str], counts: dict[str, int], warning: str):
    found = as_classes(Path("t.csv"), "label", values)
    assert found.counts == counts
    assert warning in " ".join(found.warnings)


def test_a_class_named_none_is_read_as_a_class(tmp_path: Path):
    columns = {"id": list(range(12)), "label": [("none", "wood")[n % 2] for n in range(12)]}
    draft = draft_entry(write_table(tmp_path / "t.csv", columns), "plots")
    assert draft.task.classes == ("none", "wood")
    assert draft.items == 12


def test_scenes_of_both_endings_are_found(tmp_path: Path):
    scenes = (tmp_path / "scenes" / "a.tif", tmp_path / "scenes" / "b.tiff")
    assert _pattern(tmp_path, scenes) == "scenes/*"
    assert _pattern(tmp_path, scenes[:1]) == "scenes/*.tif"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("id\tcrop\n1\twood\n", True), ("a_01\nb_02\n", False), ("Notes, by hand\n", False), ("", False)],
)
def test_a_text_file_is_a_table_if_its_first_line_names_columns(text: str, expected: bool, tmp_path: Path):
    assert is_listing(write_text(tmp_path / "some.txt", text)) is expected


def test_notes_next_to_a_table_are_no_second_table(tmp_path: Path):
    write_text(tmp_path / "readme.txt", "Plots, crops and their owners\n")
    write_table(tmp_path / "t.csv", {"id": [1, 2, 3], "label": ["a", "b", "a"]})
    assert find_source(tmp_path).root == tmp_path / "t.csv"


def located(root: Path) -> Draft:
    """A task whose samples have places."""
    count = 30
    columns = {
        "id": list(range(count)),
        "label": [CLASSES[n % 3] for n in range(count)],
        "lon": [10 + n / 20 for n in range(count)],
        "lat": [50 + n % 5 / 20 for n in range(count)],
    }
    return draft_entry(write_table(root / "plots.csv", columns), "plots")


def test_check_names_the_random_split_of_a_located_task(tmp_path: Path):
    task = located(tmp_path).task
    lines = " ".join(check_task(task).lines)
    assert "[tasks.plots_random]: like = 'plots', variant_of = 'plots', split = 'random'" in lines
    assert "plots_random_random" not in " ".join(
        check_task(task.model_copy(update={"slug": "plots_random", "variant_of": "plots", "split": "random"})).lines
    )


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path):
    target, link = write_text(tmp_path / "real.toml", "# mine\n"), tmp_path / "my.toml"
    target.chmod(0o640)
    link.symlink_to(target)
    append_entries(link, located(tmp_path))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "plots" in tomllib.loads(target.read_text())["tasks"]


def test_tables_that_nothing_identifies_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected a column file, file_name, path, image, or a column id"):
        find_source(write_table(tmp_path / "t.csv", {"label": ["a", "b", "a"], "note": ["x", "x", "y"]}))


def test_a_table_of_files_that_do_not_exist_is_refused(tmp_path: Path):
    path = write_table(tmp_path / "t.csv", {"file": ["a.tif", "b.tif"], "label": ["a", "b"]})
    with pytest.raises(DataError, match="none of the files in column 'file' exist"):
        find_source(path)


def test_labels_in_flatgeobuf_are_read_by_their_declared_format(tmp_path: Path):
    frame = geopandas.GeoDataFrame({"c": ["a", "b"]}, geometry=geopandas.points_from_xy([1, 2], [3, 4]), crs=4326)
    frame.to_file(tmp_path / "labels.fgb", driver="FlatGeobuf")
    assert sorted(read_features(tmp_path / "labels.fgb", None)["c"]) == ["a", "b"]
    frame.to_file(tmp_path / "other.geojson")
    (tmp_path / "other.geojson").rename(tmp_path / "other.fgb")
    with pytest.raises(DataError, match="not a FlatGeobuf file"):
        read_features(tmp_path / "other.fgb", None)


def test_a_table_of_masks_says_that_its_entry_is_written_by_hand(tmp_path: Path):
    write_image(tmp_path / "a.tif", 400)
    path = write_table(tmp_path / "samples.csv", {"file": ["a.tif"], "mask": ["a_mask.tif"], "fold": ["1"]})
    with pytest.raises(DataError, match=r"found a column mask and no label.*by hand, with kind = 'segmentation'"):
        draft_entry(path, "pairs", "PlanetScope4")
