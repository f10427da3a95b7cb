"""The input contract: bands by name, fills before one normalisation, refusals in words."""

import dataclasses
import json

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.catalog import ModelSpec, Normalisation, Recipe, Statistics, TaskSpec
from geofm_eval.catalog.models import FillMeans
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import RawImage
from geofm_eval.errors import ContractError, DataError

OPTICAL = ("B02", "B03", "B04", "B08")


def model(bands=("B02", "B03", "B04"), **fields) -> ModelSpec:
    fields = {"normalisation": Normalisation(high=10000.0), "product": "L2A", "random_seed": 0, **fields}
    if fields.get("missing") == "fill":
        means = tuple(1000.0 * (1 + position) for position in range(len(bands)))
        fields = {"fill_means": FillMeans(mean=means, unit="DN", source="corpus"), **fields}
    return ModelSpec(
        slug="model", title="m", family="control", architecture="none", depth=0, width=4, bands=bands, **fields
    )


def task(bands=("B04", "B03", "B02"), **fields) -> TaskSpec:
    fields = {"product": "L2A", **fields}
    return TaskSpec(
        slug="task",
        title="t",
        reader="eurosat",
        root="data",
        bands=bands,
        plausible={"DN": (0, 20000)},
        classes=("a",),
        **fields,
    )


def recipe() -> Recipe:
    return Recipe(slug="recipe", title="r")


def image(values, size=4, valid=None) -> RawImage:
    pixels = np.repeat(np.asarray(values, np.float32), size * size).reshape(-1, size, size)
    return RawImage(pixels, np.ones((size, size), bool) if valid is None else valid)


@given(order=st.permutations(OPTICAL), wanted=st.permutations(OPTICAL), count=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_bands_are_put_in_the_models_order_by_name(order, wanted, count):
    dn = {"B02": 1000.0, "B03": 2000.0, "B04": 3000.0, "B08": 4000.0}
    adapter = InputAdapter(model(tuple(wanted[:count])), task(tuple(order)), recipe())
    pixels = adapter([image([dn[b] for b in order])]).pixels
    assert pixels[0, :, 0, 0].tolist() == pytest.approx([dn[b] / 10000 for b in wanted[:count]])


def test_other_spellings_of_a_band_are_the_same_band():
    adapter = InputAdapter(model(("B2", "B8A")), task(("B8a", "B02")), recipe())
    assert adapter([image([500, 100])]).pixels[0, :, 0, 0].tolist() == pytest.approx([0.01, 0.05])


def test_star_takes_all_bands_of_the_task_in_file_order():
    adapter = InputAdapter(model(("*",)), task(("B04", "B8A", "B02")), recipe())
    assert adapter.bands == ("B04", "B8A", "B02")


@given(
    x=hnp.arrays(np.float32, (2, 3, 3), elements=st.floats(0, 20000, width=32)),
    low=st.floats(-500, 500),
    clip=st.booleans(),
    mean=st.floats(-1, 1),
    std=st.floats(0.1, 2),
)
@settings(max_examples=40, deadline=None)
def test_normalisation_is_the_formula_applied_once(x, low, clip, mean, std):
    rule = Normalisation(low=low, high=(3000.0, 4000.0), clip=clip, mean=mean, std=std)
    adapter = InputAdapter(model(("B02", "B03"), normalisation=rule), task(("B02", "B03")), recipe())
    before = x.copy()
    pixels = adapter([RawImage(x, np.ones((3, 3), bool))]).pixels[0].numpy()
    scaled = (x - low) / (np.array([3000.0, 4000.0])[:, None, None] - low)
    expected = ((np.clip(scaled, 0, 1) if clip else scaled) - mean) / std
    np.testing.assert_allclose(pixels, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(x, before)


def test_kind_none_passes_the_tasks_unit_through():
    adapter = InputAdapter(model(normalisation=Normalisation(kind="none")), task(), recipe())
    assert adapter([image([3, 2, 1])]).pixels[0, :, 0, 0].tolist() == [1, 2, 3]


def test_missing_band_is_refused_with_its_name():
    with pytest.raises(ContractError, match=r"task lacks B08, which model needs.*missing = 'fill'"):
        InputAdapter(model(OPTICAL), task(), recipe())


def test_no_band_in_common_is_refused_even_where_bands_may_be_missing():
    with pytest.raises(ContractError, match="no band in common"):
        InputAdapter(model(("B11",), missing="fill"), task(), recipe())


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Normalisation(high=10000.0), 0.4),
        (Normalisation(mean=(1000.0, 2000.0, 3000.0, 4000.0), std=500.0), 0.0),
        (Normalisation(high=10000.0, mean=0.1, std=0.5), 0.6),
        (Normalisation(high=2000.0, clip=True), 1.0),
        (Normalisation(kind="image_clip"), 0.5),
    ],
)
def test_absent_band_takes_the_corpus_mean_through_the_models_own_rule(rule, expected):
    adapter = InputAdapter(model(OPTICAL, missing="fill", normalisation=rule), task(), recipe())
    batch = adapter([image([1, 1, 1])])
    assert batch.present == (True, True, True, False)
    assert batch.pixels[0, 3].flatten().tolist() == pytest.approx([expected] * 16, abs=1e-6)
    report = adapter.report
    assert (report.filled_bands, report.real_bands) == (("B08",), ("B02", "B03", "B04"))
    assert report.fill_values == pytest.approx((1000, 2000, 3000, 4000))
    assert report.fill_source == "pretraining corpus: corpus"


