"""Tuning a backbone: what moves, what stays, and low-rank updates against their formula."""

import copy

import pytest
import torch
from torch import nn

from geofm_eval.backbones import load_backbone
from geofm_eval.backbones.base import Submodule
from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense.adapters import ADAPTATIONS, ALPHA, RANK, LowRank, adapt, merge, plain_state
from geofm_eval.errors import ContractError
from tests.small_vit import CATALOG, batch, load, small_vit

IMAGES = batch()


def vit():
    return load(small_vit()).backbone


def moved_by(adaptation: str, steps: int = 2) -> set[str]:
    """Names of the backbone's tensors that tuning changed, low-rank updates merged."""
    torch.manual_seed(0)
    backbone = vit()
    before = plain_state(backbone)
    tuned = adapt(backbone, adaptation)
    if tuned:
        optimiser = torch.optim.SGD(tuned, 0.1)
        for _ in range(steps):
            optimiser.zero_grad()
            backbone(IMAGES)["final"].square().mean().backward()
            optimiser.step()
    merge(backbone)
    after = backbone.state_dict()
    assert after.keys() == before.keys()
    return {name.removeprefix("model.") for name in before if not torch.equal(before[name], after[name])}


def test_only_what_an_adaptation_tunes_moves():
    assert moved_by("frozen") == set()
    everything = set(vit().model.state_dict())
    assert moved_by("full") >= everything - {"cls_token", "pos_embed"}
    blocks = {f"blocks.{i}" for i in range(3)}
    assert moved_by("lora") == {f"{b}.attn.{m}.weight" for b in blocks for m in ("qkv", "proj")}
    assert moved_by("lora_fc1") == {f"{b}.mlp.fc1.weight" for b in blocks}
    changed = moved_by("lnbias")
    assert all(name.endswith("bias") or ".norm" in f".{name}" for name in changed)
    assert {"norm.weight", "blocks.0.norm1.weight", "blocks.2.mlp.fc2.bias", "patch_embed.proj.bias"} <= changed


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_tuning_starts_from_the_frozen_backbone(adaptation):
    backbone = vit()
    sha256, expected = state_dict_sha256(backbone.state_dict()), backbone(IMAGES)["final"]
    tuned = adapt(backbone, adaptation)
    assert all(parameter.requires_grad for parameter in tuned)
    assert sum(parameter.requires_grad for parameter in backbone.parameters()) == len(tuned)
    torch.testing.assert_close(backbone(IMAGES)["final"].detach(), expected, rtol=0, atol=0)
    assert state_dict_sha256(plain_state(backbone)) == sha256


def test_an_update_is_alpha_over_rank_times_b_a_on_its_own_rows():
    torch.manual_seed(1)
    layer = nn.Linear(5, 9)
    update = LowRank(layer.weight, [slice(0, 3), slice(6, 9)])
    for up in update.up:
        nn.init.normal_(up)
    expected = layer.weight.detach().clone()
    expected[0:3] += ALPHA / RANK * update.up[0] @ update.down[0]
    expected[6:9] += ALPHA / RANK * update.up[1] @ update.down[1]
    torch.testing.assert_close(update(layer.weight), expected)
    assert update.down[0].shape == (RANK, 5)


def test_merging_changes_no_output():
    torch.manual_seed(2)
    backbone = vit()
    for parameter in adapt(backbone, "lora"):
        nn.init.normal_(parameter, std=0.3)
    apart, state = backbone(IMAGES)["final"].detach(), plain_state(backbone)
    assert not torch.allclose(apart, vit()(IMAGES)["final"])
    merge(backbone)
    torch.testing.assert_close(backbone(IMAGES)["final"], apart, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())
    fresh = vit()
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(IMAGES)["final"], apart, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("slug", ["pocket_random", "prithvi_v1_random", "galileo_nano_random", "terramind_v1_random"])
@pytest.mark.parametrize("adaptation", ["lora", "lora_fc1"])
def test_architectures_of_the_catalog_take_low_rank_updates(slug, adaptation):
    spec = CATALOG.model(slug)
    task = CATALOG.task("hls_burn_scars_sim" if slug.startswith("prithvi") else "eurosat_sim")
    backbone = load_backbone(spec, InputAdapter(spec, task, CATALOG.recipe("probing"))).backbone
    tuned = adapt(backbone, adaptation)
    pairs = len(tuned) // 2
    assert pairs == spec.depth * (4 if adaptation == "lora" else 1)
    assert sum(p.numel() for p in tuned) < 0.1 * sum(p.numel() for p in backbone.parameters())


def test_what_cannot_be_tuned_is_refused():
    controls = CATALOG.model("rcf")
    task = CATALOG.task("eurosat_sim")
    control = load_backbone(controls, InputAdapter(controls, task, CATALOG.recipe("probing"))).backbone
    with pytest.raises(ContractError, match="RandomConvolutions has no parameters for 'full'; use it frozen"):
        adapt(control, "full")
    with pytest.raises(ContractError, match="does not implement submodules"):
        adapt(control, "lora")
    with pytest.raises(ContractError, match="adaptation 'prefix' is unknown; known: frozen, full, lora, lora_fc1"):
        adapt(vit(), "prefix")
    unusual = vit()
    named = copy.copy(unusual.submodules())
    named["block01.fc1"] = Submodule(nn.Conv1d(2, 2, 1))
    unusual.submodules = lambda: named
    with pytest.raises(ContractError, match=r"block01\.fc1 is a Conv1d; low-rank updates need a Linear"):
        adapt(unusual, "lora_fc1")
