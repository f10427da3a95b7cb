"""Labelled points and polygons over own scenes: windows, masks, formats of labels, and what can be wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, LineString, MultiPoint, Point, Polygon, box

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Pool
from geofm_eval.data.readers import vector
from geofm_eval.data.readers.vector import VIEWS
from geofm_eval.data.readers.vector_masks import MIXED, SELECTED_ELSEWHERE
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError
from tests.chip_files import read_tif, write_tif
from tests.own_tasks import own_task, scene, write_scene

SIDE, SIZE = 256, 16
WEST, NORTH = 500_000, 4_500_000
ZONES = {"one": 32630, "two": 32631}
"""Two scenes of the same coordinates in different zones."""

PIXELS = {name: scene(SIDE, seed) for seed, name in enumerate(ZONES)}
OPTIONS = {"labels": "labels.gpkg", "column": "crop", "scenes": "scenes/*.tif", "size": SIZE}


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_scenes(folder: Path, **profile: Any) -> Path:
    for name, epsg in ZONES.items():
        tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
        write_scene(folder / f"scenes/{name}.tif", PIXELS[name], WEST, NORTH, epsg, **{**tiles, **profile})
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_scenes(tmp_path)


def at(column: float, row: float, zone: str = "one") -> Point:
    """A place in longitude and latitude, from columns and rows of a scene."""
    return to_degrees(Point(WEST + 10 * column, NORTH - 10 * row), zone)


def to_degrees(geometry: Any, zone: str = "one") -> Any:
    return geopandas.GeoSeries([geometry], crs=ZONES[zone]).to_crs(4326).iloc[0]


def area(west: float, north: float, east: float, south: float, zone: str = "one") -> Any:
    """A box of columns and rows."""
    return to_degrees(box(WEST + 10 * west, NORTH - 10 * south, WEST + 10 * east, NORTH - 10 * north), zone)


def write_labels(
    root: Path, geometries: list[Any], labels: list[Any] | None = None, name: str = "labels.gpkg", **columns: list[Any]
) -> None:
    labels = ["ab"[k % 2] for k in range(len(geometries))] if labels is None else labels
    frame = geopandas.GeoDataFrame({"crop": labels, **columns}, geometry=geometries, crs=4326)
    path = root / name
    frame.to_parquet(path) if path.suffix.endswith("parquet") else frame.to_file(path)


def task(root: Path, options: dict[str, Any] | None = None, **fields: Any) -> TaskSpec:
    return own_task(root, "vector", {**OPTIONS, **(options or {})}, **{"kind": "classification", **fields})


def pool(root: Path, options: dict[str, Any] | None = None, **fields: Any) -> Pool:
    return vector.read_pool(task(root, options, **fields), root)


def masks(root: Path, options: dict[str, Any] | None = None, **fields: Any) -> tuple[Pool, dict[str, np.ndarray]]:
    found = pool(root, options, **{"kind": "segmentation", **fields})
    assert found.load_target is not None
    return found, {item.id: found.load_target(item) for item in found.items}


POINTS = [at(30 + 20 * k, 40 + 15 * k, zone) for k in range(10) for zone in ZONES]


def test_end_to_end(root: Path):
    write_labels(root, POINTS)
    splits = open_splits(task(root))
    assert sum(map(len, splits.values())) == len(POINTS)
    for split in splits.values():
        for index, item in enumerate(split.items):
            name, _, window = item.id.rpartition("@")
            column, row, size = map(int, window.split(","))
            assert size == SIZE
            assert item.path == root / f"{name.rpartition('/')[0]}.tif"
            expected = PIXELS[item.path.stem][:, row : row + size, column : column + size]
            assert np.array_equal(split.read(index).pixels, expected)
            assert split.labels[index] == int(name.rpartition("/")[2]) % 2


def test_exact_windows_and_places(root: Path):
    write_labels(root, [at(100.5, 50.5), at(64, 80, "two")])
    first, second = pool(root).items
    assert first.id in ("scenes/one/0@92,42,16", "scenes/one/0@93,43,16")
    assert second.id == "scenes/two/1@56,72,16"
    assert second.lonlat == pytest.approx(at(64, 80, "two").coords[0], abs=1e-8)
    assert second.box is not None
    # Edges are means of two corners, because a square in a projection is not one in degrees.
    west, south, east, north = second.box
    corners = {name: at(column, row, "two") for name, column, row in (("nw", 56, 72), ("se", 72, 88))}
    corners |= {name: at(column, row, "two") for name, column, row in (("ne", 72, 72), ("sw", 56, 88))}
    assert west == pytest.approx((corners["nw"].x + corners["sw"].x) / 2, abs=1e-9)
    assert east == pytest.approx((corners["ne"].x + corners["se"].x) / 2, abs=1e-9)
    assert north == pytest.approx((corners["nw"].y + corners["ne"].y) / 2, abs=1e-9)
    assert south == pytest.approx((corners["sw"].y + corners["se"].y) / 2, abs=1e-9)
    assert second.group is None


@settings(deadline=None, max_examples=25)
@given(
    column=st.floats(0, SIDE, exclude_max=True),
    row=st.floats(0, SIDE, exclude_max=True),
    size=st.integers(1, 40),
    zone=st.sampled_from(list(ZONES)),
)
def test_a_chip_is_the_slice_of_the_scene_around_its_point(
    shared: Path, column: float, row: float, size: int, zone: str
):
    write_labels(shared, [at(column, row, zone), at(128, 128)], name="any.geojson")
    found = pool(shared, {"labels": "any.geojson", "size": size})
    item = found.items[0]
    if found.dropped:
        edge = min(column, row, SIDE - column, SIDE - row)
        assert edge < size / 2 + 1
        return
    west, north, _ = map(int, item.id.rpartition("@")[2].split(","))
    assert abs(west + size / 2 - column) <= 0.5 + 1e-6
    assert abs(north + size / 2 - row) <= 0.5 + 1e-6
    assert found.load is not None
    assert np.array_equal(found.load(item), PIXELS[zone][:, north : north + size, west : west + size])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("shared"))


@pytest.mark.parametrize("name", ["labels.geojson", "labels.gpkg", "labels.shp", "labels.parquet"])
def test_formats_of_labels_give_the_same_samples(root: Path, name: str):
    write_labels(root, POINTS, name=name)
    found = pool(root, {"labels": name})
    write_labels(root, POINTS, name="other.gpkg")
    assert found.items == pool(root, {"labels": "other.gpkg"}).items


def test_labels_in_the_coordinates_of_another_zone(root: Path):
    write_labels(root, POINTS)
    geopandas.read_file(root / "labels.gpkg").to_crs(32632).to_file(root / "zone.gpkg")
    moved = pool(root, {"labels": "zone.gpkg"})
    assert [item.id for item in moved.items] == [item.id for item in pool(root).items]


def test_geojson_may_name_a_projection(root: Path):
    feature = {"geometry": {"type": "Point", "coordinates": [WEST + 640, NORTH - 640]}, "properties": {"crop": "a"}}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    body = {"type": "FeatureCollection", "crs": crs, "features": [{"type": "Feature", **feature}]}
    (root / "labels.geojson").write_text(json.dumps(body))
    assert [item.id for item in pool(root, {"labels": "labels.geojson"}).items] == ["scenes/two/0@56,56,16"]


def test_polygon_gives_a_chip_around_a_point_inside(root: Path):
    ring = Polygon([(90, 90), (150, 90), (150, 150), (90, 150)], [[(94, 94), (146, 94), (146, 146), (94, 146)]])
    polygon = to_degrees(shapely.transform(ring, lambda points: points * (10, -10) + (WEST, NORTH)))
    write_labels(root, [polygon])
    (item,) = pool(root).items
    west, north, _ = map(int, item.id.rpartition("@")[2].split(","))
    centre = Point(west + SIZE / 2, north + SIZE / 2)
    assert ring.distance(centre) <= 1


def test_another_size_or_place_is_another_identity(root: Path):
    write_labels(root, POINTS)
    write_labels(root, [at(31 + 20 * k, 40 + 15 * k, zone) for k in range(10) for zone in ZONES], name="moved.gpkg")
    options: list[dict[str, Any]] = [{}, {"size": SIZE + 1}, {"labels": "moved.gpkg"}]
    seen = {open_splits(task(root, changed))["all"].items_sha256 for changed in options}
    assert len(seen) == 3


def test_whole_numbers_are_names_even_with_empty_cells(root: Path):
    write_labels(root, POINTS[:3], [1.0, 2.0, None])
    found = pool(root, classes=("1", "2"))
    assert [item.label for item in found.items] == [0, 1]
    assert found.dropped == {"no label in column 'crop'": ("feature 2",)}


def test_numbers_to_predict(root: Path):
    write_labels(root, POINTS, [k / 4 for k in range(len(POINTS))])
    found = pool(root, kind="regression")
    assert [item.label for item in found.items] == [k / 4 for k in range(len(POINTS))]


def test_groups_of_a_column(root: Path):
    write_labels(root, POINTS, farm=[k // 4 for k in range(len(POINTS))])
    assert [item.group for item in pool(root, {"group": "farm"}).items] == [str(k // 4) for k in range(len(POINTS))]


@pytest.mark.parametrize("columns", [{}, {"split": "fold", "group": "farm"}])
def test_chips_keep_the_splits_and_groups_of_their_features(root: Path, columns: dict[str, str]):
    names = {role: columns.get(role, role) for role in ("split", "group")}
    write_labels(root, POINTS[:4], **{names["split"]: ["Training", None, "test", ""], names["group"]: [1, 1, 2, 2]})
    found = pool(root, {"columns": columns} if columns else {})
    number = {item.id: int(item.id.rpartition("/")[2].partition("@")[0]) for item in found.items}
    assert {number[id]: split for id, split in found.given.items()} == {0: "train", 2: "test"}
    assert {number[item.id]: item.group for item in found.items} == {0: "1", 1: "1", 2: "2", 3: "2"}


def test_unknown_splits_name_their_feature(root: Path):
    write_labels(root, POINTS[:2], split=["train", "later"])
    refused(root, "feature 1: split is 'later', expected train")


def test_a_column_of_labels_called_group_is_no_group(root: Path):
    write_labels(root, POINTS[:4], group=["a", "b", "a", "b"])
    found = pool(root, {"column": "group"})
    assert [item.group for item in found.items] == [None] * 4


def test_windows_of_masks_have_the_splits_and_groups_of_their_polygons(root: Path):
    spans = [(0, 20, "train", 1), (22, 30, "train", 2), (50, 60, "val", 3), (66, 70, "test", 4), (72, 78, "train", 4)]
    areas = [area(west, 0, east, 9) for west, east, _, _ in spans]
    splits, groups = ([span[which] for span in spans] for which in (2, 3))
    write_labels(root, areas, ["a"] * 5, split=splits, group=groups)
    found, _ = masks(root)
    assert found.given == {
        f"scenes/one@{column},0,16": split for column, split in ((0, "train"), (16, "train"), (48, "val"))
    }
    assert found.dropped == {MIXED: ("scenes/one@64,0,16",)}
    assert [item.group for item in found.items] == ["1", "1", "3"], "windows 0 and 16 share polygon 1, 16 has group 2"


def test_reasons_for_dropping_are_counted(root: Path):
    hole = PIXELS["one"].copy()
    hole[2, 100:110, 100:110] = 0
    write_scene(root / "scenes/one.tif", hole, WEST, NORTH, ZONES["one"], nodata=0)
    features = [
        (at(50, 50), "a"),
        (at(3, 100), "a"),
        (at(-40, 100), "a"),
        (at(105, 105), "a"),
        (None, "b"),
        (Polygon(), "b"),
        (LineString([at(1, 1), at(60, 60)]), "b"),
        (at(60, 60), None),
        (MultiPoint([at(60, 60)]), "b"),
        (MultiPoint([at(60, 60), at(61, 61)]), "b"),
        (Point(200, 95), "a"),
        (at(240, 248), "b"),
    ]
    write_labels(root, [geometry for geometry, _ in features], [label for _, label in features])
    found = pool(root)
    assert [item.id.rpartition("/")[2].partition("@")[0] for item in found.items] == ["0", "8", "11"]
    assert found.dropped == {
        "geometry is missing": ("feature 4",),
        "geometry is empty": ("feature 5",),
        "geometry is neither a point nor a polygon": ("feature 6", "feature 9"),
        "no label in column 'crop'": ("feature 7",),
        "the chip is not whole at the edge of its scene": ("feature 1",),
        "outside every scene": ("feature 2", "feature 10"),
        "the scene has no data there": ("feature 3",),
    }


@pytest.mark.parametrize("gap", ["edge", "nodata"])
def test_first_scene_with_a_whole_chip_is_taken(root: Path, gap: str):
    shift = 200 if gap == "edge" else 0
    write_scene(root / "scenes/three.tif", PIXELS["two"], WEST + 10 * shift, NORTH, ZONES["one"])
    if gap == "nodata":
        write_scene(root / "scenes/one.tif", np.zeros_like(PIXELS["one"]), WEST, NORTH, ZONES["one"], nodata=0)
    write_labels(root, [at(230, 60), at(252, 60)])
    expected = {"edge": ["one", "three"], "nodata": ["three"]}[gap]
    found = pool(root)
    assert [item.path.stem for item in found.items] == expected
    assert found.dropped[VIEWS] == tuple(f"feature {number}" for number in range(len(expected)))


def test_self_intersecting_polygons_are_repaired(root: Path, caplog: pytest.LogCaptureFixture):
    corners = [at(100, 100), at(116, 116), at(116, 100), at(100, 116)]
    write_labels(root, [Polygon([(corner.x, corner.y) for corner in corners])], ["b"])
    assert len(pool(root).items) == 1
    assert "1 invalid polygons" in caplog.text
    _, found = masks(root)
    # Two triangles that meet at the centre, each a quarter of the square.
    assert sum((mask == 1).sum() for mask in found.values()) == pytest.approx(128, abs=10)


PART = [(10, 12, 40, 30), (200, 100, 230, 140), (0, 250, 3, 256), (100.2, 100.2, 100.4, 100.4)]


def test_masks_end_to_end(root: Path):
    areas = [area(x, y, x + 20, y + 9, zone) for x in (5, 70, 130) for y in (10, 90, 170) for zone in ZONES]
    write_labels(root, areas)
    splits = open_splits(task(root, kind="segmentation"))
    assert min(map(len, splits.values())) > 0
    for split in splits.values():
        for index, item in enumerate(split.items):
            column, row, size = map(int, item.id.rpartition("@")[2].split(","))
            image, target = split.read_pair(index)
            window = PIXELS[item.path.stem][:, row : row + size, column : column + size]
            assert (column % size, row % size) == (0, 0)
            assert np.array_equal(image.pixels, window)
            assert {*np.unique(target)} <= {-1, 0, 1}
            assert (target >= 0).any()


def test_masks_of_boxes_are_exact(root: Path):
    write_labels(root, [area(*corners) for corners in PART], ["a", "b", "a", "b"])
    found, seen = masks(root)
    expected = np.full((SIDE, SIDE), -1)
    expected[12:30, 10:40], expected[100:140, 200:230], expected[250:, :3] = 0, 1, 0
    windows = {}
    for row in range(0, SIDE, SIZE):
        for column in range(0, SIDE, SIZE):
            part = expected[row : row + SIZE, column : column + SIZE]
            if (part >= 0).any():
                windows[f"scenes/one@{column},{row},{SIZE}"] = part
    assert list(seen) == list(windows)
    for id, part in windows.items():
        assert np.array_equal(seen[id], part), id
    assert found.dropped == {"contains no centre of a pixel": ("feature 3",)}


def test_background_is_a_class(root: Path):
    write_labels(root, [area(0, 0, 8, 16)], ["b"])
    _, seen = masks(root, {"background": "a"})
    assert np.array_equal(seen[f"scenes/one@0,0,{SIZE}"], np.repeat([[1] * 8 + [0] * 8], SIZE, axis=0))


def test_pixels_in_polygons_with_different_labels_have_none(root: Path, caplog: pytest.LogCaptureFixture):
    areas = [area(0, 0, 8, 8), area(4, 0, 12, 8), area(4, 4, 12, 12), area(8, 12, 12, 16)]
    write_labels(root, areas, ["a", "b", "b", "a"])
    _, seen = masks(root, {"background": "a"})
    expected = np.zeros((SIZE, SIZE))
    expected[0:12, 4:12] = 1
    expected[8:12, 0:4] = 0
    expected[0:8, 4:8] = -1
    assert np.array_equal(seen[f"scenes/one@0,0,{SIZE}"], expected)
    assert "3 polygons overlap polygons with other labels" in caplog.text


def test_numbers_per_pixel(root: Path):
    write_labels(root, [area(0, 0, 8, 16), area(6, 0, 10, 16), area(20, 0, 22, 16)], [2.5, -1.0, None])
    found, seen = masks(root, kind="dense_regression")
    expected = np.repeat([[2.5] * 6 + [np.nan] * 2 + [-1.0] * 2 + [np.nan] * 6], SIZE, axis=0)
    target = seen[f"scenes/one@0,0,{SIZE}"]
    assert target.dtype == np.float32
    assert np.array_equal(target, expected, equal_nan=True)
    assert found.dropped == {"no label in column 'crop'": ("feature 2",)}


triangles = st.lists(st.tuples(st.floats(-5, 70), st.floats(-5, 70)), min_size=3, max_size=3).map(Polygon)


@settings(deadline=None, max_examples=15)
@given(parts=st.lists(triangles.filter(lambda part: part.area > 1), min_size=1, max_size=5), inside=st.booleans())
def test_masks_are_what_points_in_polygons_say(shared: Path, parts: list[Polygon], inside: bool):
    in_crs = [shapely.transform(part, lambda points: points * (10, -10) + (WEST, NORTH)) for part in parts]
    labels = ["ab"[k % 2] for k in range(len(parts))]
    write_labels(shared, [*map(to_degrees, in_crs), area(0, 0, 64, 64)], [*labels, "c"], name="any.geojson")
    options = {"labels": "any.geojson", "size": 32, **({"background": "d"} if inside else {})}
    _, seen = masks(shared, options, classes=("a", "b", "c", "d"))
    assert {f"scenes/one@{column},{row},32" for column in (0, 32) for row in (0, 32)} <= set(seen)
    for id, target in seen.items():
        column, row, _ = map(int, id.rpartition("@")[2].split(","))
        rows, columns = np.mgrid[row : row + 32, column : column + 32] + 0.5
        centres = shapely.points(columns, rows)
        every = [*zip(parts, labels, strict=True), (box(0, 0, 64, 64), "c")]
        contained = {name: np.zeros((32, 32), bool) for name in "abc"}
        near = np.zeros((32, 32), bool)
        for part, label in every:
            contained[label] |= shapely.contains(part, centres)
            near |= shapely.distance(part.boundary, centres) < 1e-4
        times = sum(found.astype(int) for found in contained.values())
        expected = sum(np.where(found, "abc".index(name), 0) for name, found in contained.items())
        expected = np.where(times == 1, expected, np.where(times == 0, 3 if inside else -1, -1))
        assert np.array_equal(target[~near], expected[~near]), id


def test_polygons_are_drawn_in_every_scene_but_select_windows_of_the_first(root: Path):
    write_scene(root / "scenes/three.tif", PIXELS["two"], WEST + 320, NORTH, ZONES["one"])
    # The first polygon lies in both scenes; the second selects a window of scene three, where the first is seen too.
    write_labels(root, [area(240, 0, 254, 9), area(270, 0, 272, 9)], ["a", "b"])
    found, seen = masks(root, {"size": 32})
    assert list(seen) == ["scenes/one@224,0,32", "scenes/three@224,0,32"]
    assert found.dropped == {SELECTED_ELSEWHERE: ("feature 0",)}
    expected = np.full((32, 32), -1)
    expected[:9, 14:16] = 1
    assert np.array_equal(seen["scenes/three@224,0,32"], expected)


def test_polygons_that_give_no_window_are_counted(root: Path):
    areas = [area(0, 0, 5, 5), area(251, 3, 255, 8), area(-40, 0, -3, 9), at(50, 50)]
    write_labels(root, areas, ["a"] * 4)
    found, seen = masks(root, {"size": 50})
    assert list(seen) == ["scenes/one@0,0,50"]
    assert found.dropped == {
        "geometry is not a polygon": ("feature 3",),
        "in no whole window, at the edge of its scene": ("feature 1",),
        "outside every scene": ("feature 2",),
    }


def test_windows_without_data_are_dropped(root: Path):
    hole = PIXELS["one"].copy()
    hole[:, :16, :16] = 0
    write_scene(root / "scenes/one.tif", hole, WEST, NORTH, ZONES["one"], nodata=0)
    write_labels(root, [area(x, 0, x + 9, 9) for x in range(0, 240, 16)])
    splits = open_splits(task(root, kind="segmentation"))
    dropped = [(reason, ids) for split in splits.values() for reason, ids in split.dropped.items()]
    assert dropped == [("no valid pixel", ("scenes/one@0,0,16",))]


@pytest.mark.parametrize("name", ["labels.gpkg", "labels.shp"])
def test_edited_labels_give_masks_another_identity(root: Path, name: str):
    areas = [area(x, 0, x + 9, 9) for x in range(0, 240, 16)]
    seen = []
    for labels in (["a"] * len(areas), ["a"] * (len(areas) - 1) + ["b"]):
        write_labels(root, areas, labels, name=name)
        splits = open_splits(task(root, {"labels": name}, kind="segmentation"))
        seen.append((splits["train"].items_sha256, splits["train"].labels_sha256))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"size": 0}}, "option size is 0"),
        ({"options": {"size": "16"}}, "option size is '16'"),
        ({"options": {"column": 3}}, "needs the option column"),
        ({"options": {"target": "mask"}}, "is not for kind = classification; expected 'chip'"),
        ({"options": {"target": "chip"}, "kind": "segmentation"}, "expected 'mask'"),
        ({"options": {"target": "box"}}, "option target is 'box'"),
        ({"options": {"background": "sea"}, "kind": "segmentation"}, "option background is 'sea'"),
        ({"options": {"background": "a"}}, "option background is for target = 'mask'"),
        ({"options": {"columns": {"label": "crop"}}}, "expected names of columns for split and group"),
        ({"options": {"group": 3}}, "expected names of columns for split and group"),
        ({"options": {"stride": 2}}, "option stride is unknown"),
    ],
)
def test_wrong_options(root: Path, fields: dict[str, Any], message: str):
    with pytest.raises(ContractError, match=message) as error:
        pool(root, **fields)
    assert len(str(error.value)) <= 400


def refused(root: Path, message: str, options: dict[str, Any] | None = None, **fields: Any) -> None:
    with pytest.raises(DataError, match=message) as error:
        open_splits(task(root, options, **fields))
    assert len(str(error.value)) <= 400 + 2 * len(str(root))


def test_labels_without_a_crs(root: Path):
    geopandas.GeoDataFrame({"crop": ["a"]}, geometry=[at(50, 50)]).to_file(root / "labels.gpkg")
    refused(root, r"no coordinate reference system \(CRS\)")


def test_shapefile_without_its_prj(root: Path):
    write_labels(root, POINTS, name="labels.shp")
    (root / "labels.prj").unlink()
    refused(root, r"no coordinate reference system \(CRS\)", {"labels": "labels.shp"})


def test_missing_column(root: Path):
    write_labels(root, POINTS, farm=[1] * len(POINTS))
    refused(root, "no column 'klass'; the columns are crop, farm", {"column": "klass"})
    refused(root, "no column 'owner'", {"group": "owner"})


def test_unknown_class(root: Path):
    write_labels(root, POINTS[:3], ["a", "sea", "sea"])
    refused(root, r"1 values that are not classes of task 'mine', for example 'sea' \(2\); expected a, b")


def test_words_where_numbers_are_expected(root: Path):
    write_labels(root, POINTS[:3], ["1", "2", "many"])
    refused(root, "column 'crop' has 'many' in feature 2; expected numbers", kind="regression")


def test_missing_groups(root: Path):
    write_labels(root, POINTS[:2], farm=["x", None])
    refused(root, "1 features have no group in column 'farm'", {"group": "farm"})


def test_labels_that_do_not_exist(root: Path):
    refused(root, "there is no such file")


def test_no_scene_fits(root: Path):
    write_labels(root, POINTS)
    refused(root, "no GeoTIFF fits the option scenes = 'tiles/", {"scenes": "tiles/*.tif"})


def test_scenes_of_mixed_band_counts(root: Path):
    write_labels(root, POINTS)
    write_scene(root / "scenes/three.tif", PIXELS["one"][:3], WEST, NORTH, ZONES["one"])
    refused(root, "three.tif: found 3 bands, expected 4")


def test_scene_without_a_place(root: Path):
    write_labels(root, POINTS)
    write_tif(root / "scenes/three.tif", PIXELS["one"])
    refused(root, "three.tif: the scene has no georeference")


def test_no_feature_in_any_scene(root: Path):
    write_labels(root, [Point(100, 10), Point(101, 10)])
    refused(root, r"no feature gives a sample \(2 outside every scene\)")


def test_geopackage_of_several_layers(root: Path):
    write_labels(root, POINTS)
    geopandas.read_file(root / "labels.gpkg").iloc[:4].to_file(root / "labels.gpkg", layer="few")
    refused(root, "there are 2 layers; found labels, few. Set the option layer")
    refused(root, "there is no layer 'other'", {"layer": "other"})
    assert len(pool(root, {"layer": "few"}).items) == 4


def test_geopackage_that_another_program_is_writing(root: Path):
    write_labels(root, POINTS)
    (root / "labels.gpkg-wal").write_bytes(b"x")
    refused(root, "changes are not yet written into the file")


def geojson(**fields: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": [], **fields})


VRT = '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.csv", "x", "labels end in .geojson"),
        ("a.geojson", "{", "cannot read the labels"),
        ("a.geojson", "[]", "not a FeatureCollection"),
        ("a.geojson", geojson(), "no features"),
        ("a.geojson", geojson(crs=None, features=[{"geometry": None, "properties": {"crop": "a"}}]), "no coordinate"),
        ("a.geojson", geojson(crs={"properties": {"name": "+proj=x +nadgrids=/etc/passwd"}}), "its CRS is"),
        ("a.geojson", geojson(features=[{"geometry": {"type": "Box"}, "properties": {}}]), "cannot read the labels"),
        ("a.geojson", geojson(features=[3]), "cannot read the labels"),
        ("a.geojson", '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline"}', "not a FeatureColl"),
        ("a.gpkg", VRT, "not a GeoPackage"),
        ("a.gpkg", "SQLite format 3\0", "not a GeoPackage"),
        ("a.shp", VRT, "not a Shapefile"),
        ("a.shp", "\0\0'\n", "cannot read the labels"),
        ("a.parquet", "PAR1", "cannot read the labels"),
    ],
)
def test_files_that_are_not_what_they_are_called(root: Path, name: str, body: str, message: str):
    (root / name).write_text(body)
    refused(root, message, {"labels": name})


def test_parquet_without_geometries(root: Path):
    import pandas

    pandas.DataFrame({"crop": ["a"]}).to_parquet(root / "labels.parquet")
    refused(root, "cannot read the labels", {"labels": "labels.parquet"})


def test_labels_outside_the_folder(root: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    write_labels(other, POINTS)
    (root / "labels.gpkg").symlink_to(other / "labels.gpkg")
    refused(root, "outside the data set")


def test_nothing_is_written(root: Path):
    write_labels(root, POINTS)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    open_splits(task(root))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_south_up_scenes_are_cut_at_the_same_place(root: Path, monkeypatch: pytest.MonkeyPatch):
    from rasterio.transform import Affine

    write_labels(root, POINTS)
    before: Callable[[Any], Any] | None = pool(root).load
    assert before is not None
    expected = {item.id: before(item) for item in pool(root).items}
    for name, epsg in ZONES.items():
        turned = read_tif(root / f"scenes/{name}.tif")[:, ::-1]
        place = Affine(10, 0, WEST, 0, 10, NORTH - 10 * SIDE)
        write_tif(root / f"scenes/{name}.tif", turned, crs=f"EPSG:{epsg}", transform=place)
    found = pool(root)
    assert found.load is not None
    assert [item.id for item in found.items] == list(expected)
    assert all(np.array_equal(found.load(item), expected[item.id]) for item in found.items)


def test_polygons_without_coordinates_in_the_projection_are_outside(root: Path):
    far = [box(-180, -90, 180, 90), box(80, 40, 200, 50)]
    write_labels(root, [*far, area(0, 0, 9, 9)], name="labels.geojson")
    found, seen = masks(root, {"labels": "labels.geojson"})
    assert list(seen) == [f"scenes/one@0,0,{SIZE}"]
    assert found.dropped == {"outside every scene": ("feature 0", "feature 1")}


def test_collections_are_not_polygons(root: Path):
    write_labels(
        root, [GeometryCollection([area(60, 60, 70, 70)]), area(60, 60, 70, 70)], ["a", "a"], name="labels.geojson"
    )
    found = pool(root, {"labels": "labels.geojson"})
    assert found.dropped["geometry is neither a point nor a polygon"] == ("feature 0",)
