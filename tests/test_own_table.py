"""Samples listed in a table: columns by name, splits, places, series, several sensors, and what is wrong with rows."""

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, box

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.data.readers import table_rows
from geofm_eval.data.readers.table_columns import columns_of
from geofm_eval.data.readers.table_rows import rows_of
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, GeofmError, Unavailable
from geofm_eval.workspace import Settings, Workspace
from tests.own_data import read_table, table_task, write_image, write_table, write_text

ROWS = {"id": ["c", "a", "b"], "label": ["water", "crop", "forest"], "file": ["2.npy", "0.npy", "1.npy"]}


def test_root_may_be_the_table(tmp_path: Path):
    path = write_table(tmp_path / "a.csv", ROWS)
    assert read_table(path).root == tmp_path
    write_table(tmp_path / "b.csv", ROWS)
    assert [item.id for item in read_table(tmp_path, options={"file": "b.csv"}).items] == ["a", "b", "c"]
    with pytest.raises(ContractError, match=r"2 tables \(a.csv, b.csv\); name one"):
        read_table(tmp_path)
    with pytest.raises(DataError, match=r"no table 'c.csv'; tables in this folder: a.csv, b.csv"):
        read_table(tmp_path, options={"file": "c.csv"})


def test_every_column_can_be_renamed(tmp_path: Path):
    names = {"plot": ["p", "q"], "t_ha": [1.5, 2.5], "chip": ["0.npy", "1.npy"], "part": ["train", "DEV"]}
    names |= {"site": ["s", "t"], "x": [7.5, 8], "y": [50, 51]}
    write_table(tmp_path / "a.csv", names)
    columns = {"file": "chip", "split": "part", "group": "site", "lon": "x", "lat": "y"}
    pool = read_table(tmp_path, kind="regression", options={"label": "t_ha", "id": "plot", "columns": columns})
    assert [(item.id, item.label, item.group, item.lonlat) for item in pool.items] == [
        ("p", 1.5, "s", (7.5, 50.0)),
        ("q", 2.5, "t", (8.0, 51.0)),
    ]
    assert pool.given == {"p": "train", "q": "val"}


def test_columns_may_have_names_that_are_no_paths(tmp_path: Path):
    write_table(tmp_path / "a.csv", {"system:index": ["0", "1"], "/y": [1, 2]})
    items = read_table(tmp_path, kind="regression", options={"id": "system:index", "label": "/y"}).items
    assert [(item.id, item.label) for item in items] == [("0", 1), ("1", 2)]
    with pytest.raises(ValueError, match=r"options\.file = '\.\./a.csv' leaves its folder"):
        table_task(tmp_path, options={"file": "../a.csv"})


def test_only_rows_with_a_split_are_given_one(tmp_path: Path):
    write_table(tmp_path / "a.csv", {**ROWS, "split": ["test", "", "Training"]})
    assert read_table(tmp_path).given == {"c": "test", "b": "train"}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "2", "3"], ("1", "2", "3")),
        ([1.0, 2.0, 3.0], ("1", "2", "3")),
        ([0, 1, 2], ("crop", "forest", "water")),
        ([True, False, True], ("true", "false")),
        (["None", "NA", "None"], ("None", "NA")),
    ],
)
def test_labels_are_classes_by_name_number_or_position(tmp_path: Path, labels: list[Any], classes: tuple[str, ...]):
    write_table(tmp_path / "a.parquet", {"id": list("abc"), "label": labels})
    assert [item.label for item in read_table(tmp_path, classes=classes).items] == [0, 1, 2 % len(classes)]


@settings(max_examples=25)
@given(st.permutations(range(6)), st.sampled_from(("a.csv", "a.parquet", "a.jsonl")))
def test_samples_do_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], name: str
):
    root = tmp_path_factory.mktemp("own")
    columns = {"id": [f"s{row}" for row in order], "label": [row / 4 for row in order], "lon": order, "lat": order}
    write_table(root / name, columns)
    items = read_table(root, kind="regression").items
    assert [(item.id, item.label, item.lonlat) for item in items] == [(f"s{n}", n / 4, (n, n)) for n in range(6)]


