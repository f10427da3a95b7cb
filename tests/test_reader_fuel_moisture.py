"""Live fuel moisture on disk: series of single pixels by site, dated by their labels, and the real series."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable

SITES = 12
"""Sites of two series each; the last two are for testing."""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """The task below a home of the test's own."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    return load_catalog().task("fuel_moisture")


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    folder = tmp_path / task.root
    (folder / "npy").mkdir(parents=True)
    days = [date(2018, 6, 30), date(2019, 1, 31)] * SITES
    starts = [[day - timedelta(days=back) for back in (90, 60, 30)] for day in days]
    save(folder, "s1_s2_era5_srtm", np.stack([series(row) for row in range(2 * SITES)]))
    save(folder, "month", np.array([[start.month - 1 for start in three] for three in starts]))
    save(folder, "target", np.arange(2 * SITES) * 10.0)
    save(folder, "site", np.repeat([f"site {number}" for number in range(SITES)], 2))
    save(folder, "latlon", np.stack([[40 + row, -110 - row] for row in range(2 * SITES)]).astype(float))
    save(folder, "is_test", np.repeat([0] * (SITES - 2) + [1, 1], 2))
    rows = [(f"site {row // 2}", row * 10.0, day) for row, day in enumerate(days)]
    write_labels(folder, [*rows[:3], ("site 1", 999.0, date(2014, 1, 1)), *rows[3:]])
    return folder


def series(row: int) -> np.ndarray:
    """Three dates of 18 columns: radar, eleven optical bands, weather, terrain, an index."""
    optical = 900 + 100 * np.arange(3)[:, None] + np.arange(11) + row / 100
    radar, rest = np.full((3, 2), -12.0), np.tile([290.0, 0.001, 900.0, 3.5, 0.4], (3, 1))
    return np.concatenate([radar, optical, rest], axis=1)


def save(folder: Path, name: str, values: np.ndarray) -> None:
    np.save(folder / "npy" / f"{name}.npy", values)


def write_labels(folder: Path, rows: list[tuple[str, float | None, date]]) -> None:
    features = [
        {"properties": {"site": site, "percent(t)": value, "date": f"{day}T00:00:00"}} for site, value, day in rows
    ]
    (folder / "single_file_labels.geojson").write_text(json.dumps({"features": features}))


def test_sites_stay_together(task: TaskSpec, root: Path):
    splits = open_splits(task)
    assert {name: len(split) for name, split in splits.items()} == {"train": 16, "val": 4, "test": 4}
    groups = {name: set(split.groups) for name, split in splits.items()}
    assert groups["test"] == {"site 10", "site 11"}
    assert not groups["train"] & groups["val"]
    assert splits["val"].definition == "official"
    assert open_splits(task)["val"].ids == splits["val"].ids


def test_series_are_pixels_of_known_bands(task: TaskSpec, root: Path):
    split = open_splits(task)["test"]
    image = split.read(0)
    assert image.pixels.shape == (3, 17, 1, 1)
    np.testing.assert_allclose(image.pixels[:, :, 0, 0], series(20)[:, :17], rtol=1e-6)
    assert split.items[0].lonlat == (-130.0, 60.0)
    assert split.labels.tolist() == [200, 210, 220, 230]


def test_dates_come_from_the_label_in_steps_of_thirty_days(task: TaskSpec, root: Path):
    split = open_splits(task)["test"]
    assert split.read(0).dates == (date(2018, 4, 1), date(2018, 5, 1), date(2018, 5, 31))
    assert split.read(1).dates == (date(2018, 11, 2), date(2018, 12, 2), date(2019, 1, 1))


def test_targets_that_are_nan_are_dropped_and_counted(task: TaskSpec, root: Path):
    target = np.arange(2 * SITES) * 10.0
    target[21] = np.nan
    save(root, "target", target)
    assert open_splits(task)["test"].dropped == {"the target is NaN": ("series_00021",)}


def test_site_in_training_and_test_is_refused(task: TaskSpec, root: Path):
    flags = np.repeat([0] * (SITES - 2) + [1, 1], 2)
    flags[[20, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]] = 0
    save(root, "is_test", flags)
    with pytest.raises(DataError, match=r"group 'site 10' is in splits '(train|val)' and 'test'"):
        open_splits(task)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("target", np.arange(5.0), r"arrays differ in length \(.*target 5"),
        ("is_test", np.full(2 * SITES, 2), r"is_test.npy: values are \[2\], expected 0 \(training\) and 1 \(test\)"),
        (
            "month",
            np.zeros((2 * SITES, 3), int),
            r"months \[.*\] \(0 is January\), but the label of 2018-06-30",
        ),
        ("target", np.full(2 * SITES, 5.0), r"of the arrays \(site 'site 0', 5 percent\) has no matching label"),
        (
            "s1_s2_era5_srtm",
            np.ones((2 * SITES, 4, 18)),
            r"shape is \(24, 4, 18\), expected \(series, 3 dates, 18 columns",
        ),
        ("s1_s2_era5_srtm", np.ones((2 * SITES, 3, 17)), r"expected \(series, 3 dates, 18 columns\)"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    task: TaskSpec, root: Path, name: str, values: np.ndarray, says: str
):
    save(root, name, values)
    with pytest.raises(DataError, match=says):
        open_splits(task)


