"""CROMA: torchgeo's own numbers at every layer of its three encoders, and the published file's layout."""

import importlib.util

import pytest
import torch

from geofm_eval.backbones import load_backbone
from geofm_eval.backbones.croma import BANDS
from geofm_eval.catalog import ModelSpec, TaskSpec, load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, Unavailable, WeightsError
from geofm_eval.gaps import model_gap

torchgeo_models = pytest.importorskip("torchgeo.models", reason="torchgeo is not installed")
CATALOG = load_catalog()
SLUGS = {"optical": "croma_optical", "sar": "croma_sar", "joint": "croma_joint"}
SMALL = {"depth": 2, "width": 32, "image_size": 24}


def spec(modality="optical", random=True, **fields) -> ModelSpec:
    slug = SLUGS[modality] + ("_random" if random else "")
    return CATALOG.model(slug).model_copy(update={**SMALL, **fields})


def task(bands) -> TaskSpec:
    return CATALOG.task("eurosat").model_copy(update={"bands": bands, "statistics": None})


def load(model: ModelSpec, bands=None, **arguments):
    adapter = InputAdapter(model, task(bands or model.bands), CATALOG.recipe("probing"))
    return load_backbone(model, adapter, **arguments)


def batch(modality="optical", count=2, side=24) -> ModelInput:
    channels = len(BANDS[modality])
    pixels = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    return ModelInput(pixels, torch.ones(count, side, side, dtype=torch.bool), (True,) * channels)


def published(depth=4, width=32, size=24):
    """The whole of CROMA as torchgeo builds it; ``depth`` counts optical layers."""
    return torchgeo_models.CROMA(encoder_dim=width, encoder_depth=depth, num_heads=16, image_size=size).eval()


def publish(model, path):
    """The layout of ``CROMA_base-0238d814.pt``: one state dict per part."""
    parts = ("s1_encoder", "s1_GAP_FFN", "s2_encoder", "s2_GAP_FFN", "joint_encoder")
    torch.save({part: model.get_submodule(part).state_dict() for part in parts}, path)
    return path


@pytest.mark.parametrize("modality", ["optical", "sar", "joint"])
def test_every_tap_equals_torchgeos_computation(tmp_path, modality):
    model = published()
    depth = 4 if modality == "optical" else 2
    weights = publish(model, tmp_path / "croma.pt")
    loaded = load(spec(modality, random=False, depth=depth), weights=weights)
    images = batch(modality)
    with torch.no_grad():
        radar, optical = images.pixels[:, :2], images.pixels[:, -12:]
        if modality == "joint":
            output = model(x_sar=radar, x_optical=optical)
        else:
            model.modalities = [modality]
            output = model(x_sar=radar, x_optical=optical)
        taps = loaded.backbone(images)
        torch.testing.assert_close(taps["final"], output[f"{modality}_encodings"])
        if modality == "joint":
            torch.testing.assert_close(taps["embed"], output["sar_encodings"])
            transformer = model.joint_encoder
        else:
            encoder = model.s1_encoder if modality == "sar" else model.s2_encoder
            transformer = encoder.transformer
        tokens = taps["embed"]
        for index, layer in enumerate(transformer.layers):
            tokens = layer[0](tokens, model.attn_bias) + tokens
            if modality == "joint":
                tokens = layer[1](tokens, output["optical_encodings"], model.attn_bias) + tokens
            tokens = layer[-1](tokens) + tokens
            torch.testing.assert_close(taps[f"block{index:02d}"], tokens)
            torch.testing.assert_close(loaded.backbone.forward_to(images, index + 1), tokens)
        torch.testing.assert_close(taps["final"], transformer.norm_out(tokens))
    assert (loaded.missing_keys, loaded.unexpected_keys) == ((), ())


def test_a_hook_on_a_layer_would_never_fire():
    """The reason for reading the input of the next layer: torchgeo unpacks a layer instead of calling it."""
    backbone = load(spec()).backbone
    fired = []
    for layer in backbone.encoders["s2_encoder"].transformer.layers:
        layer.register_forward_hook(lambda *_: fired.append(1))
    assert len(backbone(batch())) == 4
    assert fired == []


