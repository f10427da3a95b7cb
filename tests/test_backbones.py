"""Backbones: taps, layouts, pooling, freezing, random twins, and one's own architecture."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from geofm_eval.backbones import TokenLayout, pool
from geofm_eval.backbones.base import recorded_blocks
from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.catalog import ModelSpec, WeightsSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError, DataError, Unavailable, WeightsError
from tests.small_vit import CATALOG, batch, load, small_vit

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    "options", [{}, {"class_token": False, "global_pool": "avg", "fc_norm": False}, {"reg_tokens": 2}]
)
def test_vit_taps_equal_timms_own_intermediates(options):
    prefix = int(options.get("class_token", True)) + options.get("reg_tokens", 0)
    loaded = load(small_vit(options=options, prefix=prefix))
    images = batch()
    taps = loaded.backbone(images)
    model = loaded.backbone.network
    final, blocks = model.forward_intermediates(
        images.pixels, output_fmt="NLC", return_prefix_tokens=bool(prefix), norm=False
    )
    joined = [torch.cat([prefixes, patches], dim=1) for patches, prefixes in blocks] if prefix else blocks
    assert tuple(taps) == ("embed", "block00", "block01", "block02", "final")
    for index, expected in enumerate(joined):
        torch.testing.assert_close(taps[f"block{index:02d}"], expected, rtol=0, atol=0)
    torch.testing.assert_close(taps["final"], final, rtol=0, atol=0)
    torch.testing.assert_close(model.blocks[0](taps["embed"]), taps["block00"])
    assert loaded.backbone.layout(images) == TokenLayout((2, 2), prefix, ("image",))
    assert final.shape[1] == loaded.backbone.layout(images).tokens


def test_truncated_forward_stops_after_the_block():
    backbone = load(small_vit()).backbone
    taps = backbone(batch())
    torch.testing.assert_close(backbone.forward_to(batch(), 2), taps["block01"][:, 1:], rtol=0, atol=0)
    with pytest.raises(ContractError, match="blocks must be 1 to 3, found 4"):
        backbone.forward_to(batch(), 4)


def test_features_do_not_depend_on_the_batch():
    backbone = load(small_vit()).backbone
    images = batch(count=5)
    whole = backbone(images)
    for index in range(5):
        single = backbone(ModelInput(images.pixels[index : index + 1], images.valid[index : index + 1], images.present))
        for tap in backbone.taps:
            torch.testing.assert_close(whole[tap][index : index + 1], single[tap], rtol=1e-4, atol=1e-5)


def test_loaded_backbone_is_frozen_and_its_forward_moves_nothing():
    loaded = load(small_vit(options={"proj_drop_rate": 0.5, "drop_path_rate": 0.5}))
    before = state_dict_sha256(loaded.backbone.state_dict())
    first, second = loaded.backbone(batch()), loaded.backbone(batch())
    assert not any(module.training for module in loaded.backbone.modules())
    assert not any(parameter.requires_grad for parameter in loaded.backbone.parameters())
    for tap in loaded.backbone.taps:
        assert torch.equal(first[tap], second[tap])
        assert not first[tap].requires_grad
    assert state_dict_sha256(loaded.backbone.state_dict()) == before


def test_random_twin_follows_its_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, again = load(small_vit()), load(small_vit())
    assert torch.equal(torch.rand(1), expected)
    assert one.weights_sha256 == again.weights_sha256
    assert one.weights_source == "random:seed=0"
    assert load(small_vit(random_seed=1)).weights_sha256 != one.weights_sha256


def test_channels_follow_the_tasks_bands():
    spec = small_vit(bands=("*",), normalisation=CATALOG.model("rcf").normalisation)
    assert load(spec, task="eurosat_rgb").backbone.network.patch_embed.proj.weight.shape[1] == 3


def test_patches_without_a_valid_pixel_are_invalid_tokens():
    backbone = load(small_vit()).backbone
    images = batch(count=2)
    images.valid[0, :8, :8] = False
    images.valid[1, :8, :8] = False
    images.valid[1, 7, 7] = True
    mask = backbone.token_mask(images)
    assert mask.tolist() == [[False, False, True, True, True], [False, True, True, True, True]]


@given(seed=st.integers(0, 10_000), groups=st.integers(1, 3), prefix=st.integers(0, 2), share=st.floats(0.1, 1.0))
@settings(max_examples=40, deadline=None)
def test_pooling_is_the_mean_of_the_valid_patch_tokens(seed, groups, prefix, share):
    rng = np.random.default_rng(seed)
    layout = TokenLayout((2, 3), prefix, tuple("abc"[:groups]))
    tokens = rng.normal(size=(4, layout.tokens, 5)).astype(np.float32)
    mask = rng.random((4, layout.tokens)) < share
    mask[:, :prefix] = False
    mask[:, -1] = True
    pooled = pool(torch.from_numpy(tokens), torch.from_numpy(mask), layout, "mean").numpy()
    for item in range(4):
        np.testing.assert_allclose(pooled[item], tokens[item][mask[item]].mean(0), rtol=1e-4, atol=1e-5)
    if prefix:
        np.testing.assert_array_equal(
            pool(torch.from_numpy(tokens), torch.from_numpy(mask), layout, "cls"), tokens[:, 0]
        )


def test_pooling_refuses_what_the_layout_does_not_hold():
    layout, tokens = TokenLayout((1, 2), 0, ("image",)), torch.zeros(2, 2, 3)
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(DataError, match=r"samples \[1\] of the batch have no valid patch"):
        pool(tokens, mask, layout, "mean")
    with pytest.raises(ContractError, match="needs a class token"):
        pool(tokens, mask, layout, "cls")
    with pytest.raises(ContractError, match="unknown pooling 'max'"):
        pool(tokens, mask, layout, "max")
    with pytest.raises(ContractError, match="do not match the declared layout of 2 tokens"):
        pool(torch.zeros(2, 3, 3), torch.ones(2, 3, dtype=torch.bool), layout, "mean")


def test_hooks_are_gone_even_after_a_failure():
    blocks = [nn.Linear(2, 2), nn.Linear(2, 2)]
    with recorded_blocks(blocks) as found:
        blocks[1](blocks[0](torch.zeros(1, 2)))
    assert list(found) == ["embed", "block00", "block01"]
    with pytest.raises(RuntimeError), recorded_blocks(blocks):
        blocks[0](torch.zeros(1, 3))
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in blocks)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"model": "vit_nowhere"}}, "timm has no model 'vit_nowhere'"),
        ({"options": {"model": 3}}, "options.model must name a timm model"),
        ({"options": {"model": "resnet18"}}, "cannot build 'resnet18'"),
        ({"options": {"patchsize": 8}}, "timm cannot build .*patchsize"),
        ({"options": {"depth": 8}}, r"options \['depth'\] follow from the entry's own fields"),
        ({"prefix": 0}, "has 1 prefix token, the entry has prefix = 0"),
        ({"image_size": 20}, r"multiple of the patch size of 8 pixels, found \(20, 20\); the remainder"),
        ({"image_size": 4}, r"multiple of the patch size of 8 pixels, found \(4, 4\)"),
        ({"options": {"embed_dim": 32}}, "width is 32, expected 16"),
        ({"options": {"global_pool": "avg"}}, "set options.fc_norm = false"),
        ({"architecture": "resnet"}, "unknown architecture 'resnet'; use one of timm_vit, pocket, galileo"),
        ({"architecture": "no_such_module:build"}, "'no_such_module' cannot be imported"),
        ({"architecture": "/nowhere/own.py:build"}, "own.py does not exist"),
        ({"architecture": "colorsys:rgb_to_hls"}, "colorsys:rgb_to_hls raised TypeError"),
        ({"architecture": "colorsys:nothing"}, "has no function 'nothing'"),
        ({"architecture": "builtins:divmod"}, "builtins:divmod raised TypeError"),
    ],
)
def test_entries_that_cannot_be_built_say_why(fields, message):
    with pytest.raises(ContractError, match=message):
        load(small_vit(**fields))


def test_image_of_another_size_than_the_model_is_refused():
    with pytest.raises(ContractError, match=r"built for images of \(16, 16\) pixels, found \(24, 24\); set image_size"):
        load(small_vit()).backbone(batch(side=24))


def test_weights_for_a_random_model_are_refused(tmp_path):
    with pytest.raises(ContractError, match="pocket_random takes no weights"):
        load(small_vit(), weights=tmp_path / "w.pt")


def test_softcon_is_normalised_as_torchgeo_does():
    enum = pytest.importorskip("torchgeo.models").ViTSmall14_DINOv2_Weights.SENTINEL2_ALL_SOFTCON
    rule, published = CATALOG.model("softcon_vits14").normalisation, enum.transforms[-1]
    assert (rule.mean, rule.std) == (pytest.approx(published.mean), pytest.approx(published.std))
    assert CATALOG.model("softcon_vits14").weights.url == enum.url


def test_positions_of_a_larger_pretraining_size_are_resampled(tmp_path):
    spec = CATALOG.model("dinov2_vitb14")
    options = {**spec.options, "num_heads": 2, "pretrained_size": 56}
    spec = spec.model_copy(update={"depth": 1, "width": 32, "image_size": 28, "options": options})
    published = timm.create_model("vit_base_patch14_dinov2", depth=1, embed_dim=32, num_heads=2, img_size=56)
    torch.save({**published.state_dict(), "mask_token": torch.zeros(1, 32)}, tmp_path / "w.pth")
    loaded = load(spec, "eurosat_rgb", weights=tmp_path / "w.pth")
    assert loaded.unexpected_keys == ("mask_token",)
    published.set_input_size(img_size=28)
    images = batch(channels=3, side=28)
    expected = published.eval().forward_features(images.pixels)
    torch.testing.assert_close(loaded.backbone(images)["final"], expected.detach())
    wrong = spec.model_copy(update={"options": {**options, "pretrained_size": 70}})
    with pytest.raises(WeightsError, match=r"pos_embed is \(1, 17, 32\), expected 26 tokens for 70 pixels"):
        load(wrong, "eurosat_rgb", weights=tmp_path / "w.pth")


def small_eva(name="vit_large_patch16_dinov3", slug="dinov3_sat_vitl16_random") -> ModelSpec:
    fields = {"depth": 2, "width": 32, "image_size": 32, "options": {"model": name, "num_heads": 2}}
    return CATALOG.model(slug).model_copy(update=fields)


def test_dinov3_is_an_eva_whose_taps_equal_timms_own_intermediates():
    loaded = load(small_eva(), "eurosat_rgb")
    images = batch(channels=3, side=32)
    final, blocks = loaded.backbone.network.forward_intermediates(
        images.pixels, output_fmt="NLC", return_prefix_tokens=True, norm=False
    )
    taps = loaded.backbone(images)
    for index, (patches, prefixes) in enumerate(blocks):
        torch.testing.assert_close(taps[f"block{index:02d}"], torch.cat([prefixes, patches], dim=1), rtol=0, atol=0)
    torch.testing.assert_close(taps["final"], final, rtol=0, atol=0)
    torch.testing.assert_close(loaded.backbone.forward_to(images, 1), taps["block00"][:, 5:], rtol=0, atol=0)
    assert loaded.backbone.layout(images) == TokenLayout((2, 2), 5, ("image",))


def test_dinov3_weights_load_in_the_layout_that_timm_publishes(tmp_path):
    published = timm.create_model("vit_large_patch16_dinov3", depth=2, embed_dim=32, num_heads=2, num_classes=0)
    torch.save(published.state_dict(), tmp_path / "w.pt")
    loaded = load(small_eva(slug="dinov3_sat_vitl16"), "eurosat_rgb", weights=tmp_path / "w.pt")
    images = batch(channels=3, side=32)
    expected = published.eval().forward_features(images.pixels)
    torch.testing.assert_close(loaded.backbone(images)["final"], expected.detach())


def test_eva_that_never_calls_its_qkv_module_says_so():
    backbone = load(small_eva("vit_large_patch16_dinov3_qkvb"), "eurosat_rgb").backbone
    with pytest.raises(ContractError, match="q, k and v cannot be tapped"):
        backbone.submodules()


def test_blocks_of_a_random_twin_do_something():
    """Layer scales start at 1e-5: a twin would give its embedding at every depth."""
    taps = load(small_eva(), "eurosat_rgb").backbone(batch(channels=3, side=32))
    change = (taps["block01"] - taps["embed"]).norm() / taps["embed"].norm()
    assert change > 0.01


OWN = """
import torch
from geofm_eval.backbones import Backbone, TokenLayout