def test_invalid_pixels_take_the_same_fill_as_absent_bands():
    valid = np.ones((4, 4), bool)
    valid[1, 1] = False
    found = InputAdapter(model(OPTICAL, missing="fill"), task(), recipe())([image([9, 9, 9], valid=valid)]).pixels[0]
    assert found[:, 1, 1].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_model_without_corpus_means_puts_invalid_pixels_at_the_mean_of_its_rule():
    valid = np.ones((4, 4), bool)
    valid[1, 1] = False
    rule = Normalisation(high=2750.0, clip=True, mean=0.5, std=0.5)
    adapter = InputAdapter(model(normalisation=rule), task(), recipe())
    assert adapter([image([9, 9, 9], valid=valid)]).pixels[0, :, 1, 1].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert adapter.report.fill_source == "the mean of the normalisation"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fill_means": None}, r"missing = 'fill' needs fill_means.*use missing = 'refuse'"),
        ({"fill_means": FillMeans(mean=(1.0,), unit="DN", source="s")}, "fill_means.mean has 1 value, expected 4"),
        ({"fill_means": FillMeans(mean=(1.0,) * 4, unit="dB", source="s")}, "unit must be 'DN'.*found 'dB'"),
    ],
)
def test_entry_that_fills_without_sound_means_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        model(OPTICAL, missing="fill", **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "fill_means.mean has 4 values, expected 3, one per band: they belong to the bands by position"),
        ({"fill_means": None, "normalisation": Normalisation(mean=(0.0,) * 4)}, "normalisation.mean has 4 values"),
    ],
)
def test_a_copy_with_fewer_bands_than_values_is_refused(fields, message):
    """Pydantic does not validate copies; the values of the first bands would be taken for those that are left."""
    copy = model(OPTICAL, missing="fill").model_copy(update={"bands": OPTICAL[1:], **fields})
    with pytest.raises(ContractError, match=message):
        InputAdapter(copy, task(), recipe())


def test_masked_bands_are_reported_as_masked_not_filled():
    report = InputAdapter(model(OPTICAL, missing="mask"), task(), recipe()).report
    assert (report.masked_bands, report.filled_bands) == (("B08",), ())


