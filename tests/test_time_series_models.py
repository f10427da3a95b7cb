"""Time series through models that take time: order, positions, months, and dates with nothing on them."""

from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest
import torch

from geofm_eval.backbones import Backbone, load_backbone, pool
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import ContractError
from tests.reduced_models import CATALOG, images, reduced, subject, task_of

pytest.importorskip("timm")
TEMPORAL = [slug for slug, model in CATALOG.models.items() if model.weights is None and model.temporal]


@cache
def series(slug: str, dates: int = 3, count: int = 2) -> ModelInput:
    """A batch of series whose dates are different images, in January, April, July."""
    spec, adapter, _ = subject(slug)
    given = images(adapter.task, count * dates)
    days = tuple(date(2021, 1 + 3 * i, 15) for i in range(dates))
    raw = [
        RawImage(np.stack([image.pixels for image in part]), np.stack([image.valid for image in part]), days)
        for part in (given[i * dates : (i + 1) * dates] for i in range(count))
    ]
    return InputAdapter(spec, task_of(spec, dates=dates), CATALOG.recipe("probing"))(raw)


def one_date(batch: ModelInput, index: int) -> ModelInput:
    days = tuple((days[index],) for days in batch.dates)
    return ModelInput(batch.pixels[:, index], batch.valid[:, index], batch.present, days)


def batch_item(batch: ModelInput, index: int) -> ModelInput:
    part = slice(index, index + 1)
    return ModelInput(batch.pixels[part], batch.valid[part], batch.present, batch.dates[part])


def pooled(backbone: Backbone, batch: ModelInput) -> torch.Tensor:
    return pool(backbone(batch)["final"], backbone.token_mask(batch), backbone.layout(batch), "mean")


@pytest.mark.parametrize("slug", TEMPORAL)
def test_series_give_the_tokens_of_every_date_in_order(slug):
    spec, _, backbone = subject(slug)
    batch = series(slug)
    assert batch.pixels.ndim == 5
    single = backbone.layout(one_date(batch, 0))
    layout, mask, taps = backbone.layout(batch), backbone.token_mask(batch), backbone(batch)
    assert len(layout.groups) == 3 * len(single.groups)
    names = [group.partition(".")[0] for group in layout.groups]
    assert names == sorted(names)
    assert set(names) == {"date00", "date01", "date02"}
    assert (layout.grid, layout.prefix) == (single.grid, spec.prefix)
    assert mask.sum() == 2 * (layout.tokens - layout.prefix)
    for tap, tokens in taps.items():
        assert (tokens.shape, tokens.dtype) == ((2, layout.tokens, backbone.width), torch.float32), tap
        assert torch.isfinite(tokens).all(), tap
        assert pool(tokens, mask, layout, "mean").shape == (2, backbone.width)
    whole, alone = taps["final"][1:], backbone(batch_item(batch, 1))["final"]
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("slug", TEMPORAL)
def test_series_of_one_date_is_the_single_image(slug):
    _, _, backbone = subject(slug)
    batch = series(slug, dates=1)
    image = one_date(batch, 0)
    given, expected = backbone(batch), backbone(image)
    for tap in backbone.taps:
        assert torch.equal(given[tap], expected[tap]), tap
    assert torch.equal(backbone.token_mask(batch), backbone.token_mask(image))
    assert torch.equal(backbone.forward_to(batch, 1), backbone.forward_to(image, 1))


@pytest.mark.parametrize("slug", TEMPORAL)
def test_order_of_the_dates_matters_and_every_date_is_seen(slug):
    _, _, backbone = subject(slug)
    batch = series(slug)
    expected = pooled(backbone, batch)
    swapped = replace(batch, pixels=batch.pixels.flip(1))
    assert not torch.allclose(pooled(backbone, swapped), expected, rtol=1e-4, atol=1e-5)
    for index in range(3):
        changed = replace(batch, pixels=batch.pixels.clone())
        changed.pixels[:, index] += 1.0
        first = slice(backbone.layout(batch).prefix, None)
        tokens = [backbone(given)["final"][:, first].unflatten(1, (3, -1)) for given in (batch, changed)]
        # Attention carries the change of one date to the tokens of all.
        assert ((tokens[0] - tokens[1]).abs().amax(dim=(0, 2, 3)) > 1e-6).all(), index


@pytest.mark.parametrize("slug", TEMPORAL)
def test_patches_without_a_valid_pixel_are_invalid_on_their_date_alone(slug):
    _, _, backbone = subject(slug)
    batch = series(slug)
    batch = replace(batch, valid=batch.valid.clone())
    batch.valid[0, 1] = False
    mask = backbone.token_mask(batch)[:, backbone.layout(batch).prefix :].unflatten(1, (3, -1))
    assert mask.all(dim=2).tolist() == [[True, False, True], [True, True, True]]
    assert not mask[0, 1].any()