class Mine(Backbone):
    def __init__(self, spec, channels):
        super().__init__(spec.taps, spec.width)
        self.embed = torch.nn.Conv2d(channels, spec.width, 8, stride=8)
        self.block = torch.nn.Linear(spec.width, spec.width)

    def layout(self, batch):
        return TokenLayout((batch.pixels.shape[2] // 8, batch.pixels.shape[3] // 8), 0, ("image",))

    def forward(self, batch):
        embed = self.embed(batch.pixels).flatten(2).transpose(1, 2)
        block = self.block(embed)
        return {"embed": embed, "block00": block, "final": block.relu()}
"""


def test_own_backbone_of_twenty_lines_loads_with_weights_of_its_own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    spec = small_vit(architecture=f"{tmp_path / 'own.py'}:Mine", depth=1, prefix=0, width=6, options={})
    loaded = load(spec)
    assert loaded.backbone(batch())["final"].shape == (3, 4, 6)
    assert loaded.backbone.token_mask(batch()).all()
    assert len(loaded.code_sha256) == 64
    with pytest.raises(Unavailable, match=r"cannot stop after 0 of 1 block. Implement forward_to"):
        loaded.backbone.forward_to(batch(), 0)
    torch.save(loaded.backbone.state_dict(), tmp_path / "own.pt")
    trained = spec.model_copy(update={"weights": WeightsSpec(file="x"), "random_seed": None})
    again = load(trained, weights=tmp_path / "own.pt")
    assert torch.equal(again.backbone(batch())["final"], loaded.backbone(batch())["final"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def Mine(spec, channels): return 3", "returned a int, expected Backbone"),
        ("def Mine(spec, channels): raise ValueError('no luck')", "raised ValueError: no luck"),
        ("import nothing_of_the_kind", "cannot be imported: ModuleNotFoundError"),
        (OWN.replace("spec.taps", "('final',)"), r"taps are \('final',\), expected \('embed', 'block00', 'final'\)"),
    ],
)
def test_own_backbone_that_breaks_the_contract_says_how(tmp_path, source, message):
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(ContractError, match=message):
        load(small_vit(architecture=f"{tmp_path / 'own.py'}:Mine", depth=1, prefix=0, width=6, options={}))


def test_missing_timm_is_a_skip_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(Unavailable, match=r"package unavailable: timm\. Install it with: pip install timm"):
        load(small_vit())
