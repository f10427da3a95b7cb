"""Weight files into Vision Transformers: what fits, what is recorded, and what is refused with which way out."""

import pytest
import torch

from geofm_eval.catalog import ModelSpec, WeightsSpec
from geofm_eval.errors import ContractError, WeightsError
from tests.small_vit import CATALOG, batch, load, small_vit

timm = pytest.importorskip("timm")


def with_weights(path, **rules) -> ModelSpec:
    return small_vit(slug="trained", random_seed=None, weights=WeightsSpec(file=str(path), **rules))


def test_weight_file_is_loaded_and_recorded(tmp_path):
    source = load(small_vit(random_seed=7))
    state = source.backbone.network.state_dict()
    torch.save({**state, "head.weight": torch.zeros(2, 16)}, tmp_path / "w.pth")
    loaded = load(with_weights(tmp_path / "w.pth", unexpected=("head.weight", "head.bias")))
    assert torch.equal(loaded.backbone(batch())["final"], source.backbone(batch())["final"])
    assert (loaded.weights_source, loaded.missing_keys) == ("file:w.pth", ())
    assert loaded.unexpected_keys == ("head.weight",)
    assert loaded.parameters == sum(p.numel() for p in source.backbone.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 32}, r"shapes that differ \(blocks\.0\.attn\.proj\.bias: file \(32,\), model \(16,\)"),
        ({"depth": 4}, r"12 unexpected keys \(blocks\.3\.attn"),
        ({"depth": 2}, r"12 missing keys \(blocks\.2\.attn"),
        ({"image_size": 32}, r"pos_embed: file \(1, 17, 16\), model \(1, 5, 16\)"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path, fields, message):
    torch.save(load(small_vit(**fields)).backbone.network.state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"the weights do not match this architecture.*{message}"):
        load(with_weights(tmp_path / "w.pth"))


def test_weights_for_twelve_bands_do_not_fit_an_entry_of_thirteen(tmp_path):
    bands = small_vit().bands
    torch.save(load(small_vit(bands=bands[:12])).backbone.network.state_dict(), tmp_path / "w.pth")
    message = r"1 shapes that differ \(patch_embed\.proj\.weight: file \(16, 12, 8, 8\), model \(16, 13, 8, 8\)\)"
    with pytest.raises(WeightsError, match=message):
        load(with_weights(tmp_path / "w.pth"))


def test_prefix_that_is_not_stripped_is_refused_with_the_way_out(tmp_path):
    state = load(small_vit(random_seed=7)).backbone.network.state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"missing keys .*unexpected keys \(module\.blocks.*fit with strip_prefix"):
        load(with_weights(tmp_path / "w.pth"))
    assert load(with_weights(tmp_path / "w.pth", strip_prefix="module.")).missing_keys == ()


@pytest.mark.parametrize("side", [4, 20])
def test_own_entry_without_image_size_takes_the_size_that_it_was_built_for(side):
    """timm then builds for its own default; smaller images, or no multiple of the patch, are never cut or padded."""
    backbone = load(small_vit(image_size=None)).backbone
    with pytest.raises(
        ContractError, match=rf"built for images of \(224, 224\) pixels, found \({side}, {side}\); set image"
    ):
        backbone(batch(side=side))


@pytest.mark.parametrize("slug", ["mae_vits16", "moco_vits16", "dino_vits16"])
def test_ssl4eo_weights_load_in_the_layout_that_torchgeo_reads(tmp_path, monkeypatch, slug):
    """torchgeo loads the files into ``vit_small_patch16_224`` with 13 bands, and lets ``head`` be in them or not."""
    spec = CATALOG.model(slug).model_copy(update={"depth": 1})
    published = timm.create_model("vit_small_patch16_224", in_chans=13, depth=1)
    state = published.state_dict()
    if slug == "mae_vits16":
        state = {key: tensor for key, tensor in state.items() if not key.startswith("head.")}
    path = tmp_path / spec.weights.file
    path.parent.mkdir()
    torch.save(state, path)
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    rules = spec.weights.model_copy(update={"unexpected": ("head.weight", "head.bias"), "sha256": None})
    loaded = load(spec.model_copy(update={"weights": rules}))
    images = batch(count=1, side=224)
    expected = published.eval().forward_features(images.pixels)
    torch.testing.assert_close(loaded.backbone(images)["final"], expected.detach())
    assert loaded.unexpected_keys == (() if slug == "mae_vits16" else ("head.bias", "head.weight"))


def test_imagenet_weights_load_in_the_layout_that_timm_publishes(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    spec = CATALOG.model("imagenet_vitb16").model_copy(update={"depth": 1})
    published = timm.create_model("vit_base_patch16_224", depth=1)
    path = tmp_path / spec.weights.file
    path.parent.mkdir()
    save_file(published.state_dict(), path)
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    loaded = load(spec.model_copy(update={"weights": spec.weights.model_copy(update={"sha256": None})}), "eurosat_rgb")
    images = batch(count=1, channels=3, side=224)
    expected = published.eval().forward_features(images.pixels)
    torch.testing.assert_close(loaded.backbone(images)["final"], expected.detach())
