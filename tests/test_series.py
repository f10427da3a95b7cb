"""Time series: dates in order, one date after another or all at once, and what is averaged."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from geofm_eval.backbones.base import TokenLayout
from geofm_eval.backbones.series import encode
from geofm_eval.catalog import Recipe
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.items import Item
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.split import Split
from geofm_eval.errors import ContractError, DataError
from geofm_eval.extraction import InputStatistics, pooled_features
from geofm_eval.feature_blocks import extract
from tests.tiny import GRID, RECIPE, SIDE, SPEC, TASK, TinyBackbone, tiny_loaded

DATES = (date(2021, 3, 1), date(2021, 6, 1), date(2021, 9, 1))
SERIES = TASK.model_copy(update={"dates": 3})
TEMPORAL = SPEC.model_copy(update={"temporal": True})


class Calendar(TinyBackbone):
    """A backbone that takes dates at once: its tokens are the patches of all dates, date by date."""

    def layout(self, batch: ModelInput) -> TokenLayout:
        dates = batch.pixels.shape[1] if batch.series else 1
        return TokenLayout(GRID, prefix=1, groups=tuple(f"date{i:02d}" for i in range(dates)))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        if not batch.series:
            return super().forward(batch)
        single = [super(Calendar, self).forward(day) for day in days_of(batch)]
        return {tap: join([tokens[tap] for tokens in single]) for tap in self.taps}

    def token_mask(self, batch: ModelInput) -> Tensor:
        if not batch.series:
            return super().token_mask(batch)
        return join([super(Calendar, self).token_mask(day) for day in days_of(batch)])


def days_of(batch: ModelInput) -> list[ModelInput]:
    days = zip(batch.pixels.unbind(1), batch.valid.unbind(1), strict=True)
    return [ModelInput(pixels, valid, batch.present) for pixels, valid in days]


def join(by_date: list[Tensor]) -> Tensor:
    """Prefix of the first date, then the patches of every date."""
    return torch.cat([by_date[0][:, :1], *(values[:, 1:] for values in by_date)], dim=1)


def series(seed: int, dates: tuple[date, ...] = DATES, clouds: tuple[int, ...] = ()) -> RawImage:
    pixels = np.random.default_rng(seed).uniform(100, 3000, (len(dates), 2, SIDE, SIDE)).astype(np.float32)
    valid = np.ones((len(dates), SIDE, SIDE), bool)
    for position in clouds:
        valid[position] = False
        pixels[position] = np.nan
    return RawImage(pixels, valid, dates)


def alone(image: RawImage, position: int) -> RawImage:
    return RawImage(image.pixels[position], image.valid[position])


def features(task, images, spec=SPEC, backbone=None, recipe=RECIPE) -> np.ndarray:
    adapter = InputAdapter(spec, task, recipe)
    ids = [f"item{i}" for i in range(len(images))]
    with torch.inference_mode():
        return pooled_features(tiny_loaded(backbone, spec), adapter(images), ids, adapter.native).numpy()


def test_features_of_dates_one_by_one_are_averaged():
    images = [series(0), series(1)]
    found = features(SERIES, images)
    by_date = [features(TASK, [alone(image, date_) for image in images]) for date_ in range(3)]
    np.testing.assert_allclose(found, np.mean(by_date, axis=0), rtol=1e-5, atol=1e-6)


def test_a_date_without_data_does_not_count():
    clouded = series(0, clouds=(1,))
    kept = [features(TASK, [alone(clouded, position)]) for position in (0, 2)]
    np.testing.assert_allclose(features(SERIES, [clouded]), np.mean(kept, axis=0), rtol=1e-5, atol=1e-6)


def test_an_item_without_data_on_any_date_is_refused():
    with pytest.raises(DataError, match="sample item1 has no valid patch for tiny"):
        features(SERIES, [series(0), series(1, clouds=(0, 1, 2))])


def test_a_series_of_one_date_is_that_image():
    one = series(3, DATES[:1])
    task = TASK.model_copy(update={"dates": 1})
    np.testing.assert_array_equal(features(task, [one]), features(TASK, [alone(one, 0)]))
    found = features(task, [one], TEMPORAL, Calendar())
    np.testing.assert_array_equal(found, features(TASK, [alone(one, 0)], TEMPORAL, Calendar()))


def test_a_temporal_model_gets_all_dates_at_once_unless_the_recipe_says_otherwise():
    batch = InputAdapter(TEMPORAL, SERIES, RECIPE)([series(0), series(1)])
    assert batch.pixels.shape == (2, 3, 2, SIDE, SIDE)
    assert batch.dates == (DATES, DATES)
    tokens = encode(Calendar(), batch, native=True)
    assert tokens.layout.groups == ("date00", "date01", "date02")
    assert tokens.tokens["final"].shape == (2, 1 + 3 * 4, 4)
    per_date = encode(Calendar(), batch, native=False)
    assert per_date.tokens["final"].shape == (2 * 3, 1 + 4, 4)
    assert per_date.passes == 3


@pytest.mark.parametrize(
    ("spec", "task", "temporal", "expected"),
    [
        (SPEC, TASK, "native", "single"),
        (SPEC, SERIES, "native", "per_date"),
        (TEMPORAL, SERIES, "native", "native"),
        (TEMPORAL, SERIES, "per_date", "per_date"),
        (TEMPORAL, TASK, "native", "single"),
    ],
)
def test_the_report_says_what_became_of_the_dates(spec, task, temporal, expected):
    report = InputAdapter(spec, task, Recipe(slug="r", title="r", temporal=temporal)).report
    assert (report.temporal, report.dates) == (expected, task.dates)


def test_masked_dates_of_a_native_model_are_not_pooled():
    clouded = series(0, clouds=(2,))
    kept = [features(TASK, [alone(clouded, position)]) for position in (0, 1)]
    found = features(SERIES, [clouded], TEMPORAL, Calendar())
    # Mean pooling over the patches of both clear dates; the class token is that of the first date.
    np.testing.assert_allclose(found[0::2], np.mean(kept, axis=0)[0::2], rtol=1e-5, atol=1e-6)


def split_of(stored: np.ndarray, dates: tuple[date, ...], task=SERIES) -> Split:
    item = Item("a", Path("a.npy"), 0, dates=dates)
    return Split(task, "train", (item,), "official", lambda _: stored)


def stored(dates: int = 3, bands: int = 2) -> np.ndarray:
    return np.full((dates, bands, SIDE, SIDE), 500, np.int16)


@pytest.mark.parametrize(
    ("values", "dates", "message"),
    [
        (stored(), (DATES[0], DATES[2], DATES[1]), "date 2021-09-01 comes before 2021-06-01; sort the images"),
        (stored(), (DATES[0], DATES[0], DATES[1]), "date 2021-03-01 occurs twice"),
        (stored(), DATES[:2], "found 2 dates for a series of 3 images"),
        (stored(), (), "found 0 dates for a series of 3 images"),
        (stored(dates=1), DATES[:1], r"shape is \(1, 2, 8, 8\), expected 3 dates of 2 bands"),
        (stored(bands=3), DATES, r"shape is \(3, 3, 8, 8\), expected 3 dates of 2 bands"),
        (stored()[0], DATES, r"shape is \(2, 8, 8\), expected 3 dates"),
    ],
)
def test_a_series_that_is_not_as_declared_is_refused(values, dates, message):
    with pytest.raises(DataError, match=message):
        split_of(values, dates).read(0)


def test_a_series_where_a_single_image_is_declared_is_refused():
    with pytest.raises(DataError, match=r"shape is \(3, 2, 8, 8\), expected 2 bands"):
        split_of(stored(), DATES, TASK).read(0)


def test_series_of_several_lengths_are_not_mixed():
    with pytest.raises(DataError, match=r"series of \[2, 3\] dates in one batch"):
        InputAdapter(SPEC, SERIES, RECIPE)([series(0), series(1, DATES[:2])])


def test_a_split_reads_a_series_with_its_gaps():
    values = stored()
    values[1, 0, 2, 3] = -1
    image = split_of(values, DATES, SERIES.model_copy(update={"nodata": -1.0})).read(0)
    assert image.dates == DATES
    assert np.argwhere(~image.valid).tolist() == [[1, 2, 3]]
    assert np.isnan(image.pixels[1, :, 2, 3]).all()
    assert np.nanmax(image.pixels) == 500


def test_statistics_of_the_input_are_over_all_dates():
    images = [series(0, clouds=(1,))]
    statistics = InputStatistics(("B04", "B03"))
    statistics.add(InputAdapter(SPEC, SERIES, RECIPE)(images))
    found = statistics.as_dict()
    assert found["valid_share"] == pytest.approx(2 / 3)
    expected = np.nanmean(images[0].pixels[:, 1]) / 1000  # the model wants B04 first, divided by 1000
    assert found["channels"][0]["mean"] == pytest.approx(float(expected), rel=1e-4)


def test_a_block_of_series_is_extracted(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path))
    (tmp_path / "x").write_bytes(b"series")
    items = tuple(Item(f"i{n}", tmp_path / "x", n % 2, dates=DATES) for n in range(5))
    arrays = {item.id: np.random.default_rng(n).integers(100, 3000, (3, 2, SIDE, SIDE)) for n, item in enumerate(items)}
    split = Split(SERIES, "train", items, "official", lambda item: arrays[item.id])
    adapter = InputAdapter(SPEC, SERIES, RECIPE)
    block = extract(tiny_loaded(), adapter, split, batch_size=2)
    other = extract(tiny_loaded(TinyBackbone()), adapter, replace(split, name="val"), batch_size=5)
    np.testing.assert_allclose(block.features("final"), other.features("final"), rtol=1e-5, atol=1e-6)
    assert block.meta["inputs"]["temporal"] == "per_date"
    recipe = RECIPE.model_copy(update={"temporal": "per_date"})
    native = InputAdapter(TEMPORAL, SERIES, RECIPE), InputAdapter(TEMPORAL, SERIES, recipe)
    keys = {extract(tiny_loaded(Calendar(), TEMPORAL), each, split).key for each in native}
    assert len(keys) == 2, "all dates at once and one by one must not share a block"


def test_labels_per_pixel_are_not_labels_per_item():
    with pytest.raises(ContractError, match="one label per sample, not per pixel"):
        split_of(stored(), DATES).read_target(0)