def test_missing_labels_are_dropped_and_counted(tmp_path: Path):
    write_table(tmp_path / "a.csv", {"id": list("abcd"), "label": ["1.5", "", "NaN", "2"]})
    pool = read_table(tmp_path, kind="regression")
    assert [item.id for item in pool.items] == ["a", "d"]
    assert pool.dropped == {"the target is NaN": ("b", "c")}
    write_table(tmp_path / "a.csv", {"id": list("abcd"), "label": ["crop", "", "water", "nan"]})
    pool = read_table(tmp_path, classes=("crop", "water"))
    assert [item.id for item in pool.items] == ["a", "c"]
    assert pool.dropped == {"no label": ("b", "d")}


def test_table_without_files_has_no_images(tmp_path: Path):
    path = write_table(tmp_path / "a.csv", {"id": list("abc"), "label": [1, 2, 3]})
    pool = read_table(tmp_path, kind="regression", bands=())
    assert pool.load is None
    assert {item.path for item in pool.items} == {path}
    write_table(path, {"id": [f"s{row}" for row in range(100)], "label": list(range(100))})
    splits = open_splits(table_task(tmp_path, kind="regression", bands=(), split="random"))
    assert sum(len(split) for split in splits.values()) == 100


def test_centres_of_geometries_are_places(tmp_path: Path):
    shapes = [Point(500_000, 5_000_000), box(499_900, 5_000_900, 500_100, 5_001_100), None]
    frame = geopandas.GeoDataFrame({"id": list("abc"), "label": [1, 2, 3]}, geometry=shapes, crs="EPSG:32632")
    frame.to_parquet(tmp_path / "a.parquet")
    places = [item.lonlat for item in read_table(tmp_path, kind="regression").items]
    np.testing.assert_allclose([place for place in places if place], [(9, 45.1535), (9, 45.1625)], atol=1e-3)
    assert places[2] is None


def test_geometries_need_a_crs(tmp_path: Path):
    geopandas.GeoDataFrame({"id": ["a"], "label": [1]}, geometry=[Point(1, 2)]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="geometries have no CRS"):
        read_table(tmp_path, kind="regression")


def test_georeferenced_images_give_a_place_and_a_box(tmp_path: Path):
    write_image(tmp_path / "0.tif", east=0)
    write_table(tmp_path / "a.csv", {"file": ["0.tif"], "label": [1], "lon": [-3.5], "lat": [40.5]})
    item = read_table(tmp_path, kind="regression").items[0]
    assert item.lonlat == (-3.5, 40.5)
    assert item.box is not None
    np.testing.assert_allclose(item.box, (-3, 40.6496, -2.9991, 40.6504), atol=1e-3)


def series(root: Path, days: dict[str, list[str]]) -> None:
    """Images of one value per day of the month."""
    rows = [(id, day) for id, found in days.items() for day in found]
    for id, day in rows:
        np.save(root / f"{id}{day}.npy", np.full((4, 8, 8), int(day)))
    columns = {"id": [id for id, _ in rows], "date": [f"2021-06-{day}" for _, day in rows]}
    write_table(
        root / "a.csv", {**columns, "file": [f"{id}{day}.npy" for id, day in rows], "label": [len(columns)] * len(rows)}
    )


def test_rows_of_one_id_are_a_series_in_order_of_date(tmp_path: Path):
    series(tmp_path, {"b": ["20", "05", "11"], "a": ["01", "02", "03"], "c": ["04", "05"]})
    pool = read_table(tmp_path, kind="regression", dates=3)
    assert [item.id for item in pool.items] == ["a", "b"]
    assert pool.dropped == {"2 dates instead of 3": ("c",)}
    item = pool.items[1]
    assert [day.day for day in item.dates] == [5, 11, 20]
    assert pool.load is not None
    pixels = pool.load(item)
    assert pixels.shape == (3, 4, 8, 8)
    assert pixels[:, 0, 0, 0].tolist() == [5, 11, 20]


def test_series_of_another_length_than_declared(tmp_path: Path):
    series(tmp_path, {"a": ["01", "02", "03"], "b": ["04", "05"]})
    with pytest.raises(DataError, match=r"1: 3 dates instead of 4; 1: 2 dates instead of 4"):
        read_table(tmp_path, kind="regression", dates=4)
    with pytest.raises(DataError, match=r"all samples of class 'b' were dropped .*1: 2 dates instead of 3"):
        read_table(tmp_path, dates=3, classes=("a", "b"), options={"columns": {"label": "id"}})
    with pytest.raises(DataError, match=r"line 3: sample 'a' is also in line 2.*set dates = 3"):
        read_table(tmp_path, kind="regression")


