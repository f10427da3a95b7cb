"""What lies inside of a backbone: paths, parts, single tokens and folded weights, over every architecture."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from geofm_eval.backbones.parts import block_paths, exchanged, outputs_read, part_rows
from geofm_eval.backbones.series import encode
from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.errors import ContractError
from geofm_eval.similarity.hooks import OWN, TOKEN_DRAWS, features_inside
from geofm_eval.similarity.weights import affine_maps, weight_changes
from tests.reduced_models import CATALOG, batch, subject
from tests.small_vit import batch as small_batch
from tests.small_vit import load, small_vit

pytest.importorskip("timm")
WITH_BLOCKS = [slug for slug, model in CATALOG.models.items() if model.weights is None and model.depth]


def noised(backbone, seed=0, only=""):
    """A copy with other numbers in everything whose name holds ``only``."""
    other = copy.deepcopy(backbone)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in other.named_parameters():
            if only in name:
                value += 0.1 * torch.randn_like(value) * value.std().nan_to_num(1.0).clamp(min=0.1)
    return other


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_blocks_have_paths_and_parts_have_rows(slug):
    spec, _, backbone = subject(slug)
    paths = block_paths(backbone)
    assert list(paths) == [f"block{i:02d}" for i in range(spec.depth)]
    names = dict(backbone.named_modules())
    for block, path in paths.items():
        inside = {id(module) for module in names[path].modules()}
        own = {id(part.module) for name, part in backbone.submodules().items() if name.startswith(block)}
        assert own <= inside
    for part in ("norm1", "qkv", "attn_proj", "norm2", "fc1", "fc2", "block01", "all"):
        rows = part_rows(backbone, part)
        assert {one.name for one in rows} <= set(backbone.state_dict())
    q, k, v = (part_rows(backbone, name) for name in "qkv")
    assert [len(q), len(k), len(v)] == [len(q)] * 3
    with pytest.raises(ContractError, match="has no block77"):
        part_rows(backbone, "block77")
    with pytest.raises(ContractError, match="has no part gate"):
        part_rows(backbone, "gate")


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_features_inside_are_pooled_as_taps_are_and_a_twin_gives_the_same(slug):
    spec, _, backbone = subject(slug)
    inputs = batch(slug)
    found = features_inside(backbone, lambda: [inputs], False, others={"twin": copy.deepcopy(backbone)})
    with torch.inference_mode():
        encoded = encode(backbone, inputs, False)
    for tap in spec.taps:
        torch.testing.assert_close(torch.from_numpy(found[OWN].pooled[tap]), encoded.pooled(tap, "mean"))
    parts = list(backbone.submodules())
    assert set(found[OWN].pooled) == {*spec.taps, *parts}
    for name in parts:
        np.testing.assert_array_equal(found["twin"].pooled[name], found[OWN].pooled[name])
        assert np.isfinite(found[OWN].pooled[name]).all()
    # The mean token after a linear part is the part of the mean token: packed tokens lie at their places.
    for block in block_paths(backbone):
        part = backbone.submodules()[f"{block}.fc2"]
        given = []
        handle = part.module.register_forward_pre_hook(lambda _, args, given=given: given.append(args[0]))
        with torch.inference_mode():
            backbone(inputs)
            expected = part.module(backbone.placed(given[0], inputs))
        handle.remove()
        mask = backbone.token_mask(inputs)
        mean = torch.stack([own[seen].mean(0) for own, seen in zip(expected, mask, strict=True)])
        torch.testing.assert_close(torch.from_numpy(found[OWN].pooled[f"{block}.fc2"]), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_exchanging_all_makes_one_backbone_the_other_and_is_undone(slug):
    _, _, backbone = subject(slug)
    other, inputs = noised(backbone), batch(slug)
    before, theirs = state_dict_sha256(other.state_dict()), backbone(inputs)
    with exchanged(other, backbone, part_rows(backbone, "all")) as differs:
        assert differs
        for tap, values in other(inputs).items():
            assert torch.equal(values, theirs[tap])
        with exchanged(other, backbone, part_rows(backbone, "fc1")) as again:
            assert not again
    assert state_dict_sha256(other.state_dict()) == before


def test_exchanging_queries_leaves_keys_and_values():
    backbone = load(small_vit()).backbone
    other = noised(backbone)
    qkv = next(name for name in backbone.state_dict() if name.endswith("blocks.1.attn.qkv.weight"))
    width = backbone.width
    with exchanged(other, backbone, part_rows(backbone, "q")):
        own, theirs = other.state_dict()[qkv], backbone.state_dict()[qkv]
        assert torch.equal(own[:width], theirs[:width])
        assert not torch.equal(own[width : 2 * width], theirs[width : 2 * width])


def test_a_failure_inside_still_restores():
    backbone = load(small_vit()).backbone
    other = noised(backbone)
    before = state_dict_sha256(other.state_dict())
    with pytest.raises(RuntimeError, match="stop"), exchanged(other, backbone, part_rows(backbone, "all")):
        raise RuntimeError("stop")
    assert state_dict_sha256(other.state_dict()) == before


def test_parts_of_another_network_are_fed_the_inputs_of_this_one():
    backbone = load(small_vit()).backbone
    other, inputs, seen = noised(backbone), small_batch(4), {}
    given = {}
    handles = [
        part.module.register_forward_pre_hook(lambda _, args, name=name: given.setdefault(name, args[0]))
        for name, part in backbone.submodules().items()
    ]
    with torch.inference_mode(), outputs_read(backbone, seen.__setitem__, {"other": other}):
        taps = backbone(inputs)
    for handle in handles:
        handle.remove()
    for name, part in other.submodules().items():
        expected = part.module(given[name])[..., part.part or slice(None)]
        torch.testing.assert_close(seen[f"other/{name}"], expected)
    block = other.get_submodule(block_paths(other)["block02"])
    torch.testing.assert_close(seen["other/block02"], block(taps["block01"]))
    assert not any(module._forward_hooks for module in backbone.modules()), "hooks were left behind"


def test_single_tokens_are_drawn_by_item_and_lose_the_mean_of_their_place():
    backbone, images = load(small_vit()).backbone, small_batch(10)
    whole = features_inside(backbone, lambda: [images], False, tokens=True)[OWN]
    split = [replace(images, pixels=images.pixels[a:b], valid=images.valid[a:b]) for a, b in ((0, 3), (3, 10))]
    parts = features_inside(backbone, lambda: split, False, tokens=True)[OWN]
    with torch.inference_mode():
        tokens = backbone(images)["block01"][:, 1:].numpy()
    centred = tokens - tokens.mean(0)
    for name, values in whole.tokens.items():
        assert values.shape[:2] == (TOKEN_DRAWS, 10)
        np.testing.assert_allclose(parts.tokens[name], values, rtol=1e-4, atol=1e-5)
    for draw in range(TOKEN_DRAWS):
        distance = np.abs(centred - whole.tokens["block01"][draw][:, None]).max(-1)
        assert (distance.min(1) < 1e-5).all(), "a token is none of its item's"
    chosen = [np.abs(centred - one[:, None]).max(-1).argmin(1).tolist() for one in whole.tokens["block01"]]
    assert len({tuple(row) for row in chosen}) > 1, "every draw takes the same tokens"


def test_invalid_tokens_are_never_drawn():
    backbone, images = load(small_vit()).backbone, small_batch(6)
    valid = images.valid.clone()
    valid[:, 8:] = False  # the lower two of four patches
    whole = features_inside(backbone, lambda: [replace(images, valid=valid)], False, tokens=True)[OWN]
    with torch.inference_mode():
        tokens = backbone(images)["block00"][:, 1:].numpy()
    upper = (tokens - tokens.mean(0))[:, :2]
    for draw in whole.tokens["block00"]:
        assert (np.abs(upper - draw[:, None]).max(-1).min(1) < 1e-5).all()


def test_a_factor_between_norm_and_linear_layer_is_no_change():
    backbone = load(small_vit()).backbone
    other = copy.deepcopy(backbone)
    with torch.no_grad():
        for name, part in other.submodules().items():
            kind = name.partition(".")[2]
            if kind in ("norm1", "norm2"):
                part.module.weight *= 4.0
                part.module.bias *= 4.0
            elif kind in ("q", "fc1"):  # q stands for all rows of the fused projection
                part.module.weight /= 4.0
    changes = weight_changes(affine_maps(backbone), affine_maps(other), affine_maps(backbone))
    assert max(one.frobenius for one in changes.values()) < 1e-6
    np.testing.assert_allclose(other(small_batch())["final"], backbone(small_batch())["final"], rtol=1e-4, atol=1e-5)


def test_weight_changes_are_those_of_numpy():
    backbone = load(small_vit()).backbone
    other = copy.deepcopy(backbone)
    part = other.submodules()["block01.fc1"].module
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(part.out_features, 1)), rng.normal(size=(1, part.in_features))
    with torch.no_grad():
        part.weight += torch.from_numpy(left @ right).float()
    before, after = affine_maps(backbone), affine_maps(other)
    changes = weight_changes(before, after, before)
    change, base = (after["block01.fc1"] - before["block01.fc1"]).numpy(), before["block01.fc1"].numpy()
    one = changes["block01.fc1"]
    assert one.frobenius == pytest.approx(np.linalg.norm(change) / np.linalg.norm(base))
    assert one.spectral == pytest.approx(np.linalg.norm(change, 2) / np.linalg.norm(base, 2))
    assert one.stable_rank == pytest.approx(1.0, abs=1e-4)
    own = [name for name in before if name.startswith("block01.")]
    whole = np.sqrt(sum(float(before[name].square().sum()) for name in own))
    assert changes["block01"].frobenius == pytest.approx(np.linalg.norm(change) / whole)
    assert changes["block00"].frobenius == 0
    assert np.isnan(changes["block00.fc1"].stable_rank)
    assert set(changes) == {*before, "block00", "block01", "block02"}


def test_scales_behind_a_layer_count():
    backbone = load(small_vit(options={"init_values": 0.5})).backbone
    with torch.no_grad():
        backbone.get_parameter("model.blocks.0.ls2.gamma").fill_(0.5)
    maps = affine_maps(backbone)
    plain = backbone.submodules()["block00.fc2"].module.weight.detach().double()
    torch.testing.assert_close(maps["block00.fc2"][:, :-1], 0.5 * plain)
