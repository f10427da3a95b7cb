"""Controls: band statistics and random convolutions against plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.backbones import load_backbone, pool
from geofm_eval.backbones.controls import BandStatistics, RandomConvolutions
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError


def batch(pixels: np.ndarray, valid: np.ndarray) -> ModelInput:
    return ModelInput(torch.from_numpy(pixels).float(), torch.from_numpy(valid), (True,) * pixels.shape[1])


@given(seed=st.integers(0, 1000), share=st.floats(0.2, 1.0))
@settings(max_examples=25, deadline=None)
def test_band_statistics_are_those_of_the_valid_pixels(seed, share):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, 10000, (3, 2, 5, 6)).astype(np.float32)
    valid = rng.random((3, 5, 6)) < share
    valid[:, 0, 0] = True
    backbone = BandStatistics(load_catalog().model("band_stats"), 2)
    found = backbone(batch(pixels, valid))["final"][:, 0].numpy()
    for item in range(3):
        inside = pixels[item][:, valid[item]].astype(np.float64)
        np.testing.assert_allclose(found[item], [*inside.mean(1), *inside.std(1)], rtol=1e-4, atol=1e-2)


def test_band_statistics_of_a_dark_constant_band_have_no_spread():
    pixels = np.full((1, 1, 64, 64), 1234.5, np.float32)
    found = BandStatistics(load_catalog().model("band_stats"), 1)(batch(pixels, np.ones((1, 64, 64), bool)))
    assert found["final"].flatten().tolist() == pytest.approx([1234.5, 0.0], abs=1e-2)


def rcf(width=8, channels=2, **options) -> RandomConvolutions:
    spec = load_catalog().model("rcf").model_copy(update={"width": width, **({"options": options} if options else {})})
    return RandomConvolutions(spec, channels)


def test_random_convolutions_equal_a_naive_loop_over_whole_windows():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 1, (2, 2, 6, 6)).astype(np.float32)
    valid = np.ones((2, 6, 6), bool)
    valid[1, 2, 2] = False
    network = rcf()
    weights = network.weights.numpy()
    found = network(batch(pixels, valid))["final"][:, 0].numpy()
    for item in range(2):
        windows = [(y, x) for y in range(4) for x in range(4) if valid[item, y : y + 3, x : x + 3].all()]
        response = np.array([(weights * pixels[item, :, y : y + 3, x : x + 3]).sum((1, 2, 3)) for y, x in windows])
        expected = [*np.maximum(response, 0).mean(0), *np.maximum(-response, 0).mean(0)]
        np.testing.assert_allclose(found[item], expected, rtol=1e-4, atol=1e-5)


def test_images_smaller_than_the_filters_are_refused():
    with pytest.raises(ContractError, match=r"images of \(2, 6\) pixels are smaller than the filters of 3"):
        rcf()(batch(np.ones((1, 2, 2, 6), np.float32), np.ones((1, 2, 6), bool)))


def test_every_second_filter_ignores_the_level_of_a_band():
    weights = rcf(width=64).weights
    assert weights[1::2].sum(dim=(2, 3)).abs().max() < 1e-5
    assert weights[::2].sum(dim=(2, 3)).abs().max() > 1


def test_random_convolutions_do_not_depend_on_the_batch():
    rng = np.random.default_rng(1)
    pixels, valid = rng.uniform(0, 1, (19, 2, 8, 8)).astype(np.float32), np.ones((19, 8, 8), bool)
    network = rcf()
    whole = network(batch(pixels, valid))["final"]
    single = torch.cat([network(batch(pixels[i : i + 1], valid[i : i + 1]))["final"] for i in range(19)])
    torch.testing.assert_close(whole, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "options"), [(7, {"kernel_size": 3}), (8, {"kernel_size": 1}), (8, {"stride": 2})])
def test_bad_options_are_refused(width, options):
    with pytest.raises(ContractError, match=r"rcf: (options|width) must be"):
        rcf(width=width, **options)


def test_controls_load_without_weights_and_pool_like_any_model():
    catalog = load_catalog()
    task = catalog.task("eurosat_rgb")
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 3, 16, 16)).astype(np.float32)
    given_batch = batch(pixels, np.ones((2, 16, 16), bool))
    for slug, width in (("band_stats", 6), ("rcf", 512)):
        spec = catalog.model(slug)
        loaded = load_backbone(spec, InputAdapter(spec, task, catalog.recipe("probing")))
        backbone = loaded.backbone
        assert tuple(backbone(given_batch)) == backbone.taps == ("final",)
        tokens = backbone.forward_to(given_batch, 0)
        pooled = pool(tokens, backbone.token_mask(given_batch), backbone.layout(given_batch), "mean")
        torch.testing.assert_close(pooled, tokens[:, 0])
        assert pooled.shape == (2, width) == (2, backbone.width)
        assert len(loaded.weights_sha256) == 64