def test_invalid_pixels_are_filled_and_flagged():
    valid = np.ones((4, 4), bool)
    valid[1, 2] = False
    raw = image([1000, 2000, 3000], valid=valid)
    raw.pixels[:, 1, 2] = np.nan
    batch = InputAdapter(model(), task(), recipe())([raw])
    assert torch.isfinite(batch.pixels).all()
    assert batch.pixels[0, :, 1, 2].tolist() == [0, 0, 0]
    assert not batch.valid[0, 1, 2]
    assert batch.valid.sum() == 15
    assert np.isnan(raw.pixels[:, 1, 2]).all()


def test_value_that_is_not_finite_at_a_valid_pixel_is_refused():
    with pytest.raises(DataError, match="not finite at pixels declared valid"):
        InputAdapter(model(), task(), recipe())([image([1, np.nan, 3])])


def test_resize_reaches_the_models_size_and_keeps_constant_images():
    adapter = InputAdapter(model(image_size=7), task(), recipe())
    valid = np.ones((4, 4), bool)
    valid[:, :2] = False
    batch = adapter([image([1000, 1000, 1000]), image([1000, 1000, 1000], valid=valid)])
    assert batch.pixels.shape == (2, 3, 7, 7)
    torch.testing.assert_close(batch.pixels[0], torch.full((3, 7, 7), 0.1))
    assert batch.valid[0].all()
    assert not batch.valid[1, :, 0].any()
    assert batch.valid[1, :, -1].all()
    assert adapter.report.size == (7, 7)


def test_several_sizes_need_an_image_size():
    images = [image([1, 2, 3], size=4), image([1, 2, 3], size=6)]
    with pytest.raises(DataError, match=r"several sizes.*set image_size"):
        InputAdapter(model(), task(), recipe())(images)
    adapter = InputAdapter(model(image_size=5), task(), recipe())
    both = adapter(images)
    for index, single in enumerate(images):
        torch.testing.assert_close(both.pixels[index : index + 1], adapter([single]).pixels, rtol=0, atol=0)


def test_wrong_band_count_names_both():
    with pytest.raises(DataError, match=r"image has 2 bands, expected 3 \(B04, B03, B02\)"):
        InputAdapter(model(), task(), recipe())([image([1, 2])])


def test_normalisation_that_divides_by_zero_is_refused():
    with pytest.raises(ContractError, match="divides by zero"):
        InputAdapter(model(normalisation=Normalisation(high=0.0)), task(), recipe())


@pytest.mark.parametrize(
    ("wanted", "found", "mismatch"),
    [("L2A", "L1C", True), ("L2A", "L2A", False), ("any", "L1C", False), ("L2A", "any", False)],
)
def test_product_mismatch_is_in_the_report(wanted, found, mismatch):
    report = InputAdapter(model(product=wanted), task(product=found), recipe()).report
    assert (report.product_expected, report.product_found, report.product_mismatch) == (wanted, found, mismatch)


def test_report_is_plain_json_and_names_every_field():
    report = InputAdapter(model(OPTICAL, missing="fill", image_size=8), task(), recipe()).report
    content = json.loads(json.dumps(report.as_dict()))
    assert set(content) == {field.name for field in dataclasses.fields(report)}
    assert content["size"] == [8, 8]
    assert content["normalisation"]["high"] == 10000.0


def test_batch_moves_to_a_device_as_a_whole():
    batch = InputAdapter(model(), task(), recipe())([image([1, 2, 3])]).to("meta")
    assert batch.pixels.device.type == batch.valid.device.type == "meta"


