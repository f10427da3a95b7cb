"""Cut backbones: of every architecture the taps stay what they were, and the numbers of later blocks are gone."""

import pytest
import torch
from torch import nn

from geofm_eval.backbones import LoadedBackbone
from geofm_eval.backbones.base import block_parts
from geofm_eval.backbones.truncated import TruncatedBackbone, truncate
from geofm_eval.backbones.vit import timm_block
from geofm_eval.errors import ContractError
from tests import small_vit, tiny
from tests.reduced_models import CATALOG, batch, subject

pytest.importorskip("timm")
WITH_BLOCKS = [slug for slug, model in CATALOG.models.items() if model.weights is None and model.depth]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def loaded_of(slug: str) -> LoadedBackbone:
    spec, _, backbone = subject(slug)
    return LoadedBackbone(backbone, spec, "0" * 64, "random:seed=0", (), (), count(backbone))


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_features_of_a_cut_backbone_are_those_of_the_whole(slug):
    loaded = loaded_of(slug)
    whole, inputs = loaded.backbone, batch(slug)
    expected, before = whole(inputs), count(whole)
    short = truncate(loaded, "block00", inputs)
    found = short.backbone(inputs)
    assert tuple(found) == short.spec.taps == ("embed", "block00")
    for tap, tokens in found.items():
        assert torch.equal(tokens, expected[tap]), tap
    assert short.backbone.layout(inputs) == whole.layout(inputs)
    assert torch.equal(short.backbone.token_mask(inputs), whole.token_mask(inputs))
    # The whole of two blocks loses one of them, and its last norm.
    parts = {id(part.module): part.module for name, part in whole.submodules().items() if name.startswith("block01")}
    assert before - short.parameters >= sum(map(count, parts.values())) > 0
    assert count(short.backbone) == short.parameters < before == count(whole)
    assert list(short.backbone.submodules()) == [name for name in whole.submodules() if name.startswith("block00")]
    torch.testing.assert_close(whole(inputs)["final"], expected["final"], rtol=0, atol=0)


@pytest.mark.parametrize("slug", WITH_BLOCKS)
def test_a_cut_after_the_last_block_drops_the_last_norm(slug):
    loaded = loaded_of(slug)
    short = truncate(loaded, "block01", batch(slug))
    names = {name for name, _ in loaded.backbone.named_parameters()}
    kept = {name.removeprefix("inner.") for name, _ in short.backbone.named_parameters()}
    assert names - kept, "nothing is gone"
    assert all("norm" in name for name in names - kept), names - kept


def test_of_the_embedding_one_block_is_kept_and_both_share_their_numbers():
    loaded, inputs = small_vit.load(small_vit.small_vit()), small_vit.batch()
    short = truncate(loaded, "embed", inputs)
    assert short.spec.taps == ("embed", "block00")
    assert (short.spec.depth, short.spec.slug, short.spec.poolings) == (1, loaded.spec.slug, loaded.spec.poolings)
    own = {parameter.data_ptr() for parameter in loaded.backbone.parameters()}
    assert {parameter.data_ptr() for parameter in short.backbone.parameters()} < own
    tokens = short.backbone.forward_to(inputs, 1)
    torch.testing.assert_close(tokens, loaded.backbone.forward_to(inputs, 1), rtol=0, atol=0)
    assert not short.backbone.training


@pytest.mark.parametrize("tap", ["final", "block03"])
def test_a_tap_that_nothing_can_be_cut_after_is_refused(tap):
    loaded, inputs = small_vit.load(small_vit.small_vit()), small_vit.batch()
    with pytest.raises(ContractError, match=f"cannot be cut after '{tap}'; expected one of embed, block00"):
        truncate(loaded, tap, inputs)


def test_what_names_no_parts_cannot_be_cut():
    image = tiny.TinySplit().read(0)
    adapter = tiny.InputAdapter(tiny.SPEC, tiny.TASK, tiny.RECIPE)
    with pytest.raises(ContractError, match="does not implement submodules"):
        truncate(tiny.tiny_loaded(), "block00", adapter([image]))
    with pytest.raises(ContractError, match="cannot be cut after 'embed'; expected one of no tap"):
        truncate(loaded_of("band_stats"), "embed", batch("band_stats"))


def remade(module: nn.Module, **methods) -> None:
    """Give a module a class of its own with other methods."""
    module.__class__ = type(type(module).__name__, (type(module),), methods)


def broken_vit(kind: str) -> nn.Module:
    """A ViT whose blocks lie or work otherwise than a cut expects."""
    backbone = small_vit.load(small_vit.small_vit()).backbone
    model = backbone.model
    plain = type(model).forward_features
    if kind == "apart":
        model.blocks = nn.ModuleDict({str(i): block for i, block in enumerate(model.blocks)})
        remade(model.blocks, __iter__=lambda self: iter(self.values()))
    if kind == "crowded":
        model.blocks.append(nn.Identity())
        remade(backbone, submodules=lambda self: block_parts(timm_block(b, 16) for b in list(self.model.blocks)[:3]))
    if kind == "counts":
        remade(model, forward_features=lambda self, x: plain(self, x * len(self.blocks)))
    if kind == "needs":
        remade(model, forward_features=lambda self, x: self.blocks[2](plain(self, x)))
    return backbone


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("apart", "its blocks are model.blocks.0 to model.blocks.2, expected one ModuleList"),
        ("crowded", "cannot be cut: .*expected one ModuleList or Sequential of blocks"),
        ("counts", "cannot be cut: features of embed change by"),
        ("needs", "does not run with 1 of 3 blocks"),
    ],
)
def test_architectures_that_cannot_be_cut_are_refused(kind, message):
    with pytest.raises(ContractError, match=message):
        TruncatedBackbone(broken_vit(kind), 1, small_vit.batch())
