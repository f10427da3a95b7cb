"""Division of own data: nothing that belongs together is in two splits, and every sample is in exactly one."""

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.blocks import cells, label_range
from geofm_eval.data.division import divided
from geofm_eval.data.items import Item, Listing, Pool
from geofm_eval.data.readers.images import place_of
from geofm_eval.data.sphere import EARTH_M
from geofm_eval.data.units import assign_folds, joined, overlapping_pairs
from geofm_eval.errors import ContractError, DataError

pytestmark = pytest.mark.fast

CLASSES = ("bare", "crop", "forest")
DEGREE = EARTH_M * np.pi / 180
"""Metres per degree of latitude."""


def task(**fields: object) -> TaskSpec:
    settings = {"slug": "mine", "title": "Mine", "reader": "folder", "root": "/data", "bands": ("B02",)}
    kinds = {"product": "any", "classes": CLASSES, "protocol": "holdout", "gsd": 10.0}
    return TaskSpec.model_validate(settings | kinds | fields)


def item(number: int, label: float | None = None, **fields: object) -> Item:
    made = {
        "id": f"s{number:03d}",
        "path": Path(f"/data/{number}.tif"),
        "label": number % 3 if label is None else label,
    }
    return Item(**(made | fields))  # type: ignore[arg-type]


def pool(items: list[Item], **fields: object) -> Pool:
    return Pool(Path("/data"), tuple(items), None, **fields)  # type: ignore[arg-type]


def parts(listing: Listing) -> dict[str, object]:
    """Split or fold of every sample by id."""
    if listing.folds:
        assert set(listing.folds) == {one.id for one in listing.items["all"]}
        return dict(listing.folds)
    found = [(one.id, name) for name, items in listing.items.items() for one in items]
    assert len(found) == len(dict(found)), "a sample is in two splits"
    return dict(found)


def chip(lon: float, lat: float, side: float = 0.01) -> tuple[float, float, float, float]:
    return (lon, lat, lon + side, lat + side)


@st.composite
def pools(draw: st.DrawFn) -> list[Item]:
    n = draw(st.integers(5, 60))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    grouped, placed, boxed = (draw(st.booleans()) for _ in range(3))
    lonlat = rng.uniform((-1, 50), (1, 51), (n, 2))
    if draw(st.booleans()):
        lonlat[:, 0] = lonlat[:, 0] % 360 - 180
    groups = rng.integers(0, draw(st.integers(3, 20)), n)
    return [
        item(
            number,
            float(rng.integers(0, 3)) if number > 1 else float(number),
            group=f"g{groups[number]}" if grouped else None,
            lonlat=tuple(lonlat[number]) if placed else None,
            box=chip(*lonlat[number], 0.05) if boxed else None,
        )
        for number in range(n)
    ]


@settings(max_examples=80, deadline=None)
@given(pools(), st.sampled_from(["auto", "group", "blocks", "random"]), st.sampled_from(["holdout", "folds", "auto"]))
def test_what_belongs_together_stays_together(items: list[Item], split: str, protocol: str) -> None:
    spec = task(split=split, protocol=protocol)
    try:
        listing = divided(spec, pool(items))
    except (DataError, ContractError):
        return  # too few units, which test_bad_data is about
    part = parts(listing)
    assert set(part) == {one.id for one in items}
    assert len(set(part.values())) == (3 if not listing.folds else min(5, len(set(part.values()))))
    ids = [one.id for one in items]
    for a, b in overlapping_pairs(items).tolist():
        assert part[ids[a]] == part[ids[b]], "overlapping images are apart"
    if listing.rule["by"] in ("group", "blocks") and items[0].group is not None:
        assert len({(one.group, part[one.id]) for one in items}) == len({one.group for one in items})
    if listing.rule["by"] == "blocks":
        places = np.array([one.lonlat or (one.box[0] + 0.025, one.box[1] + 0.025) for one in items])  # type: ignore[index]
        names = cells(places, float(listing.rule["block_m"])) if items[0].lonlat else None
        if names is not None:
            assert len(set(zip(names, [part[i] for i in ids], strict=True))) == len(set(names)), "a block is divided"
    again = divided(spec, pool([items[i] for i in np.random.default_rng(0).permutation(len(items))]))
    assert parts(again) == part, "the order of the samples matters"
    assert again.rule == listing.rule