@given(
    x=hnp.arrays(np.float32, (3, 4, 4), elements=st.floats(0, 5000, width=32)),
    valid=hnp.arrays(np.bool_, (4, 4)),
)
@settings(max_examples=40, deadline=None)
def test_image_clip_scales_each_band_by_its_own_valid_pixels(x, valid):
    adapter = InputAdapter(model(normalisation=Normalisation(kind="image_clip")), task(("B02", "B03", "B04")), recipe())
    found = adapter([RawImage(np.where(valid, x, np.nan), valid)]).pixels[0].numpy()
    assert ((found >= 0) & (found <= 1)).all()
    for band in range(3):
        pixels = x[band][valid].astype(np.float64)
        if not len(pixels) or pixels.std() <= 1e-5 * abs(pixels.mean()):
            continue
        low, high = pixels.mean() - 2 * pixels.std(), pixels.mean() + 2 * pixels.std()
        np.testing.assert_allclose(found[band][valid], np.clip((pixels - low) / (high - low), 0, 1), atol=1e-4)


def test_image_clip_puts_each_band_into_its_channel_and_a_constant_one_in_the_middle():
    rule = Normalisation(kind="image_clip")
    adapter = InputAdapter(model(OPTICAL, missing="fill", normalisation=rule), task(("B08", "B03", "B02")), recipe())
    pixels = np.full((3, 4, 4), 100.0, np.float32)
    for position, _ in enumerate(("B08", "B03")):
        pixels[position, position, position] = 900.0
    found = adapter([RawImage(pixels, np.ones((4, 4), bool))]).pixels[0]
    assert found[1].flatten().argmax() == 5
    assert found[3].flatten().argmax() == 0
    assert (found[0] == 0.5).all(), "constant"
    assert (found[2] == 0.5).all(), "absent"


def test_invalid_pixels_under_image_clip_are_at_the_images_mean():
    adapter = InputAdapter(model(normalisation=Normalisation(kind="image_clip")), task(), recipe())
    pixels = np.random.default_rng(0).uniform(2000, 2500, (3, 4, 4)).astype(np.float32)
    valid = np.ones((4, 4), bool)
    valid[0, 0] = False
    assert (adapter([RawImage(pixels, valid)]).pixels[0, :, 0, 0] == 0.5).all()


PANGAEA = Recipe(slug="pangaea", title="p", normalisation="dataset", fill="band_mean")
STATISTICS = Statistics(mean=(3000.0, 2000.0, 1000.0), std=(300.0, 200.0, 100.0), source="train split")


def test_dataset_recipe_takes_the_tasks_statistics_whatever_the_model_declares():
    rule = Normalisation(high=10000.0, clip=True, mean=0.5, std=0.5)
    adapter = InputAdapter(model(normalisation=rule), task(statistics=STATISTICS), PANGAEA)
    assert adapter([image([3300, 2000, 900])]).pixels[0, :, 0, 0].tolist() == pytest.approx([-1, 0, 1])
    report = adapter.report
    assert report.normalisation["mean"] == [1000.0, 2000.0, 3000.0]
    assert report.normalisation["source"] == "data set: train split"
    assert not report.normalisation["clip"]


def test_dataset_recipe_puts_absent_bands_and_invalid_pixels_at_the_mean():
    adapter = InputAdapter(model(OPTICAL, missing="fill"), task(statistics=STATISTICS), PANGAEA)
    valid = np.ones((4, 4), bool)
    valid[2, 2] = False
    found = adapter([image([3300, 2200, 1100], valid=valid)]).pixels[0]
    assert (found[3] == 0).all()
    assert found[:, 2, 2].tolist() == pytest.approx([0, 0, 0, 0])
    assert adapter.report.filled_bands == ("B08",)


def test_dataset_recipe_on_a_task_without_statistics_is_refused():
    with pytest.raises(ContractError, match=r"recipe pangaea normalises by the data set and task has no statistics"):
        InputAdapter(model(), task(), PANGAEA)


def test_controls_in_the_tasks_unit_keep_it_under_a_dataset_recipe():
    rule = Normalisation(kind="none")
    adapter = InputAdapter(model(normalisation=rule), task(statistics=STATISTICS), PANGAEA)
    assert adapter([image([3, 2, 1])]).pixels[0, :, 0, 0].tolist() == [1, 2, 3]