def two_sensors(root: Path, east: float = 0, bands: int = 2) -> dict[str, Any]:
    for number in range(2):
        write_image(root / f"s2_{number}.tif", 400 + number, 3, east=0)
        write_image(root / f"s1_{number}.tif", 900 + number, bands, east=east)
    columns = {"id": ["a", "b"], "label": [1, 2]}
    columns |= {
        f"file.{product}": [f"{stem}_0.tif", f"{stem}_1.tif"] for product, stem in (("S2L2A", "s2"), ("S1", "s1"))
    }
    write_table(root / "a.csv", columns)
    return {"kind": "regression", "options": {"bands": {"S2L2A": ["B04", "B03", "B02"], "S1": ["VV", "VH"]}}}


def test_products_are_joined_in_the_order_of_bands(tmp_path: Path):
    fields = two_sensors(tmp_path)
    pool = read_table(tmp_path, bands=("VH", "B02", "B03", "VV"), **fields)
    assert [[path.name for path in item.files] for item in pool.items] == [
        ["s2_0.tif", "s1_0.tif"],
        ["s2_1.tif", "s1_1.tif"],
    ]
    assert pool.load is not None
    pixels = pool.load(pool.items[0])
    assert (pixels[:, 1:].reshape(4, -1).min(axis=1) // 100).tolist() == [9, 4, 4, 9]
    only = read_table(tmp_path, bands=("B03",), **fields)
    assert [[path.name for path in item.files] for item in only.items] == [["s2_0.tif"], ["s2_1.tif"]]


def test_products_of_one_sample_share_a_grid_and_have_their_bands(tmp_path: Path):
    fields = two_sensors(tmp_path, east=500)
    pool = read_table(tmp_path, bands=("B02", "VV"), **fields)
    assert pool.load is not None
    with pytest.raises(DataError, match=r"s1_0\.tif: the grid .* differs"):
        pool.load(pool.items[0])
    two_sensors(tmp_path, bands=3)
    with pytest.raises(DataError, match=r"s1_0\.tif: found 3 bands, expected 2 \(VV, VH\)"):
        pool.load(pool.items[0])


@pytest.mark.parametrize(
    ("options", "bands", "message"),
    [
        ({}, ("B02",), r"files of several products \(file.S2L2A, file.S1\).*S2L2A = "),
        ({"bands": ["B02"]}, ("B02",), "the bands of every product"),
        ({"bands": {"S2L2A": ["B02"], "S1": ["B2"]}}, ("B02",), "band B02 in two places"),
        ({"bands": {"S2L2A": ["B02"]}}, ("B02", "VV"), "has no band VV"),
    ],
)
def test_options_name_the_bands_of_every_product(tmp_path: Path, options: dict, bands: tuple[str, ...], message: str):
    two_sensors(tmp_path)
    with pytest.raises(ContractError, match=message):
        read_table(tmp_path, kind="regression", bands=bands, options=options)


def test_absent_products_name_the_columns(tmp_path: Path):
    two_sensors(tmp_path)
    with pytest.raises(DataError, match=r"no column 'file.S1GRD' \(did you mean 'file.S1'\?\).*remove S1GRD"):
        read_table(tmp_path, kind="regression", bands=("VV",), options={"bands": {"S1GRD": ["VV"]}})


REGRESSION: dict[str, Any] = {"kind": "regression"}
SERIES: dict[str, Any] = {"kind": "regression", "dates": 2}


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("id,label\na,crop\n", {}, "no row has the label 'forest'"),
        ("id,label\na,crop\n", {"classes": ("crop",)}, "the class 'crop' alone"),
        ("id,label\na,crop\nb,town\n", {}, "line 3: label is 'town', expected one of crop, forest, water, or"),
        ("id,label\na,0\nb,3\n", {}, "line 3: label is '3'"),
        ("id,label\na,\nb,\n", {}, "none of the 2 rows has a value in column 'label'"),
        ("id,label\na,1\na,2\n", REGRESSION, r"line 3: sample 'a' is also in line 2; ids must be unique"),
        ("id,label,split\na,1,train\na,1,test\n", REGRESSION, "line 3: .* has split 'test', but 'train' in line 2"),
        ("id,label\na,1\nb\n", REGRESSION, r"line 3: the table cannot be read \(Expected 2 columns, got 1"),
        ("id,label\na,1\nb,2,3\n", REGRESSION, "line 3"),
        ("id,label\na,1\nb,high\n", REGRESSION, "line 3: column 'label' is 'high', expected a number"),
        ("id;label\na;1,5\nb;high\n", REGRESSION, "line 3: column 'label' is 'high', expected a number"),
        ("id,label\na,1\nb,inf\n", REGRESSION, "line 3: the label is infinite"),
        ("id,lable\na,1\n", REGRESSION, r"no column 'label' \(did you mean 'lable'\?\); the columns are id, lable"),
        ("id,label,label\na,1,2\n", REGRESSION, "column 'label' occurs 2 times"),
        ("plot,label\na,1\n", REGRESSION, "neither a column id nor a column file"),
        ("id,label\n", REGRESSION, "the table has no rows"),
        ("", REGRESSION, "the table is empty"),
        ("id,label\n,1\n", REGRESSION, "line 2: the id is empty"),
        ("id,label,lat\na,1,2\n", REGRESSION, "found column 'lat' alone"),
        ("id,label,lon,lat\na,1,500000,2\n", REGRESSION, "line 2: lon and lat are 500000 and 2, expected degrees"),
        ("id,label,lon,lat\na,1,5,\n", REGRESSION, "line 2: lon and lat are 5 and nan"),
        ("id,label,split\na,1,later\n", REGRESSION, "line 2: split is 'later', expected train"),
        ("file,label\n../0.tif,1\n", REGRESSION, "line 2: .* leaves its folder"),
        ("file,label\nhttp://a/0.tif,1\n", REGRESSION, "line 2: .* has a URL scheme"),
        ("file,label\n/vsicurl/0.tif,1\n", REGRESSION, "line 2: .* is a virtual GDAL path"),
        ("file,label\n/data/0.tif,1\n", REGRESSION, "line 2: .* is an absolute path"),
        ("file,label\n,1\n", REGRESSION, "line 2: column 'file' names no file"),
        ("file,label\n0.pdf,1\n", REGRESSION, "line 2: '0.pdf' is not an image"),
        ("id,label\na,1\n", SERIES, "series of 2 dates; expected columns id and date"),
        ("id,label,date\na,1,soon\n", SERIES, "line 2: date is 'soon'"),
        ("id,label,date\na,1,2021-01-01\na,1,20210101\n", SERIES, "line 3: .* has the date 2021-01-01 also in line 2"),
        ("id,label,date\na,1,2021-01-01\na,2,2021-01-02\n", SERIES, "has label '2.0', but '1.0' in line 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, fields: dict[str, Any], message: str):
    write_text(tmp_path / "a.csv", text)
    with pytest.raises((DataError, ContractError), match=message) as caught:
        read_table(tmp_path, **fields)
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["a", "b"]}, "labels are a, b; a task predicts one label per sample. Write one task per column"),
        ({"labels": "a"}, "expected columns = "),
        ({"columns": {"place": "x"}}, "expected names of columns for label, id"),
        ({"columns": {"label": 3}}, "expected names of columns"),
        ({"column": {}}, "option column is unknown"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str):
    write_table(tmp_path / "a.csv", ROWS)
    with pytest.raises(ContractError, match=message):
        read_table(tmp_path, options=options)


