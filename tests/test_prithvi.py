"""Prithvi: the reference implementation's numbers at every block, and files that are not its own refused."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.backbones import SUBMODULES, TokenLayout, load_backbone
from geofm_eval.backbones.prithvi import patch_positions
from geofm_eval.catalog import ModelSpec, load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, WeightsError

pytest.importorskip("timm")
CATALOG = load_catalog()
GOLDEN = Path(__file__).parent / "golden" / "prithvi_tiny.npz"


@cache
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}


def published_state() -> dict[str, Tensor]:
    prefix = "weights/"
    return {name.removeprefix(prefix): tensor for name, tensor in golden().items() if name.startswith(prefix)}


def tiny(weights: dict | None = None, **fields) -> ModelSpec:
    entry = CATALOG.model("prithvi_v1")
    rules = entry.weights.model_copy(update=weights or {})
    base = {"depth": 3, "width": 32, "image_size": 32, "options": {"num_heads": 2}, "weights": rules}
    return entry.model_copy(update={**base, **fields})


def load(spec: ModelSpec, state: dict[str, Tensor] | None = None, folder: Path | None = None):
    adapter = InputAdapter(spec, CATALOG.task("eurosat_sim"), CATALOG.recipe("probing"))
    if folder is None:
        return load_backbone(spec.model_copy(update={"weights": None, "random_seed": 0}), adapter)
    path = folder / "Prithvi_EO_V1_100M.pt"
    torch.save(published_state() if state is None else state, path)
    return load_backbone(spec, adapter, weights=path)


def batch(pixels: Tensor | None = None, side: int = 32) -> ModelInput:
    if pixels is None:
        pixels = torch.rand(2, 6, side, side, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(len(pixels), *pixels.shape[-2:], dtype=torch.bool)
    return ModelInput(pixels, valid, (True,) * 6)


def assert_equals_reference(taps: dict[str, Tensor], case: str) -> None:
    for tap, tokens in taps.items():
        expected = golden()[f"{case}/{tap}"]
        assert tokens.shape == expected.shape
        assert (tokens - expected).abs().max() <= 3e-6 * expected.abs().max(), tap


def test_every_block_equals_the_reference_implementation(tmp_path):
    """terratorch 1.2.13 gave the golden file in an environment of its own.

    Its ``PrithviMAE`` for three dates (width 32, 3 blocks, 2 heads, 32 pixels; decoder of width 16, 1 block) got random
    values in every parameter, norms and biases included, rounded so that half precision holds them. Stored are its
    state dict, which has the layout of the published file, two random inputs, and what its ``PrithviViT`` with those
    encoder weights, built for one date and for three, gave before the first block, after each block (forward hooks)
    and after the last norm.
    """
    loaded = load(tiny(), folder=tmp_path)
    assert (loaded.missing_keys, loaded.unexpected_keys) == ((), ())
    taps = loaded.backbone(batch(golden()["dates1/input"][:, :, 0]))
    assert tuple(taps) == ("embed", "block00", "block01", "block02", "final")
    assert_equals_reference(taps, "dates1")


def test_series_gives_what_the_reference_gives_on_several_dates(tmp_path):
    backbone = load(tiny(), folder=tmp_path).backbone
    pixels = golden()["dates3/input"].transpose(1, 2)
    series = ModelInput(pixels, torch.ones(*pixels.shape[:2], 32, 32, dtype=torch.bool), (True,) * 6)
    taps = backbone(series)
    assert tuple(taps) == backbone.taps
    assert_equals_reference(taps, "dates3")
    assert backbone.layout(series) == TokenLayout((2, 2), 1, ("date00", "date01", "date02"))
    torch.testing.assert_close(backbone.network(golden()["dates3/input"]), taps["final"])


def test_positions_are_computed_and_never_loaded(tmp_path):
    """The file's are for three dates; the reference recomputes them too."""
    torch.testing.assert_close(patch_positions(32, (3, 2, 2)), published_state()["encoder.pos_embed"][0, 1:])
    spoiled = published_state() | {"encoder.pos_embed": torch.full((1, 13, 32), torch.nan)}
    loaded = load(tiny(), spoiled, tmp_path)
    assert_equals_reference(loaded.backbone(batch(golden()["dates1/input"][:, :, 0])), "dates1")
    with pytest.raises(ContractError, match="a width divisible by 16, found 24"):
        patch_positions(24, (1, 2, 2))


def test_older_layout_without_prefix_loads_as_well(tmp_path):
    state = {name.removeprefix("encoder.").removeprefix("decoder."): t for name, t in published_state().items()}
    assert "decoder_pred.weight" in state
    loaded = load(tiny(), state, tmp_path)
    assert_equals_reference(loaded.backbone(batch(golden()["dates1/input"][:, :, 0])), "dates1")


def test_layout_mask_and_truncated_forward():
    backbone = load(tiny()).backbone
    images = batch()
    images.valid[0, :16, 16:] = False
    taps = backbone(images)
    assert backbone.layout(images) == TokenLayout((2, 2), 1, ("image",))
    assert backbone.token_mask(images)[0].tolist() == [False, True, False, True, True]
    assert torch.equal(backbone.forward_to(images, 2), taps["block01"])
    with pytest.raises(ContractError, match="blocks must be 1 to 3, found 0"):
        backbone.forward_to(images, 0)


