"""TerraMind: the reference implementation's numbers for every modality, and each modality only with its own pixels."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.backbones import SUBMODULES, TokenLayout, load_backbone
from geofm_eval.backbones.terramind import MODALITIES, grid_positions
from geofm_eval.catalog import ModelSpec, load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, WeightsError

pytest.importorskip("timm")
CATALOG = load_catalog()
GOLDEN = Path(__file__).parent / "golden" / "terramind_tiny.npz"
ENTRIES = {
    "terramind_v1": ("S2L2A",),
    "terramind_v1_l1c": ("S2L1C",),
    "terramind_v1_s1": ("S1GRD",),
    "terramind_v1_s1s2": ("S2L2A", "S1GRD"),
}


@cache
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}


def published_state() -> dict[str, Tensor]:
    """State dict of the golden file, with keys of parts that the published file also has."""
    prefix = "weights/"
    state = {name.removeprefix(prefix): tensor for name, tensor in golden().items() if name.startswith(prefix)}
    others = (
        "encoder_embeddings.untok_dem@224.mod_emb",
        "encoder_embeddings.coords.token_emb.weight",
        "decoder_embeddings.tok_dem@224.mod_emb",
        "decoder_proj_context.weight",
        "decoder.0.norm1.weight",
        "decoder_norm.weight",
        "mask_token",
    )
    return state | {name: torch.ones(3) for name in others}


def tiny(slug: str = "terramind_v1", weights: dict | None = None, **fields) -> ModelSpec:
    entry = CATALOG.model(slug)
    options = {
        "modalities": list(ENTRIES.get(slug, entry.options["modalities"])),
        "num_heads": 2,
        **fields.pop("options", {}),
    }
    rules = entry.weights.model_copy(update=weights or {})
    base = {"depth": 2, "width": 16, "image_size": 32, "options": options, "weights": rules}
    return entry.model_copy(update={**base, **fields})


def load(spec: ModelSpec, state: dict[str, Tensor] | None = None, folder: Path | None = None):
    bands = tuple(dict.fromkeys(band for modality in MODALITIES.values() for band in modality.bands))
    task = CATALOG.task("eurosat_sim").model_copy(update={"bands": bands})
    adapter = InputAdapter(spec, task, CATALOG.recipe("probing"))
    if folder is None:
        return load_backbone(spec.model_copy(update={"weights": None, "random_seed": 0}), adapter)
    path = folder / "TerraMind_v1_base.pt"
    torch.save(published_state() if state is None else state, path)
    return load_backbone(spec, adapter, weights=path)


def batch(modalities: tuple[str, ...]) -> ModelInput:
    pixels = torch.cat([golden()[f"input/{name}"] for name in modalities], dim=1)
    valid = torch.ones(len(pixels), *pixels.shape[-2:], dtype=torch.bool)
    return ModelInput(pixels, valid, (True,) * pixels.shape[1])


@pytest.mark.parametrize("slug", ENTRIES)
def test_every_block_equals_the_reference_implementation(tmp_path, slug):
    """terratorch 1.2.13 gave the golden file in an environment of its own.

    Its ``TerraMindViT`` with the modalities S2L2A, S2L1C and S1GRD and the arguments of ``terramind_v1_base`` (no
    biases, gated MLP, norms with 1e-6), but of width 16, 2 blocks, 2 heads and 32 pixels, got random values in every
    parameter, rounded so that half precision holds them. Stored are its state dict, which has the layout of the
    published file, one random input per modality, and its tokens before the first block, after each block (forward
    hooks) and after the last norm, for each modality alone and for S2L2A with S1GRD.
    """
    modalities = ENTRIES[slug]
    loaded = load(tiny(slug), folder=tmp_path)
    assert (loaded.missing_keys, loaded.unexpected_keys) == ((), ())
    taps = loaded.backbone(batch(modalities))
    assert tuple(taps) == ("embed", "block00", "block01", "final")
    for tap, tokens in taps.items():
        expected = golden()[f"{'_'.join(modalities)}/{tap}"]
        assert tokens.shape == expected.shape
        assert (tokens - expected).abs().max() <= 3e-6 * expected.abs().max(), tap


def test_positions_are_those_of_the_file():
    stored = golden()["weights/encoder_embeddings.untok_sen2l2a@224.pos_emb"]
    torch.testing.assert_close(grid_positions(2, 16), stored[0])


def test_modalities_are_groups_of_tokens_one_after_the_other():
    backbone = load(tiny("terramind_v1_s1s2")).backbone
    images = batch(("S2L2A", "S1GRD"))
    images.valid[0, :16, 16:] = False
    taps = backbone(images)
    assert backbone.layout(images) == TokenLayout((2, 2), 0, ("S2L2A", "S1GRD"))
    assert backbone.token_mask(images)[0].tolist() == [True, False, True, True] * 2
    assert torch.equal(backbone.forward_to(images, 1), taps["block00"])
    changed = ModelInput(images.pixels.clone(), images.valid, images.present)
    changed.pixels[:, 12:] = 0
    embedded = backbone(changed)["embed"]
    assert torch.equal(embedded[:, :4], taps["embed"][:, :4])
    assert not torch.equal(embedded[:, 4:], taps["embed"][:, 4:])


def test_submodules_are_the_parts_of_the_computation():
    """Query, key and value give the attention, and a block adds its attention and its gated MLP to its input."""
    backbone = load(tiny()).backbone
    parts, seen = backbone.submodules(), {}
    for name, part in parts.items():
        part.module.register_forward_hook(
            lambda _, __, output, name=name, part=part: seen.update({name: output[..., part.part or slice(None)]})
        )
    taps = backbone(batch(("S2L2A",)))
    assert tuple(parts) == tuple(f"block{i:02d}.{name}" for i in range(2) for name in SUBMODULES)
    before = taps["embed"]
    for index, block in enumerate(backbone.network.encoder):
        tap = {name: seen[f"block{index:02d}.{name}"] for name in SUBMODULES}
        torch.testing.assert_close(tap["norm1"], functional.layer_norm(before, (16,), block.norm1.weight, eps=1e-6))
        heads = [tap[name].unflatten(-1, (2, 8)).transpose(1, 2) for name in ("q", "k", "v")]
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        torch.testing.assert_close(tap["attn_proj"], block.attn.proj(mixed))
        gated = functional.silu(tap["fc1"]) * block.mlp.fc3(tap["norm2"])
        torch.testing.assert_close(tap["fc2"], block.mlp.fc2(gated))
        after = taps[f"block{index:02d}"]
        torch.testing.assert_close(after, before + tap["attn_proj"] + tap["fc2"])
        before = after


@pytest.mark.parametrize(
    ("slug", "fields", "message"),
    [
        ("terramind_v1", {"options": {"modalities": ["S2L1C"]}}, "need the 13 bands B01, .* the entry has 12: B01"),
        ("terramind_v1_l1c", {"options": {"modalities": ["S2L2A"]}}, "need the 12 bands .* the entry has 13"),
        ("terramind_v1_s1", {"bands": ("VH", "VV")}, "need the 2 bands VV, VH, the entry has 2: VH, VV"),
        ("terramind_v1_l1c", {"product": "L2A"}, "S2L1C need L1C pixels, but the entry has product = 'L2A'"),
        ("terramind_v1_s1", {"product": "L2A"}, "S1GRD need GRD pixels, but the entry has product = 'L2A'"),
        ("terramind_v1_s1s2", {"product": "GRD"}, "S2L2A, S1GRD need L2A pixels, but the entry has product = 'GRD'"),
        ("terramind_v1_s1rtc", {"product": "GRD"}, "S1RTC need RTC pixels, but the entry has product = 'GRD'"),
        ("terramind_v1_s1s2", {"radar": "RTC"}, "S2L2A, S1GRD need GRD pixels, but the entry has radar = 'RTC'"),
        ("terramind_v1", {"product": "any"}, "S2L2A need L2A pixels, but the entry has product = 'any'"),
        (
            "terramind_v1",
            {"options": {"modalities": []}},
            "must list some of S2L2A, S2L1C, RGB, S1GRD, S1RTC once each",
        ),
        ("terramind_v1", {"options": {"modalities": ["S2"]}}, r"once each, found \['S2'\]"),
        ("terramind_v1", {"options": {"stem": "S2L2A"}}, r"unknown options \['stem'\] for terramind"),
        ("terramind_v1", {"options": {"num_heads": 3}}, "num_heads must divide the width 16, found 3"),
        ("terramind_v1", {"image_size": 30}, "multiple of the patch size of 16 pixels, found 30"),
        ("terramind_v1", {"prefix": 1}, "expected prefix = 0"),
    ],
)
def test_entries_that_contradict_the_architecture_say_why(slug, fields, message):
    with pytest.raises(ContractError, match=message):
        load(tiny(slug, **fields))


@pytest.mark.parametrize("slug", ["terramind_v1", "terramind_v1_l1c"])
def test_product_of_the_pixels_is_compared_with_the_modality(slug):
    report = InputAdapter(tiny(slug), CATALOG.task("eurosat_sim"), CATALOG.recipe("probing")).report
    assert report.product_mismatch == (slug == "terramind_v1")
    assert report.product_found == "L1C"


def test_twelve_bands_in_the_file_do_not_fit_a_stem_of_thirteen(tmp_path):
    state = published_state()
    key = "encoder_embeddings.untok_sen2l{}@224.proj.weight"
    state[key.format("1c")] = state[key.format("2a")]
    with pytest.raises(WeightsError, match=r"untok_sen2l1c@224\.proj\.weight: file \(16, 3072\), model \(16, 3328\)"):
        load(tiny("terramind_v1_l1c"), state, tmp_path)


def test_files_of_another_layout_are_refused(tmp_path):
    state = published_state()
    without = {name: tensor for name, tensor in state.items() if "sen1grd" not in name}
    with pytest.raises(WeightsError, match=r"3 missing keys \(encoder_embeddings\.untok_sen1grd@224\.mod_emb"):
        load(tiny("terramind_v1_s1s2"), without, tmp_path)
    with pytest.raises(WeightsError, match=r"missing keys .*unexpected keys \(model\.decoder"):
        load(tiny(), {f"model.{name}": tensor for name, tensor in state.items()}, tmp_path)
    with pytest.raises(WeightsError, match=r"unexpected keys \(decoder\.0\.norm1\.weight"):
        load(tiny(weights={"drop": ()}), folder=tmp_path)
    prefixed = {f"model.{name}": tensor for name, tensor in state.items()}
    assert load(tiny(weights={"strip_prefix": "model."}), prefixed, tmp_path).unexpected_keys == ()


def test_norms_have_no_bias_so_one_that_is_not_zero_is_refused(tmp_path):
    state = published_state() | {"encoder.0.norm2.bias": torch.ones(16)}
    with pytest.raises(WeightsError, match=r"1 unexpected keys \(encoder\.0\.norm2\.bias\)"):
        load(tiny(), state, tmp_path)
    without = {name: tensor for name, tensor in published_state().items() if not name.endswith("norm2.bias")}
    assert load(tiny(), without, tmp_path).missing_keys == ()


def test_truncated_file_is_refused(tmp_path):
    path = tmp_path / "TerraMind_v1_base.pt"
    torch.save(published_state(), path)
    os.truncate(path, path.stat().st_size // 2)
    adapter = InputAdapter(tiny(), CATALOG.task("eurosat_sim"), CATALOG.recipe("probing"))
    with pytest.raises(WeightsError, match=r"TerraMind_v1_base\.pt: cannot be read .*truncated"):
        load_backbone(tiny(), adapter, weights=path)