def test_one_of_several_labels_is_a_label(tmp_path: Path):
    write_table(tmp_path / "a.csv", {"id": ["a", "b"], "n": [1, 2], "p": [3, 4]})
    assert [item.label for item in read_table(tmp_path, kind="regression", options={"labels": ["p"]}).items] == [3, 4]


def test_folder_without_a_table(tmp_path: Path):
    with pytest.raises(Unavailable, match="has no table"):
        read_table(tmp_path)


PER_PIXEL: dict[str, Any] = {"kind": "segmentation", "classes": ("land", "water")}


def masks(root: Path, **columns: list[Any]) -> None:
    """Two samples: images and masks of 8 pixels, the upper half of a mask 255, the lower half 7 and 0."""
    for name in "ab":
        write_image(root / f"{name}.npy", 500)
        values = np.full((8, 8), 255, np.uint8)
        values[4:, :4], values[4:, 4:] = 7, 0
        np.save(root / f"{name}_mask.npy", values)
    write_table(root / "a.csv", {"file": ["a.npy", "b.npy"], "mask": ["a_mask.npy", "b_mask.npy"], **columns})


def test_masks_are_read_with_values_and_ignore(tmp_path: Path):
    masks(tmp_path, split=["train", "test"])
    pool = read_table(tmp_path, options={"values": {"0": "land", "7": "water"}, "ignore": [255]}, **PER_PIXEL)
    assert pool.given == {"a.npy": "train", "b.npy": "test"}
    assert [(item.label, item.target) for item in pool.items] == [
        (None, tmp_path / "a_mask.npy"),
        (None, tmp_path / "b_mask.npy"),
    ]
    assert pool.load_target is not None
    target = pool.load_target(pool.items[0])
    assert [target[row, column] for row, column in ((0, 0), (4, 0), (4, 4))] == [-1, 1, 0]
    numbers = read_table(tmp_path, kind="dense_regression", classes=(), options={"ignore": [255]})
    assert numbers.load_target is not None
    np.testing.assert_array_equal(numbers.load_target(pool.items[0])[[0, 4, 4], [0, 0, 4]], [np.nan, 7, 0])