def test_submodules_are_those_of_the_paper_names():
    backbone = load(spec()).backbone
    layer = backbone.encoders["s2_encoder"].transformer.layers[1]
    parts = backbone.submodules()
    named = {"norm1": layer[0].input_norm, "attn_proj": layer[0].to_out, "norm2": layer[1].input_norm}
    named |= {"fc1": layer[1].net[0], "fc2": layer[1].net[3], "q": layer[0].to_qkv, "v": layer[0].to_qkv}
    assert all(parts[f"block01.{name}"].module is module for name, module in named.items())
    assert [parts[f"block01.{name}"].part for name in "qkv"] == [slice(0, 32), slice(32, 64), slice(64, 96)]


def test_hooks_are_gone_after_a_truncated_pass_and_after_a_failure():
    backbone = load(spec()).backbone
    with pytest.raises(RuntimeError):
        backbone(ModelInput(torch.rand(1, 3, 24, 24), torch.ones(1, 24, 24, dtype=torch.bool), (True,) * 3))
    backbone.forward_to(batch(), 1)
    assert not any(module._forward_pre_hooks for module in backbone.modules())
    with pytest.raises(ContractError, match="blocks must be 1 to 2, found 3"):
        backbone.forward_to(batch(), 3)


def test_other_image_sizes_get_their_own_attention_bias():
    small, large = (load(spec(image_size=size)).backbone for size in (16, 24))
    assert small.layout(batch(side=16)).grid == (2, 2)
    assert large(batch())["final"].shape == (2, 9, 32)
    assert small.network.state_dict().keys() == large.network.state_dict().keys()
    with pytest.raises(ContractError, match=r"built for images of 16 pixels, found \(24, 24\)"):
        small(batch())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {}}, "options must be { modality = ... } with one of sar, optical, joint"),
        ({"options": {"modality": "s2"}}, "with one of sar, optical, joint, found"),
        ({"options": {"modality": "optical", "size": 1}}, "options must be"),
        ({"image_size": 60}, "image_size must be a multiple of 8, found 60"),
        ({"image_size": None}, "image_size must be a multiple of 8, found None"),
        ({"depth": 3}, "even for optical"),
        ({"width": 40}, "a width divisible by 16 heads"),
        ({"prefix": 1}, "expected prefix 0"),
        ({"bands": BANDS["optical"][:11], "fill_means": None}, "bands of modality optical must be B01, .* B12, found"),
        ({"bands": (*BANDS["optical"], "B10"), "fill_means": None}, "bands of modality optical must be"),
    ],
)
def test_entries_that_croma_cannot_serve_say_why(fields, message):
    with pytest.raises(ContractError, match=message):
        load(spec(**fields))


def test_task_without_radar_cannot_feed_the_joint_encoder():
    with pytest.raises(ContractError, match="lacks VV, VH, which croma_joint_random needs"):
        load(spec("joint"), bands=BANDS["optical"])


def test_file_without_the_encoder_is_refused(tmp_path):
    model = published()
    torch.save({"s1_encoder": model.s1_encoder.state_dict()}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"dictionary with the keys \['s1_encoder'\], expected .*s2_encoder missing"):
        load(spec(random=False), weights=tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="found a list, expected a dictionary with the state dicts s2_encoder"):
        load(spec(random=False), weights=tmp_path / "list.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:2000])
    with pytest.raises(WeightsError, match="truncated or not a weight file"):
        load(spec(random=False), weights=tmp_path / "cut.pt")


@pytest.mark.parametrize(("depth", "message"), [(4, "missing keys"), (2, "shapes that differ")])
def test_weights_of_another_depth_or_width_are_refused(tmp_path, depth, message):
    weights = publish(published(depth=2, width=32 if depth == 4 else 64), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=f"the weights do not match this architecture: .*{message}"):
        load(spec(random=False, depth=depth), weights=weights)


def test_own_state_dict_of_the_network_loads_again(tmp_path):
    source = load(spec(random_seed=5))
    torch.save(source.backbone.network.state_dict(), tmp_path / "mine.pt")
    loaded = load(spec(random=False), weights=tmp_path / "mine.pt")
    assert torch.equal(loaded.backbone(batch())["final"], source.backbone(batch())["final"])


def test_missing_torchgeo_is_a_skip_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchgeo.models", None)
    with pytest.raises(Unavailable, match=r"package unavailable: torchgeo\. Install it with: pip install torchgeo"):
        load(spec())


def test_doctor_knows_the_package_before_anything_is_imported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchgeo" else name)
    gap = model_gap(CATALOG.model("croma_optical"))
    assert gap is not None
    assert (gap.kind, gap.what) == ("package", "torchgeo")
