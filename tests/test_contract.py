"""The backbone contract, over every model of the catalog with random weights and reduced depth, width and size."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch

from geofm_eval.backbones import SUBMODULES, LoadedBackbone, pool
from geofm_eval.backbones.contract import encode_checked
from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.catalog import Statistics
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import ContractError
from tests.reduced_models import CATALOG, SIDE, batch, images, reduced, subject, task_of

pytest.importorskip("timm")
MODELS = [slug for slug, model in CATALOG.models.items() if model.weights is None]
WITH_BLOCKS = [slug for slug in MODELS if CATALOG.model(slug).depth]
OTHER_BRANCH = {"croma_joint_random": "cross-attention adds to the stream between attn_proj and norm2"}
"""Models whose attention branch is not all that happens between norm1 and norm2, and why."""


@contextmanager
def watched(modules):
    """Inputs and outputs of modules, appended at every call."""
    seen = {name: [] for name in modules}
    handles = [
        module.register_forward_hook(lambda _, args, output, name=name: seen[name].append((args[0], output)))
        for name, module in modules.items()
    ]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("slug", MODELS)
def test_every_tap_has_the_declared_shape_and_can_be_pooled(slug):
    spec, _, backbone = subject(slug)
    inputs = batch(slug)
    layout, mask = backbone.layout(inputs), backbone.token_mask(inputs)
    taps = backbone(inputs)
    assert tuple(taps) == backbone.taps == spec.taps
    assert layout.prefix == spec.prefix
    assert mask.shape == (3, layout.tokens)
    assert mask.sum() == 3 * (layout.tokens - layout.prefix)
    for tap, tokens in taps.items():
        assert (tokens.shape, tokens.dtype) == ((3, layout.tokens, backbone.width), torch.float32), tap
        assert torch.isfinite(tokens).all(), tap
        for pooling in spec.poolings:
            assert pool(tokens, mask, layout, pooling).shape == (3, backbone.width)
    values = list(taps.values())
    assert not any(torch.equal(a, b) for a, b in pairwise(values)), "two taps are the same"


@pytest.mark.parametrize("slug", MODELS)
def test_features_depend_on_each_image_alone(slug):
    spec, _, backbone = subject(slug)
    loaded = LoadedBackbone(backbone, spec, "0" * 64, "random:seed=0", (), (), 1)
    with torch.inference_mode():
        assert tuple(encode_checked(loaded, batch(slug), False, first=True).tokens) == spec.taps


@pytest.mark.parametrize("slug", MODELS)
def test_backbone_is_frozen_deterministic_and_moves_nothing(slug):
    _, _, backbone = subject(slug)
    inputs = batch(slug)
    before, generator = state_dict_sha256(backbone.state_dict()), torch.get_rng_state()
    first, second = backbone(inputs), backbone(inputs)
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    for tap in backbone.taps:
        assert torch.equal(first[tap], second[tap]), tap
        assert not first[tap].requires_grad, tap
    assert state_dict_sha256(backbone.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules())


@pytest.mark.parametrize("slug", [slug for slug in MODELS if not CATALOG.model(slug).from_scratch])
def test_features_do_not_depend_on_the_batch(slug):
    _, adapter, backbone = subject(slug)
    raw = images(adapter.task)
    whole = backbone(adapter(raw))
    for index, image in enumerate(raw):
        single = backbone(adapter([image]))
        for tap in backbone.taps:
            torch.testing.assert_close(whole[tap][index : index + 1], single[tap], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("slug", MODELS)
def test_band_order_of_the_task_does_not_matter_and_that_of_the_data_does(slug):
    spec, adapter, backbone = subject(slug)
    if spec.bands == ("*",):
        pytest.skip("takes the bands in the task's own order")
    expected = backbone(adapter(images(adapter.task)))
    order = np.random.default_rng(1).permutation(len(spec.bands))
    other = task_of(spec, order)
    again = backbone(InputAdapter(spec, other, CATALOG.recipe("probing"))(images(other)))
    rolled = [RawImage(np.roll(image.pixels, 1, axis=0), image.valid) for image in images(adapter.task)]
    wrong = backbone(adapter(rolled))
    for tap in backbone.taps:
        assert torch.equal(again[tap], expected[tap]), tap
        assert not torch.allclose(wrong[tap], expected[tap], rtol=1e-3, atol=1e-3), tap


@pytest.mark.parametrize("slug", MODELS)
def test_value_of_each_band_arrives_in_the_declared_channel_and_scale(slug):
    spec, adapter, _ = subject(slug)
    rule, task = spec.normalisation, adapter.task
    if rule.kind == "image_clip":
        pytest.skip("scales by the image: see test_inputs")
    value = {name: 300.0 + 90 * i if name in SENTINEL2 else -7.0 - i for i, name in enumerate(task.bands)}
    pixels = np.stack([np.full((SIDE, SIDE), value[name], np.float32) for name in task.bands])
    found = adapter([RawImage(pixels, np.ones((SIDE, SIDE), bool))]).pixels[0].mean(dim=(1, 2))

    def constant(name, index):
        field = getattr(rule, name)
        return field[index] if isinstance(field, tuple) else field

    for index, name in enumerate(adapter.bands):
        low, high = constant("low", index), constant("high", index)
        scaled = value[name] if rule.kind == "none" else (value[name] - low) / (high - low)
        scaled = min(max(scaled, 0.0), 1.0) if rule.clip else scaled
        assert found[index].item() == pytest.approx((scaled - constant("mean", index)) / constant("std", index), 1e-4)


@pytest.mark.parametrize("slug", MODELS)
def test_dataset_recipe_gives_every_model_the_z_score(slug):
    spec, recipe = reduced(slug), CATALOG.recipe("pangaea")
    if spec.normalisation.kind == "none":
        pytest.skip("a control in the task's own unit")
    mean = tuple(1000.0 + 10 * i for i in range(len(task_of(spec).bands)))
    std = tuple(100.0 + i for i in range(len(mean)))
    statistics = Statistics(mean=mean, std=std, source="made up")
    adapter = InputAdapter(spec, task_of(spec).model_copy(update={"statistics": statistics}), recipe)
    pixels = (np.array(mean) + 2 * np.array(std)).astype(np.float32)[:, None, None] * np.ones(
        (1, SIDE, SIDE), np.float32
    )
    found = adapter([RawImage(pixels, np.ones((SIDE, SIDE), bool))]).pixels
    torch.testing.assert_close(found, torch.full_like(found, 2.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_truncated_forward_stops_after_any_block(slug):
    spec, _, backbone = subject(slug)
    inputs = batch(slug)
    for blocks in range(1, spec.depth + 1):
        tokens = backbone.forward_to(inputs, blocks)
        assert (tokens.shape[0], tokens.shape[2]) == (3, backbone.width)
    for blocks in (0, spec.depth + 1):
        with pytest.raises(ContractError, match=f"blocks must be 1 to {spec.depth}, found {blocks}"):
            backbone.forward_to(inputs, blocks)


@pytest.mark.parametrize("slug", MODELS)
def test_every_channel_reaches_the_first_block(slug):
    """Item i of the batch has another channel i than the last item, and everything else in common."""
    _, adapter, backbone = subject(slug)
    one, channels = batch(slug, 1), len(adapter.bands)
    pixels = one.pixels.repeat(channels + 1, 1, 1, 1)
    for channel in range(channels):
        pixels[channel, channel] += 1.0
    inputs = ModelInput(pixels, one.valid.repeat(channels + 1, 1, 1), one.present)
    first = backbone(inputs)[backbone.taps[:2][-1]]
    for channel, name in enumerate(adapter.bands):
        assert not torch.allclose(first[channel], first[-1], rtol=1e-5, atol=1e-6), f"{name} has no influence"


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_submodules_fire_once_and_are_the_modules_meant(slug):
    """Every part is placed by what flows through it, not by what its architecture calls it."""
    spec, _, backbone = subject(slug)
    parts = backbone.submodules()
    assert list(parts) == [f"block{i:02d}.{name}" for i in range(spec.depth) for name in SUBMODULES]
    with watched({name: part.module for name, part in parts.items()}) as seen:
        taps = backbone(batch(slug))
    assert {name: len(calls) for name, calls in seen.items()} == dict.fromkeys(parts, 1)

    def mean(tokens):
        return tokens.mean(dim=1)  # Some encoders keep their tokens in another order than the taps.

    for before, block in pairwise(spec.taps[:-1]):
        given = {name: seen[f"{block}.{name}"][0][0] for name in SUBMODULES}
        gives = {name: seen[f"{block}.{name}"][0][1] for name in SUBMODULES}
        torch.testing.assert_close(mean(given["norm1"]), mean(taps[before]), rtol=1e-4, atol=1e-5)
        for name in "qkv":
            assert torch.equal(given[name], gives["norm1"]), name
            part = parts[f"{block}.{name}"].part or slice(None)
            assert gives[name][..., part].shape == given["norm1"].shape, name
        assert torch.equal(given["fc1"], gives["norm2"])
        assert gives["fc1"].shape[-1] > backbone.width
        if slug not in OTHER_BRANCH:
            torch.testing.assert_close(given["norm1"] + gives["attn_proj"], given["norm2"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean(given["norm2"] + gives["fc2"]), mean(taps[block]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_query_key_and_value_are_told_apart(slug):
    """A query changes the attention of its own token only, a key that of all; values scale what attention gives."""
    _, _, backbone = subject(slug)
    parts, inputs = backbone.submodules(), batch(slug, 1)
    proj = {"proj": parts["block01.attn_proj"].module}

    def attended(name, change):
        part = parts[f"block01.{name}"]

        def hook(_, __, output):
            output = output.clone()
            output[..., part.part or slice(None)] = change(output[..., part.part or slice(None)])
            return output

        handle = part.module.register_forward_hook(hook)
        with watched(proj) as seen:
            backbone(inputs)
        handle.remove()
        return seen["proj"][0][0][0]

    def first_token(tokens):
        return torch.cat([tokens[:, :1] + 20 * tokens[:, 1:2] + 3, tokens[:, 1:]], dim=1)

    plain = attended("q", lambda tokens: tokens)
    torch.testing.assert_close(attended("v", lambda tokens: 2 * tokens), 2 * plain)
    query = attended("q", first_token)
    torch.testing.assert_close(query[1:], plain[1:])
    assert not torch.allclose(query[0], plain[0], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(attended("k", first_token)[1:], plain[1:], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("slug", [slug for slug in MODELS if slug not in WITH_BLOCKS])
def test_controls_without_blocks_name_no_submodules(slug):
    with pytest.raises(ContractError, match="does not implement submodules"):
        subject(slug)[2].submodules()