def test_column_of_masks_can_be_renamed_and_samples_without_a_mask_are_dropped(tmp_path: Path):
    masks(tmp_path, drawn=["", "b_mask.npy"], fold=["1", "2"])
    pool = read_table(tmp_path, options={"label": "drawn"}, **PER_PIXEL)
    assert pool.dropped == {"no mask": ("a.npy",)}
    assert [item.target for item in pool.items] == [tmp_path / "b_mask.npy"]


def test_series_and_several_products_have_one_mask(tmp_path: Path):
    masks(tmp_path)
    columns = {"id": ["a", "a"], "date": ["2021-06-01", "2021-07-01"], "mask": ["a_mask.npy", ""]}
    write_table(tmp_path / "a.csv", {**columns, "file.S2": ["a.npy", "b.npy"], "file.S1": ["b.npy", "a.npy"]})
    bands = {"S2": ["B02", "B03", "B04", "B08"], "S1": ["VV", "VH", "HH", "HV"]}
    pool = read_table(tmp_path, dates=2, bands=("B02", "VV"), options={"bands": bands}, **PER_PIXEL)
    (item,) = pool.items
    assert (item.target, len(item.dates)) == (tmp_path / "a_mask.npy", 2)
    assert pool.load is not None
    assert pool.load(item).shape == (2, 2, 8, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.npy,0\n", "no column 'mask'; the columns are file, label. Name it with options"),
        ("file,mask\na.npy,\n", "none of the 1 rows has a value in column 'mask'"),
        ("file,mask\na.npy,../m.npy\n", "line 2: .* leaves its folder"),
        ("id,mask\na,m.npy\n", "no column of image files; expected an image for every mask"),
        ("id,file,date,mask\na,1.npy,2021-01-01,m.npy\na,2.npy,2021-01-02,n.npy\n", "has mask 'n.npy', but 'm.npy'"),
    ],
)
def test_what_is_wrong_with_masks_in_a_table(tmp_path: Path, text: str, message: str):
    write_text(tmp_path / "a.csv", text)
    dates = 2 if "date" in text else None
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path, dates=dates, **PER_PIXEL)
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 400


def test_values_and_ignore_are_for_masks(tmp_path: Path):
    write_table(tmp_path / "a.csv", ROWS)
    with pytest.raises(ContractError, match="option ignore is unknown"):
        read_table(tmp_path, options={"ignore": [255]})


FOLDED: dict[str, list[Any]] = {"id": [f"s{row}" for row in range(6)], "label": [1, 2, 3, 4, 5, 6]}


@pytest.mark.parametrize(("names", "numbers"), [("131333", [1, 3, 1, 3, 3, 3]), ("babaab", [1, 0, 1, 0, 0, 1])])
def test_folds_of_a_column_are_those_of_the_task(tmp_path: Path, names: str, numbers: list[int]):
    write_table(tmp_path / "a.csv", {**FOLDED, "fold": list(names)})
    assert list(read_table(tmp_path, kind="regression").folds.values()) == numbers
    splits = open_splits(table_task(tmp_path, kind="regression", bands=(), protocol="auto"))
    assert splits["all"].folds == tuple(np.unique(numbers, return_inverse=True)[1])
    assert splits["all"].rule == {"by": "given", "folds": 2}


