"""DOFA: torchgeo's own numbers, bands by wavelength, positions that a random twin can see."""

import pytest
import torch

from geofm_eval.backbones import load_backbone
from geofm_eval.backbones.dofa import plane_positions
from geofm_eval.catalog import ModelSpec, load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, Unavailable, WeightsError

torchgeo_models = pytest.importorskip("torchgeo.models", reason="torchgeo is not installed")
CATALOG = load_catalog()
SMALL = {"depth": 2, "width": 32, "image_size": 32, "options": {"num_heads": 4}}


def spec(slug="dofa_base_random", **fields) -> ModelSpec:
    return CATALOG.model(slug).model_copy(update={**SMALL, **fields})


def load(model=None, task="eurosat_sim", **arguments):
    model = model or spec()
    return load_backbone(model, InputAdapter(model, CATALOG.task(task), CATALOG.recipe("probing")), **arguments)


WAVES = [0.6646, 0.5598, 0.4924, 0.7041, 0.7405, 0.7828, 0.8328, 1.6137, 2.2024, 0.4427, 0.8647, 0.9451, 1.3735]


def batch(count=2, side=32, present=(True,) * 13) -> ModelInput:
    pixels = torch.rand(count, 13, side, side, generator=torch.Generator().manual_seed(0))
    return ModelInput(pixels, torch.ones(count, side, side, dtype=torch.bool), present)


def published(**arguments):
    sizes = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5, **arguments}
    return torchgeo_models.DOFA(patch_size=16, **sizes).eval()


def test_tokens_equal_torchgeos_forward():
    backbone = load().backbone
    model = backbone.network
    taps = backbone(batch())
    torch.testing.assert_close(taps["final"][:, 0], model.forward_features(batch().pixels, WAVES))
    torch.testing.assert_close(model.blocks[0](taps["embed"]), taps["block00"])
    torch.testing.assert_close(backbone.forward_to(batch(), 1), taps["block00"])
    with pytest.raises(ContractError, match="blocks must be 1 to 2, found 3"):
        backbone.forward_to(batch(), 3)


def test_bands_that_the_task_lacks_are_left_out():
    model = spec()
    adapter = InputAdapter(model, CATALOG.task("eurosat_rgb"), CATALOG.recipe("probing"))
    assert adapter.report.masked_bands == adapter.bands[3:]
    backbone = load_backbone(model, adapter).backbone
    rgb = batch(present=adapter.present)
    other = ModelInput(rgb.pixels.clone(), rgb.valid, rgb.present)
    other.pixels[:, 3:] = 1e6
    assert torch.equal(backbone(rgb)["final"], backbone(other)["final"])
    expected = backbone.network.forward_features(rgb.pixels[:, :3], [0.6646, 0.5598, 0.4924])
    torch.testing.assert_close(backbone(rgb)["final"][:, 0], expected)


@pytest.mark.parametrize("task", ["hls_burn_scars", "sen1floods11", "pastis", "mados", "eurosat", "ai4smallfarms"])
def test_every_optical_band_of_a_task_is_read_with_its_wavelength(task):
    model = spec()
    adapter = InputAdapter(model, CATALOG.task(task), CATALOG.recipe("probing"))
    backbone = load_backbone(model, adapter).backbone
    assert set(adapter.report.real_bands) == set(CATALOG.task(task).bands)
    waves = dict(zip(adapter.bands, WAVES, strict=True))
    assert backbone.wavelengths == pytest.approx([waves[band] for band in adapter.report.real_bands])


def test_random_twin_sees_where_a_patch_lies():
    backbone = load().backbone
    embed = backbone(ModelInput(torch.ones(1, 13, 32, 32), torch.ones(1, 32, 32, dtype=torch.bool), (True,) * 13))
    patches = embed["embed"][0, 1:]
    assert all(not torch.allclose(patches[i], patches[j], atol=1e-2) for i in range(4) for j in range(i))


def test_positions_tell_column_from_row():
    positions = plane_positions(3, 8).reshape(3, 3, 8)
    assert torch.equal(positions[0, :, :4], positions[2, :, :4])
    assert torch.equal(positions[:, 0, 4:], positions[:, 2, 4:])
    angles = torch.tensor([2.0, 0.02])
    torch.testing.assert_close(positions[0, 2, :4], torch.cat([angles.sin(), angles.cos()]))


def test_published_layout_loads_with_and_without_a_norm(tmp_path):
    """torchgeo's file has neither norm nor head; the authors' has a norm, and more than the encoder."""
    state = published().state_dict()
    encoder = {key: tensor for key, tensor in state.items() if not key.startswith(("fc_norm", "head"))}
    torch.save(encoder, tmp_path / "torchgeo.pth")
    loaded = load(spec("dofa_base"), weights=tmp_path / "torchgeo.pth")
    assert loaded.missing_keys == ("norm.bias", "norm.weight")
    norm = {"norm.weight": torch.full((32,), 2.0), "norm.bias": torch.zeros(32), "mask_token": torch.zeros(1, 1, 8)}
    torch.save({**encoder, **norm}, tmp_path / "authors.pth")
    again = load(spec("dofa_base"), weights=tmp_path / "authors.pth")
    assert (again.missing_keys, again.unexpected_keys) == ((), ("mask_token",))
    torch.testing.assert_close(again.backbone(batch())["final"], 2 * loaded.backbone(batch())["final"])


def test_weights_of_another_size_are_refused(tmp_path):
    torch.save(published(img_size=48).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"pos_embed: file \(1, 10, 32\), model \(1, 5, 32\)"):
        load(spec("dofa_base"), weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"heads": 4}}, r"unknown options \['heads'\] for dofa; known: num_heads"),
        ({"image_size": 40}, "multiple of the patch size of 16 pixels, found 40"),
        ({"image_size": None}, "multiple of the patch size of 16 pixels, found None"),
        ({"prefix": 0}, "expected prefix = 1"),
    ],
)
def test_entries_that_dofa_cannot_serve_say_why(fields, message):
    with pytest.raises(ContractError, match=message):
        load(spec(**fields))


def test_radar_has_no_wavelength():
    model = spec(bands=("VV", "B02"), normalisation=CATALOG.model("rcf").normalisation, fill_means=None)
    with pytest.raises(ContractError, match="VV has none; choose optical bands"):
        load(model)


def test_images_of_another_size_are_refused():
    with pytest.raises(ContractError, match=r"built for images of 32 pixels, found \(48, 48\)"):
        load().backbone(batch(side=48))


def test_missing_torchgeo_is_a_skip_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchgeo.models", None)
    with pytest.raises(Unavailable, match=r"package unavailable: torchgeo\. Install it with: pip install torchgeo"):
        load()