def test_temporal_entry_of_an_architecture_for_single_images_is_refused():
    spec = reduced("mae_vits16_random").model_copy(update={"temporal": True})
    adapter = InputAdapter(spec, task_of(spec), CATALOG.recipe("probing"))
    with pytest.raises(ContractError, match="temporal = true, but TimmVit takes single images"):
        load_backbone(spec, adapter)


def test_galileo_series_equal_the_authors_call_with_months():
    from rslearn.models.galileo.galileo import GalileoModel

    backbone = subject("galileo_nano_random")[2]
    batch = series("galileo_nano_random", dates=3)
    dates = ((date(2020, 11, 2), date(2020, 12, 30), date(2021, 3, 1)), (date(2021, 5, 4), date(2021, 5, 9), date.max))
    batch = replace(batch, dates=dates)
    rows = batch.pixels.permute(0, 3, 4, 1, 2)
    months = torch.tensor([[10, 11, 2], [4, 4, 11]])
    given = GalileoModel.construct_galileo_input(s1=rows[..., :2], s2=rows[..., 2:], months=months, normalize=False)
    for blocks, tap in ((1, "block00"), (None, "final")):
        output = backbone.network(**given._asdict(), patch_size=8, exit_after=blocks)[0][..., :6, :]
        # (B, h, w, T, groups, D) to dates, then groups, then patches.
        expected = output.permute(0, 3, 4, 1, 2, 5).flatten(1, 4)
        tokens = backbone(batch)[tap]
        torch.testing.assert_close(backbone.network.norm(tokens) if blocks else tokens, expected)
        torch.testing.assert_close(backbone.forward_to(batch, blocks or 2), expected)
    names = backbone.layout(batch).groups
    assert (names[0], names[5], names[6], names[-1]) == (
        "date00.S1", "date00.S2_SWIR", "date01.S1", "date02.S2_SWIR",
    )  # fmt: skip


def test_galileo_takes_the_month_of_an_image_from_its_date_else_from_the_entry():
    backbone = subject("galileo_nano_random")[2]
    dated = one_date(series("galileo_nano_random"), 0)
    plain = replace(dated, dates=None)
    june = replace(dated, dates=((date(2020, 6, 1),), (date(2023, 6, 30),)))
    assert backbone.options["month"] == 6
    assert torch.equal(backbone(plain)["final"], backbone(june)["final"])
    january = backbone(dated)["final"]
    assert not torch.allclose(january, backbone(plain)["final"], rtol=1e-4, atol=1e-5)


def test_galileo_without_dates_or_with_too_many_says_what_is_missing():
    backbone = subject("galileo_nano_random")[2]
    batch = series("galileo_nano_random")
    with pytest.raises(ContractError, match="this series has no dates; add them to the reader's samples"):
        backbone(replace(batch, dates=None))
    long = ModelInput(
        batch.pixels[:1, :1].expand(-1, 25, -1, -1, -1), batch.valid[:1, :1].expand(-1, 25, -1, -1), batch.present,
        ((date(2021, 1, 1),) * 25,),
    )  # fmt: skip
    with pytest.raises(ContractError, match="at most 24 dates, the series has 25"):
        backbone(long)


def test_galileo_masks_a_date_without_data_as_if_it_were_not_there():
    """Its neighbours keep their positions in time, so that a series of two dates is compared by its own encoder."""
    backbone = subject("galileo_nano_random")[2]
    batch = series("galileo_nano_random")
    batch = replace(batch, valid=batch.valid.clone(), pixels=batch.pixels.clone())
    batch.valid[:, 2] = False
    short = ModelInput(batch.pixels[:, :2], batch.valid[:, :2], batch.present, tuple(days[:2] for days in batch.dates))
    tokens = backbone(batch)["final"].unflatten(1, (3, -1))
    assert (tokens[:, 2] == 0).all()
    torch.testing.assert_close(tokens[:, :2].flatten(1, 2), backbone(short)["final"], rtol=1e-5, atol=1e-5)
    before = backbone(batch)["final"]
    batch.pixels[:, 2] = 1e6
    assert torch.equal(backbone(batch)["final"], before)


def test_item_of_a_series_without_any_valid_pixel_spoils_nobody_else():
    backbone = subject("galileo_nano_random")[2]
    batch = series("galileo_nano_random")
    batch = replace(batch, valid=batch.valid.clone())
    batch.valid[0] = False
    assert torch.isfinite(backbone(batch)["final"]).all()
    assert not backbone.token_mask(batch)[0].any()
    assert backbone.token_mask(batch)[1].all()


def test_prithvi_knows_the_order_and_needs_no_dates():
    backbone = subject("prithvi_v1_random")[2]
    batch = series("prithvi_v1_random")
    assert torch.equal(backbone(batch)["final"], backbone(replace(batch, dates=None))["final"])
    assert backbone.layout(batch).groups == ("date00", "date01", "date02")