def test_splits_and_settings_of_the_entry_come_before_folds(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_table(tmp_path / "a.csv", {**FOLDED, "fold": list("112233"), "split": ["train", "train", "val"] * 2})
    given = open_splits(table_task(tmp_path, kind="regression", bands=(), protocol="auto"))
    assert set(given) == {"train", "val", "test"}
    assert "the folds that the data name are not used" in caplog.text
    folds = open_splits(table_task(tmp_path, kind="regression", bands=(), protocol="folds"))
    assert folds["all"].folds == (0, 0, 1, 1, 2, 2)
    drawn = open_splits(table_task(tmp_path, kind="regression", bands=(), protocol="folds", split="random"))
    assert drawn["all"].rule == {"by": "random"}


@pytest.mark.parametrize(
    ("folds", "groups", "message"),
    [
        (["1", "1", "2", "2", "1", ""], "aabbcd", "1 of 6 samples have no fold, for example 's5'"),
        (["1"] * 6, "aabbcd", "the data name 1 fold, expected 2 to 20"),
        (["1", "2"] * 3, "aabbcd", "group 'a' is in the folds 1 and 2; keep it in one"),
    ],
)
def test_what_is_wrong_with_folds(tmp_path: Path, folds: list[str], groups: str, message: str):
    write_table(tmp_path / "a.csv", {**FOLDED, "fold": folds, "group": list(groups)})
    with pytest.raises(DataError, match=message):
        open_splits(table_task(tmp_path, kind="regression", bands=(), protocol="auto"))


def test_absent_images_are_counted(tmp_path: Path):
    names = [f"{number}.npy" for number in range(6)]
    write_table(tmp_path / "a.csv", {"file": names, "label": ["water", "crop", "forest"] * 2})
    with pytest.raises(Unavailable, match=r"found 0 of 6 listed files"):
        open_splits(table_task(tmp_path))
    write_image(tmp_path / "0.npy")
    with pytest.raises(DataError, match=r"5 of 6 listed files missing"):
        open_splits(table_task(tmp_path))


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_from_a_table_to_the_score_of_a_probe(tmp_path: Path, kind: str):
    """The label is the brightness of the image, so that band statistics solve the task."""
    names = ("crop", "forest", "water")
    rows = [(f"chips/{number}.tif", 300 + 20 * number) for number in range(45)]
    for number, (name, value) in enumerate(rows):
        write_image(tmp_path / name, value, east=100.0 * number)
    labels = [names[number // 15] if kind == "classification" else value for number, (_, value) in enumerate(rows)]
    write_table(tmp_path / "labels.csv", {"file": [name for name, _ in rows], "label": labels}, ";")
    task = table_task(tmp_path, kind=kind, split="random", label_fractions=(1.0,), draws=1)
    known = load_catalog()
    catalog = Catalog(known.models, {task.slug: task}, known.recipes, known.adaptations)
    adaptation = "linear" if kind == "classification" else "ridge"
    sweep = Workspace(catalog, Settings()).sweep("band_stats", task.slug, adaptation)
    assert max(row.test_score for row in sweep.rows) > 0.85


def test_damaged_images_are_named(tmp_path: Path):
    write_table(tmp_path / "a.csv", {"file": ["0.tif"], "label": [1]})
    (tmp_path / "0.tif").write_bytes(b"damaged")
    with pytest.raises(GeofmError, match=r"0\.tif: not a readable GeoTIFF"):
        read_table(tmp_path, kind="regression")


def test_memory_is_that_of_the_named_columns_and_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The table has 8 MB of other columns, and its rows would take more than 4 MB as Python objects."""
    count, batch = 8000, 500
    columns: dict[str, Any] = {
        "id": [f"plot {row}" for row in range(count)],
        "label": [row % 3 for row in range(count)],
    }
    columns |= {"lon": [row % 90 for row in range(count)], "lat": [0] * count, "note": ["x" * 1000] * count}
    write_table(tmp_path / "a.parquet", columns)
    monkeypatch.setattr(table_rows, "_ROWS", batch)
    task, before = table_task(tmp_path), pa.total_allocated_bytes()
    tracemalloc.start()
    rows = rows_of(task, columns_of(task, tmp_path / "a.parquet"))
    held = [pa.total_allocated_bytes() - before for _ in itertools.islice(rows, 0, None, batch)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(held) == count // batch
    assert max(held) < 1.5e6
    assert peak < 2e6