def test_moisture_out_of_range_is_refused(task: TaskSpec, root: Path):
    save(root, "target", np.arange(2 * SITES) * 1000.0)
    write_labels(
        root,
        [
            (f"site {row // 2}", row * 1000.0, date(2019, 1, 31) if row % 2 else date(2018, 6, 30))
            for row in range(2 * SITES)
        ],
    )
    with pytest.raises(DataError, match=r"has the target \d+, expected 0 to 500 percent"):
        open_splits(task)


def test_reflectances_are_refused(task: TaskSpec, root: Path):
    pixels = np.stack([series(row) for row in range(2 * SITES)])
    pixels[:, :, 2:13] /= 10_000
    save(root, "s1_s2_era5_srtm", pixels)
    with pytest.raises(DataError, match="reflectances"):
        open_splits(task)["train"].read(0)


def test_degrees_celsius_are_refused(task: TaskSpec, root: Path):
    pixels = np.stack([series(row) for row in range(2 * SITES)])
    pixels[:, :, 13] -= 273.15
    save(root, "s1_s2_era5_srtm", pixels)
    with pytest.raises(DataError, match=r"the median value is 16.85 K, expected 230 to 330"):
        open_splits(task)["train"].read(0)


@pytest.mark.parametrize("content", ["", "[]", '{"features": [{"properties": {"site": "a"}}]}'])
def test_labels_that_are_none_are_named(task: TaskSpec, root: Path, content: str):
    (root / "single_file_labels.geojson").write_text(content)
    with pytest.raises(DataError, match=r"single_file_labels.geojson: cannot read the labels"):
        open_splits(task)


def test_file_that_is_no_array_is_named(task: TaskSpec, root: Path):
    (root / "npy/target.npy").write_text("not found")
    with pytest.raises(DataError, match=r"target.npy: not a readable npy array"):
        open_splits(task)


def test_absent_files_are_unavailable(task: TaskSpec, root: Path):
    (root / "npy/site.npy").unlink()
    (root / "single_file_labels.geojson").unlink()
    with pytest.raises(Unavailable, match=r"has no site.npy, single_file_labels.geojson"):
        open_splits(task)


def test_what_the_catalog_must_say(task: TaskSpec, root: Path):
    with pytest.raises(ContractError, match="the layout of fuel moisture has no band B10"):
        open_splits(task.model_copy(update={"bands": ("B10",)}))
    with pytest.raises(ContractError, match="set dates to the number of images"):
        open_splits(task.model_copy(update={"dates": None}))


def test_real_series_are_read_as_they_are(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    folder = real_home / "data/fuel_moisture/npy"
    stored, is_test, site = (np.load(folder / f"{name}.npy") for name in ("s1_s2_era5_srtm", "is_test", "site"))
    splits = open_splits(load_catalog().task("fuel_moisture"))
    assert sum(map(len, splits.values())) == 2313
    assert len(splits["test"]) == 735 == is_test.sum()
    assert len({group for split in splits.values() for group in split.groups}) == 150
    assert len(set(splits["val"].groups)) == 20
    labels = np.concatenate([split.labels for split in splits.values()])
    assert (labels.min().round(1), labels.max()) == (31.7, 319.2)
    image = splits["test"].read(3)
    row = np.flatnonzero(is_test)[3]
    assert splits["test"].items[3].group == site[row]
    np.testing.assert_allclose(image.pixels[:, :, 0, 0], stored[row, :, :17], rtol=1e-6)


def test_real_columns_are_the_bands_that_they_are_called(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    task = load_catalog().task("fuel_moisture")
    split = open_splits(task)["train"]
    pixels = np.concatenate([split.read(index).pixels[:, :, 0, 0] for index in range(0, len(split), 4)])
    low = dict(zip(task.bands, np.percentile(pixels, 1, axis=0), strict=True))
    # Air scatters blue most, and water vapour swallows most of B09.
    assert low["B02"] > low["B03"] > low["B04"]
    median = dict(zip(task.bands, np.median(pixels, axis=0), strict=True))
    assert median["B09"] < 0.5 * median["B8A"]
    assert median["VH"] < median["VV"] - 4
    assert 260 < median["TEMPERATURE_2M"] < 310
    assert 0 < median["TOTAL_PRECIPITATION"] < 0.01
    assert 0 <= low["SLOPE"] < low["ELEVATION"] < 100


def test_stand_in_is_read_by_the_same_reader():
    task = load_catalog().task("fuel_moisture_sim")
    splits = open_splits(task.model_copy(update={"sizes": (96, 24, 30)}))
    assert {name: len(split) for name, split in splits.items()} == {"train": 96, "val": 24, "test": 30}
    image = splits["train"].read(0)
    assert image.pixels.shape == (3, 17, 1, 1)
    assert image.valid.all()
    labels = splits["train"].labels
    assert 30 <= labels.min() < labels.max() <= 320
    assert np.std(labels) > 10