@given(st.integers(3, 60), st.integers(2, 5), st.integers(0, 99))
def test_folds_are_even_and_never_empty(n: int, folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strata = rng.integers(0, 3, n)
    single = assign_folds(strata, folds, ("test", seed))
    assert np.ptp(np.bincount(single, minlength=folds)) <= 1
    units = rng.integers(0, 12, n).astype(str)
    count = len(np.unique(units))
    whole = assign_folds(strata, min(folds, count), ("test", seed), units)
    assert len(np.unique(whole)) == min(folds, count)


def test_classes_are_balanced_over_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    strata = np.where(rng.random(600) < 0.8, groups % 3, rng.integers(0, 3, 600))
    folds = assign_folds(strata, 5, ("test",), groups.astype(str))
    shares = np.array([np.bincount(strata[folds == fold], minlength=3) for fold in range(5)])
    assert shares.min() > 0.75 * shares.mean()
    assert np.ptp(shares.sum(1)) <= 20


def test_shares_of_a_random_division() -> None:
    listing = divided(task(), pool([item(number) for number in range(300)]))
    assert {name: len(items) for name, items in listing.items.items()} == {"train": 180, "val": 60, "test": 60}
    for items in listing.items.values():
        assert np.ptp(np.bincount([int(one.label or 0) for one in items])) <= 1


def test_auto_takes_the_first_rule_that_is_possible() -> None:
    plain = [item(number) for number in range(60)]
    placed = [item(number, lonlat=(number * 0.1, 10.0)) for number in range(60)]
    grouped = [item(number, lonlat=(number * 0.1, 10.0), group=f"g{number % 9}") for number in range(60)]
    named = {one.id: ("train", "val", "test")[number % 3] for number, one in enumerate(plain)}
    assert divided(task(), pool(plain)).rule["by"] == "random"
    assert divided(task(), pool(placed)).rule["by"] == "blocks"
    assert divided(task(), pool(grouped)).rule == {"by": "group", "groups": 9}
    assert parts(divided(task(), pool(grouped, given=named))) == named


def test_folds_for_few_samples_or_a_rare_class() -> None:
    few = [item(number) for number in range(999)]
    many = [item(number) for number in range(1200)]
    rare = [item(number, 2 if number < 99 else number % 2) for number in range(1200)]
    auto = task(protocol="auto")
    assert divided(auto, pool(few)).folds
    assert not divided(auto, pool(many)).folds
    assert divided(auto, pool(rare)).folds
    assert divided(task(protocol="folds"), pool(many)).folds
    assert not divided(task(), pool(few)).folds
    named = {one.id: ("train", "val", "test")[number % 3] for number, one in enumerate(few)}
    assert not divided(auto, pool(few, given=named)).folds, "the data name their own splits"


def test_numbers_are_balanced_and_absent_targets_do_not_stop_the_division() -> None:
    values = np.random.default_rng(0).gamma(2, 10, 200)
    items = [item(number, float("nan") if number < 3 else float(value)) for number, value in enumerate(values)]
    spec = task(kind="regression", metric="r2", classes=(), protocol="folds")
    folds = divided(spec, pool(items)).folds
    means = [np.nanmean([one.label for one in items if folds[one.id] == fold]) for fold in range(5)]
    assert np.ptp(means) < 5


def test_dense_tasks_are_held_out() -> None:
    items = [item(number, target=Path("m.tif")) for number in range(40)]
    dense = {"kind": "segmentation", "metric": "miou"}
    listing = divided(task(protocol="auto", **dense), pool(items))
    assert sorted(listing.items) == ["test", "train", "val"]
    with pytest.raises(ContractError, match="one label per pixel"):
        divided(task(protocol="folds", **dense), pool(items))


def test_block_size_from_the_variogram() -> None:
    """Labels of a checkerboard with fields of 20 km: the range is about that, not the ten chips of 100 m."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 2, (900, 2))
    fields = np.floor(places * DEGREE / 20_000).astype(int)
    labels = np.random.default_rng(2).integers(0, 3, (60, 60))[fields[:, 0], fields[:, 1]]
    found = label_range(places, labels, 0)
    assert 8_000 < found < 40_000
    items = [item(i, int(labels[i]), lonlat=tuple(places[i]), box=chip(*places[i], 0.0001)) for i in range(900)]
    rule = divided(task(), pool(items)).rule
    assert rule["from"] == "variogram"
    assert rule["block_m"] == pytest.approx(found, rel=0.01)
    assert int(rule["blocks"]) >= 25
    shuffled = rng.permutation(labels)
    assert label_range(places, shuffled, 0) == 0, "labels without a pattern have no range"


def test_block_size_from_chips_and_from_the_entry() -> None:
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 2, (300, 2))
    items = [item(i, lonlat=tuple(places[i]), box=chip(*places[i], 0.02)) for i in range(300)]
    rule = divided(task(), pool(items)).rule
    assert rule["from"] == "ten chips"
    assert rule["block_m"] == pytest.approx(10 * 0.02 * DEGREE, rel=0.01)
    rule = divided(task(block_m=5000.0), pool(items)).rule
    assert (rule["from"], rule["block_m"]) == ("entry", 5000.0)


def test_blocks_become_smaller_where_there_would_be_too_few(caplog: pytest.LogCaptureFixture) -> None:
    places = np.random.default_rng(1).uniform(0, 0.5, (300, 2))
    items = [item(i, lonlat=tuple(places[i]), box=chip(*places[i], 0.02)) for i in range(300)]
    with caplog.at_level(logging.WARNING):
        rule = divided(task(), pool(items)).rule
    assert 10 <= int(rule["blocks"]) < 25
    assert float(rule["wanted_m"]) > float(rule["block_m"])
    assert "too few" in caplog.text


def test_cells_are_square_and_do_not_stop_at_the_antimeridian() -> None:
    for lat in (0.0, 60.0, 85.0):
        step = 100 / DEGREE / np.cos(np.radians(lat))
        lon = 179.9 + np.arange(4000) * step
        names = cells(np.stack([(lon + 180) % 360 - 180, np.full(4000, lat)], axis=1), 10_000.0)
        sizes = np.unique(names, return_counts=True)[1]
        assert len(sizes) == pytest.approx(41, abs=2)
        assert np.median(sizes) == pytest.approx(100, abs=2)


def test_neighbours_do_not_overlap_and_boxes_may_cross_the_antimeridian() -> None:
    row = [item(number, box=chip(number * 0.01, 0.0)) for number in range(5)]
    assert not len(overlapping_pairs(row))
    crossing = [item(0, box=(179.99, 0.0, -179.99, 0.02)), item(1, box=(-180.0, 0.0, -179.98, 0.02))]
    assert overlapping_pairs([*crossing, item(2, box=(0.0, 0.0, 0.02, 0.02))]).tolist() == [[0, 1]]
    same = [item(number, box=chip(0, 0)) for number in range(2000)]
    assert len(overlapping_pairs(same)) == 1999, "equal boxes must not give millions of pairs"


def test_chained_units_are_joined() -> None:
    groups, blocks = np.array(["a", "a", "b", "c"]), np.array(["x", "y", "y", "z"])
    assert joined(groups, blocks).tolist() == ["a", "a", "a", "c"]


def test_overlapping_images_stay_together_in_a_random_division() -> None:
    items = [item(number, box=chip(number // 4 * 0.1, 0.0, 0.02)) for number in range(80)]
    part = parts(divided(task(split="random"), pool(items)))
    for first in range(0, 80, 4):
        assert len({part[f"s{number:03d}"] for number in range(first, first + 4)}) == 1


def test_val_from_train_and_test_from_val(caplog: pytest.LogCaptureFixture) -> None:
    items = [item(number, group=f"g{number // 5}") for number in range(100)]
    named = {one.id: "train" if number < 80 else "test" for number, one in enumerate(items)}
    with caplog.at_level(logging.WARNING):
        listing = divided(task(), pool(items, given=named))
    sizes = {name: len(own) for name, own in listing.items.items()}
    assert sizes == {"train": 60, "val": 20, "test": 20}
    groups = [{one.group for one in listing.items[name]} for name in ("train", "val")]
    assert not groups[0] & groups[1]
    assert "no split val" in caplog.text
    assert listing.rule == {"by": "given", "val": "a quarter of train, whole groups"}
    named = {name: split.replace("test", "val") for name, split in named.items()}
    listing = divided(task(), pool(items, given=named))
    assert len(listing.items["test"]) == 20
    assert listing.rule["test"] == "the data's val"


def test_val_is_made_of_blocks_of_train_where_places_are_known() -> None:
    """From one region to another: a random quarter of train would have neighbours of training samples."""
    places = np.random.default_rng(0).uniform(0, 1, (400, 2)) + np.where(np.arange(400) < 300, 0, 40)[:, None]
    items = [item(number, lonlat=tuple(places[number])) for number in range(400)]
    named = {one.id: "train" if number < 300 else "test" for number, one in enumerate(items)}
    listing = divided(task(block_m=20_000.0), pool(items, given=named))
    assert listing.rule == {"by": "given", "val": "a quarter of train, whole blocks of 20000 m"}
    assert len(listing.items["test"]) == 100
    assert 60 < len(listing.items["val"]) < 90
    found = parts(listing)
    names = cells(places[:300], 20_000.0)
    assert len(set(zip(names, [found[one.id] for one in items[:300]], strict=True))) == len(set(names))


def test_val_leaves_every_class_to_train() -> None:
    """The only block of a class may be drawn for val."""
    for block in range(8):
        items = [item(k, 2 if k // 10 == block else k % 2, lonlat=(k // 10 * 1.0, 0.0)) for k in range(80)]
        named = {one.id: "train" for one in items}
        items += [item(100 + k, k % 3, lonlat=(60.0 + k, 0.0)) for k in range(9)]
        named |= {one.id: "test" for one in items[80:]}
        listing = divided(task(block_m=5000.0), pool(items, given=named))
        assert {one.label for one in listing.items["train"]} == {0, 1, 2}


def test_samples_without_a_split() -> None:
    items = [item(number) for number in range(60)]
    only_test = {one.id: "test" for one in items[:12]}
    listing = divided(task(), pool(items, given=only_test))
    assert {name: len(own) for name, own in listing.items.items()} == {"train": 36, "val": 12, "test": 12}
    some = {one.id: ("train", "val", "test")[number % 3] for number, one in enumerate(items[:30])}
    listing = divided(task(), pool(items, given=some))
    assert sum(map(len, listing.items.values())) == 30
    assert sum(map(len, listing.dropped["train"].values())) == 30


def test_overlaps_across_given_splits_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    items = [item(number, box=chip(number // 2 * 0.1, 0.0)) for number in range(60)]
    named = {one.id: ("train", "val", "test")[number % 3] for number, one in enumerate(items)}
    with caplog.at_level(logging.WARNING):
        assert parts(divided(task(), pool(items, given=named))) == named
    assert "30 pairs of overlapping images" in caplog.text


def test_missing_classes_are_reported_and_training_has_all(caplog: pytest.LogCaptureFixture) -> None:
    items = [item(number, 2 if number == 7 else number % 2) for number in range(60)]
    with caplog.at_level(logging.WARNING):
        listing = divided(task(), pool(items))
    assert 2 in [one.label for one in listing.items["train"]]
    assert "no sample of forest is in test" in caplog.text


@pytest.mark.parametrize(
    ("fields", "items", "match"),
    [
        ({}, [item(number) for number in range(4)], "at least 5"),
        ({}, [item(number, 1) for number in range(40)], "all 40 samples are of class 'crop'"),
        ({}, [item(number, group="only") for number in range(40)], "form 1 group"),
        ({}, [item(number, group=f"g{number % 2}") for number in range(40)], "form 2 groups"),
        ({}, [item(number, lonlat=(1.0, 2.0)) for number in range(40)], "form 1 spatial block"),
        ({}, [item(number, lonlat=(1.0, 95.0)) for number in range(40)], "latitude 95"),
        ({"split": "random"}, [item(number, box=chip(0, 0)) for number in range(40)], "1 cluster of overlapping"),
        ({}, [item(number) for number in (0, *range(40))], "more than once"),
        ({"split": "blocks"}, [item(number) for number in range(40)], "not every sample has a longitude"),
        ({"split": "group"}, [item(number) for number in range(40)], "not every sample has a group"),
        ({"split": "given"}, [item(number) for number in range(40)], "the data name no splits"),
    ],
)
def test_bad_data(fields: dict[str, object], items: list[Item], match: str) -> None:
    with pytest.raises((DataError, ContractError), match=match) as error:
        divided(task(**fields), pool(items))
    assert len(str(error.value)) <= 400


@pytest.mark.parametrize(
    ("named", "match"),
    [
        ({"s000": "holdout"}, "a split 'holdout'"),
        ({f"s{number:03d}": "train" for number in range(40)}, "no sample is left for test"),
        ({f"s{number:03d}": "test" for number in range(40)}, "no sample is left for train"),
    ],
)
def test_bad_given_splits(named: dict[str, str], match: str) -> None:
    with pytest.raises(DataError, match=match) as error:
        divided(task(), pool([item(number) for number in range(40)], given=named))
    assert len(str(error.value)) <= 400


def test_given_and_folds_exclude_each_other() -> None:
    items = [item(number) for number in range(40)]
    named = {one.id: ("train", "val", "test")[number % 3] for number, one in enumerate(items)}
    with pytest.raises(ContractError, match="remove one of the two"):
        divided(task(split="given", protocol="folds"), pool(items, given=named))
    assert divided(task(protocol="folds"), pool(items, given=named)).folds, "an explicit protocol replaces the splits"


@pytest.mark.parametrize(("crs", "west", "north"), [("EPSG:32633", 300_000, 6_700_000), ("EPSG:32601", 298_000, 0)])
def test_neighbouring_chips_of_a_projected_grid_do_not_overlap(tmp_path: Path, crs: str, west: int, north: int) -> None:
    """Two kilometres in UTM, three degrees of longitude from the middle of the zone."""
    items = []
    for number in range(9):
        path = tmp_path / f"{number}.tif"
        at = from_origin(west + number % 3 * 640, north + number // 3 * 640, 10, 10)
        profile = {"width": 64, "height": 64, "count": 1, "dtype": "uint8", "crs": crs, "transform": at}
        with rasterio.open(path, "w", driver="GTiff", **profile) as file:
            file.write(np.ones((1, 64, 64), dtype=np.uint8))
        items.append(item(number, box=place_of(path)[1]))
    assert all(one.box is not None for one in items)
    assert not len(overlapping_pairs(items))


@pytest.mark.parametrize("split", ["random", "blocks"])
def test_samples_at_the_same_coordinates_stay_together(split):
    items = [item(number, lonlat=(10 + number // 3 * 0.05, 50.0)) for number in range(90)]
    found = parts(divided(task(split=split, protocol="folds", block_m=2000.0), pool(items)))
    for start in range(0, 90, 3):
        assert len({found[one.id] for one in items[start : start + 3]}) == 1
