"""Absent bands are filled with the corpus mean; behind a z-score that equals leaving them out of a linear embedding."""

import numpy as np
import pytest
import torch

from geofm_eval.backbones import load_backbone
from geofm_eval.data.inputs import InputAdapter
from tests.reduced_models import CATALOG, images, reduced, task_of

pytest.importorskip("timm")
RECIPE = CATALOG.recipe("probing")
FILLING = [slug for slug, model in CATALOG.models.items() if model.missing == "fill"]
NOT_ZERO = {"moco_vits16", "dino_vits16", "mae_vits16", "croma_optical"}
"""Their rules map a mean to something else than zero: the bands then add a constant to every patch."""

LEAVES_OUT = [slug for slug in FILLING if slug.removesuffix("_rgb").removesuffix("_random") not in NOT_ZERO]


def few_bands(slug: str) -> InputAdapter:
    """The model on a task that has its second and third band alone."""
    spec = reduced(slug).model_copy(update={"reads": ()})
    return InputAdapter(spec, task_of(spec, order=(2, 1)), RECIPE)


def drop_slices(backbone: torch.nn.Module, absent: list[int], channels: int) -> None:
    """Zero what the patch embedding has for absent bands: adding nothing is how others leave a band out."""
    with torch.no_grad():
        for name, weight in backbone.named_parameters():
            if name.endswith(("patch_embed.proj.weight", "patch_embed_s1.proj.weight")):
                weight[:, absent] = 0
            elif "encoder_embeddings" in name and name.endswith("proj.weight"):
                weight.view(len(weight), -1, channels)[..., absent] = 0


@pytest.mark.parametrize("slug", LEAVES_OUT)
def test_filling_equals_dropping_the_slices_of_the_patch_embedding(slug):
    adapter = few_bands(slug)
    absent = [channel for channel, there in enumerate(adapter.present) if not there]
    backbone = load_backbone(adapter.model, adapter).backbone
    batch = adapter(images(adapter.task))
    assert batch.pixels[:, absent].abs().max() < 1e-6
    filled = backbone(batch)
    drop_slices(backbone, absent, len(adapter.bands))
    noise = batch.pixels.clone()
    noise[:, absent] = torch.randn(noise[:, absent].shape, generator=torch.Generator().manual_seed(0))
    dropped = backbone(type(batch)(noise, batch.valid, batch.present))
    for tap, tokens in filled.items():
        assert (tokens - dropped[tap]).abs().max() <= 1e-5 * tokens.abs().max(), tap


@pytest.mark.parametrize("slug", sorted(NOT_ZERO))
def test_other_rules_fill_what_the_mean_maps_to(slug):
    adapter = few_bands(slug)
    batch = adapter(images(adapter.task))
    absent = [channel for channel, there in enumerate(adapter.present) if not there]
    if adapter.model.normalisation.kind == "image_clip":
        expected = np.full(len(absent), 0.5)
    else:
        expected = np.asarray(adapter.model.fill_means.mean)[absent] / 10_000
    found = batch.pixels[:, absent].flatten(2)
    assert found.std(dim=2).max() < 1e-6
    np.testing.assert_allclose(found.mean(dim=(0, 2)), expected, atol=1e-6)


def test_no_filled_band_is_an_outlier():
    for slug in FILLING:
        adapter = few_bands(slug)
        found = adapter(images(adapter.task)).pixels.abs()
        assert found[:, [not there for there in adapter.present]].max() <= 0.51, slug
