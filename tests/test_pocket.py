"""Pocket backbones: their weight files mean what they meant, and damage or another timm is told."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.studies.pretrain.publish import save_weights
from benchmarks.studies.pretrain.training import Plan
from geofm_eval.backbones import load_backbone
from geofm_eval.backbones.pocket import network
from geofm_eval.backbones.pocket.vit import FINGERPRINT, read_metadata
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, Unavailable, WeightsError
from geofm_eval.gaps import model_gap
from geofm_eval.paths import in_package

CATALOG = load_catalog()
PACKAGED = [spec for spec in CATALOG.models.values() if spec.simulated_pretraining]
PUBLISHED = [spec for spec in PACKAGED if spec.weights is not None and in_package(spec.weights.file).exists()]


def adapter(spec, task="eurosat_sim"):
    return InputAdapter(spec, CATALOG.task(task), CATALOG.recipe("probing"))


def batch(channels: int) -> ModelInput:
    pixels = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    return ModelInput(pixels, torch.ones(2, 64, 64, dtype=torch.bool), (True,) * channels)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A weight file of both stems with random weights, in the published layout."""
    torch.manual_seed(3)
    state = dict(network(13).state_dict())
    state |= {f"patch_embed_s1.{name}": part for name, part in network(2).patch_embed.state_dict().items()}
    path = tmp_path / "pocket.safetensors"
    save_weights(path, state, Plan("pocket_crossmodal", 0, 20), 20)
    return path


def test_weights_are_half_precision_and_come_back_as_they_were_rounded(weights):
    stored = load_file(weights)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert weights.stat().st_size < 1_500_000
    loaded = load_backbone(CATALOG.model("pocket_mae"), adapter(CATALOG.model("pocket_mae")), weights=weights)
    for name, tensor in loaded.backbone.network.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, stored[name].float(), rtol=0, atol=0)


def test_each_stem_reads_its_own_patch_embedding_and_shares_the_blocks(weights):
    stored = load_file(weights)
    optical, radar = (
        load_backbone(CATALOG.model(slug), adapter(CATALOG.model(slug), task), weights=weights).backbone
        for slug, task in (("pocket_crossmodal", "eurosat_sim"), ("pocket_crossmodal_s1", "sen1floods11_s1_sim"))
    )
    for backbone, prefix in ((optical, "patch_embed"), (radar, "patch_embed_s1")):
        found = backbone.network.state_dict()
        torch.testing.assert_close(found["patch_embed.proj.weight"], stored[f"{prefix}.proj.weight"].float())
        torch.testing.assert_close(found["blocks.7.mlp.fc1.weight"], stored["blocks.7.mlp.fc1.weight"].float())
    with torch.inference_mode():
        taps = radar(batch(2))
    assert list(taps) == list(CATALOG.model("pocket_crossmodal_s1").taps)
    assert {tuple(tokens.shape) for tokens in taps.values()} == {(2, 65, 64)}


def test_a_timm_that_computes_something_else_is_named(weights):
    metadata = read_metadata(weights)
    answers = json.loads(metadata[FINGERPRINT])
    answers["s2"][0] += 0.01
    save_file(load_file(weights), weights, {**metadata, FINGERPRINT: json.dumps(answers), "timm": "0.4.12"})
    spec = CATALOG.model("pocket_mae")
    with pytest.raises(WeightsError, match=r"differs from the stored one by 0\.01.*weights are from timm 0\.4\.12"):
        load_backbone(spec, adapter(spec), weights=weights)


def test_another_architecture_is_named(weights):
    tensors = load_file(weights)
    tensors["blocks.0.mlp.fc1.weight"] = torch.zeros(128, 64, dtype=torch.float16)
    del tensors["norm.weight"]
    save_file(tensors, weights)
    spec = CATALOG.model("pocket_mae")
    with pytest.raises(WeightsError, match=r"found 2 tensors unlike those of a pocket.*fc1\.weight, norm\.weight"):
        load_backbone(spec, adapter(spec), weights=weights)


@pytest.mark.parametrize("kept", [0, 40, 9000])
def test_a_truncated_file_is_named(weights, kept):
    weights.write_bytes(weights.read_bytes()[:kept])
    spec = CATALOG.model("pocket_mae")
    with pytest.raises(WeightsError, match="truncated or not a weight file"):
        load_backbone(spec, adapter(spec), weights=weights)


@pytest.mark.parametrize("damage", ["changed", "truncated", "absent"])
def test_a_file_damaged_in_a_checkout_is_told_with_its_cure(weights, damage, monkeypatch):
    spec = CATALOG.model("pocket_mae")
    pinned = spec.model_copy(update={"weights": spec.weights.model_copy(update={"sha256": "0" * 64})})
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    if damage == "absent":
        weights.unlink()
    for module in ("geofm_eval.backbones.weights", "geofm_eval.gaps"):
        monkeypatch.setattr(f"{module}.in_package", lambda relative: weights)
    expected, message = (
        (Unavailable, "is missing.*git checkout") if damage == "absent" else (WeightsError, "sha256 is.*git checkout")
    )
    with pytest.raises(expected, match=message):
        load_backbone(pinned, adapter(spec))
    assert (model_gap(pinned) is None) == (damage != "absent")


def test_unknown_options_are_refused():
    spec = CATALOG.model("pocket_random").model_copy(update={"options": {"stem": "s3"}})
    with pytest.raises(ContractError, match=r"options \{'stem': 's3'\} .* stem = 's2' or 's1'"):
        load_backbone(spec, adapter(spec))


def test_the_random_twin_has_the_architecture_and_the_input_of_every_pocket():
    assert len(PACKAGED) >= 8
    for spec in PACKAGED:
        twin = CATALOG.model(spec.twin or "")
        assert twin.is_control
        assert (twin.architecture, twin.depth, twin.width, twin.taps) == ("pocket", 12, 64, spec.taps)
        assert (twin.bands, twin.normalisation, twin.product) == (spec.bands, spec.normalisation, spec.product)
        assert f"{spec.slug}_random" not in CATALOG.models


def test_every_pocket_says_what_makes_it_worth_shipping():
    for spec in PACKAGED:
        if spec.variant_of is None:
            assert spec.worth is not None
            assert CATALOG.task(spec.worth.task).simulated


@pytest.mark.parametrize("spec", PUBLISHED, ids=lambda spec: spec.slug)
def test_published_weights_are_pinned_small_and_load(spec):
    assert spec.weights.sha256 is not None
    assert len(spec.weights.sha256) == 64
    task = "sen1floods11_s1_sim" if spec.bands == ("VV", "VH") else "eurosat_sim"
    loaded = load_backbone(spec, adapter(spec, task))
    assert loaded.weights_source == f"package:{Path(spec.weights.file).name}"
    assert loaded.parameters == spec.parameters
    card = in_package(spec.source.removeprefix("geofm_eval/")).read_text(encoding="utf-8")
    assert spec.weights.sha256 in card or Path(spec.weights.file).name in card


def test_the_folder_of_weights_is_small():
    folder = in_package("backbones/pocket")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 16_000_000