def test_submodules_are_the_parts_of_the_computation():
    """Query, key and value give the attention, and a block adds its attention and its MLP to its input."""
    backbone = load(tiny()).backbone
    parts, seen = backbone.submodules(), {}
    for name, part in parts.items():
        part.module.register_forward_hook(
            lambda _, __, output, name=name, part=part: seen.update({name: output[..., part.part or slice(None)]})
        )
    taps = backbone(batch())
    assert tuple(parts) == tuple(f"block{i:02d}.{name}" for i in range(3) for name in SUBMODULES)
    before = taps["embed"]
    for index, block in enumerate(backbone.network.blocks):
        tap = {name: seen[f"block{index:02d}.{name}"] for name in SUBMODULES}
        torch.testing.assert_close(tap["norm1"], block.norm1(before))
        heads = [tap[name].unflatten(-1, (2, 16)).transpose(1, 2) for name in ("q", "k", "v")]
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        torch.testing.assert_close(tap["attn_proj"], block.attn.proj(mixed))
        torch.testing.assert_close(tap["norm2"], block.norm2(before + tap["attn_proj"]))
        torch.testing.assert_close(tap["fc2"], block.mlp.fc2(functional.gelu(tap["fc1"])))
        after = taps[f"block{index:02d}"]
        torch.testing.assert_close(after, before + tap["attn_proj"] + tap["fc2"])
        before = after


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"strip_prefix": ""},
            r"the weights do not match this architecture: 41 missing keys \(blocks.0.attn.proj.bias",
        ),
        ({"drop": ("mask_token", "pos_embed")}, r"unexpected keys \(decoder\.decoder_blocks\.0"),
        ({"drop": ("decoder", "mask_token")}, r"1 unexpected keys \(pos_embed\)"),
    ],
)
def test_loading_rules_that_do_not_fit_the_file_say_so(tmp_path, rules, message):
    with pytest.raises(WeightsError, match=message):
        load(tiny(rules), folder=tmp_path)


def test_files_of_another_layout_are_refused(tmp_path):
    state = published_state()
    with pytest.raises(WeightsError, match=r"missing keys .*unexpected keys \(vit\.decoder"):
        load(tiny(), {f"vit.{name}": tensor for name, tensor in state.items()}, tmp_path)
    rgb = {"encoder.patch_embed.proj.weight": state["encoder.patch_embed.proj.weight"][:, :3].clone()}
    with pytest.raises(WeightsError, match=r"proj\.weight: file \(32, 3, 1, 16, 16\), model \(32, 6, 1, 16, 16\)"):
        load(tiny(), state | rgb, tmp_path)
    with pytest.raises(WeightsError, match=r"1 missing keys \(blocks\.1\.mlp\.fc1\.weight\)"):
        load(tiny(), {k: v for k, v in state.items() if k != "encoder.blocks.1.mlp.fc1.weight"}, tmp_path)


def test_truncated_file_is_refused(tmp_path):
    load(tiny(), folder=tmp_path)
    path = tmp_path / "Prithvi_EO_V1_100M.pt"
    os.truncate(path, path.stat().st_size // 2)
    adapter = InputAdapter(tiny(), CATALOG.task("eurosat_sim"), CATALOG.recipe("probing"))
    with pytest.raises(WeightsError, match=r"Prithvi_EO_V1_100M\.pt: cannot be read .*truncated"):
        load_backbone(tiny(), adapter, weights=path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"heads": 2}}, r"unknown options \['heads'\] for prithvi; known: num_heads"),
        ({"options": {"num_heads": 5}}, "num_heads must divide the width 32, found 5"),
        ({"options": {"num_heads": "2"}}, "num_heads must divide the width 32, found '2'"),
        ({"image_size": None}, "image_size must be a multiple of the patch size of 16 pixels, found None"),
        ({"image_size": 8}, "multiple of the patch size of 16 pixels, found 8"),
        ({"image_size": 40}, "multiple of the patch size of 16 pixels, found 40"),
        ({"prefix": 0}, "expected prefix = 1 .*found prefix = 0"),
        ({"width": 40}, "a width divisible by 16, found prefix = 1 and width = 40"),
    ],
)
def test_entries_that_contradict_the_architecture_say_why(fields, message):
    with pytest.raises(ContractError, match=message):
        load(tiny(**fields))


def test_images_of_another_size_are_refused():
    with pytest.raises(ContractError, match=r"built for images of 32 pixels, found \(48, 48\); set image_size"):
        load(tiny()).backbone(batch(side=48))


@pytest.mark.parametrize("recipe", ["probing", "pangaea"])
def test_all_dates_of_a_series_are_taken_at_once_under_both_recipes(recipe):
    task = CATALOG.task("pastis_sim")
    adapter = InputAdapter(tiny(), task, CATALOG.recipe(recipe))
    assert (adapter.native, adapter.report.temporal, adapter.report.dates) == (True, "native", 6)
    others = InputAdapter(CATALOG.model("terramind_v1"), task, CATALOG.recipe(recipe))
    assert others.report.temporal == "per_date"


def test_top_of_atmosphere_pixels_are_a_recorded_mismatch():
    report = InputAdapter(tiny(), CATALOG.task("eurosat_sim"), CATALOG.recipe("probing")).report
    assert (report.product_expected, report.product_found, report.product_mismatch) == ("HLS", "L1C", True)
    assert report.real_bands == ("B02", "B03", "B04", "B8A", "B11", "B12")
