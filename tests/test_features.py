import errno
import json
import logging
import os
import signal
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from geofm_eval.backbones.base import TokenLayout
from geofm_eval.cache import list_cache
from geofm_eval.catalog import Recipe
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.split import RawImage
from geofm_eval.errors import ContractError, DataError
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.store import StoreError
from tests.processes import process
from tests.tiny import RECIPE, SPEC, TASK, TinyBackbone, TinySplit, tiny_block, tiny_loaded


def key_of(split: TinySplit, recipe: Recipe = RECIPE, **loaded: Any) -> str:
    used = tiny_loaded(**loaded)
    return block_key(used, InputAdapter(used.spec, split.task, recipe), split)  # type: ignore[arg-type]


def extraction_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "items/s" in record.getMessage()]


def test_features_are_the_pooled_tokens_of_every_tap_in_the_order_of_the_items() -> None:
    split = TinySplit(n=7)
    block = tiny_block(split, batch_size=3)
    assert block.ids == split.ids
    assert (block.taps, block.poolings) == (("embed", "block00", "block01", "final"), ("mean", "cls"))
    batch = InputAdapter(SPEC, TASK, RECIPE)([split.read(index) for index in range(7)])
    with torch.no_grad():
        tokens = TinyBackbone()(batch)
    for tap in block.taps:
        np.testing.assert_allclose(
            block.features(tap, "mean"), tokens[tap][:, 1:].mean(1).numpy(), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(block.features(tap, "cls"), tokens[tap][:, 0].numpy(), rtol=1e-5, atol=1e-6)
        assert block.features(tap).dtype == np.float32


def test_features_are_mapped_and_cannot_be_written_to() -> None:
    features = tiny_block(TinySplit()).features("final")
    assert isinstance(features, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        features[0] = 0


def test_a_second_call_reads_the_block_and_one_line_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "geofm_eval")
    split = TinySplit()
    first = tiny_block(split)
    assert tiny_block(split) == first
    assert split.reads == list(range(20))
    (line,) = extraction_lines(caplog)
    assert line.startswith("tiny on squares/train: 20 items in ")


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_does_not_matter(batch_size: int) -> None:
    split = TinySplit(n=20)
    reference = [np.array(tiny_block(split).features(tap)) for tap in SPEC.taps]
    (entry,) = list_cache("features")
    os.rename(entry.path, entry.path.with_name("elsewhere"))
    again = tiny_block(split, batch_size=batch_size)
    assert again.meta["batch_size"] == batch_size
    for tap, features in zip(SPEC.taps, reference, strict=True):
        np.testing.assert_allclose(again.features(tap), features, rtol=1e-5, atol=1e-6)


def test_the_block_says_how_it_was_made() -> None:
    block = tiny_block(TinySplit())
    content = json.loads((block.path / "block.json").read_text())
    assert set(content["files"]) == {f"{t}.{p}.npy" for t in block.taps for p in block.poolings} | {"ids.json"}
    assert block.meta["items"] == 20
    assert block.meta["valid_share"] == 1.0
    assert block.meta["images_per_second"] > 0
    assert block.meta["peak_memory_bytes"] is None
    assert block.meta["inputs"]["expected_bands"] == ["B04", "B03"]
    red, green = block.meta["channels"]
    assert (red["band"], green["band"]) == ("B04", "B03")
    assert red["mean"] == pytest.approx(1.55, abs=0.03)  # half of the items are 2,000 DN brighter, per 1,000 DN
    assert green["mean"] == pytest.approx(0.55, abs=0.03)
    assert green["std"] == pytest.approx(0.9 / 12**0.5, abs=0.01)


def test_the_key_follows_everything_that_determines_the_features() -> None:
    key = key_of(TinySplit())
    other_scale = TASK.model_copy(update={"scale": 2.0})
    other_order = TASK.model_copy(update={"bands": ("B04", "B03")})
    others = [
        key_of(TinySplit(n=21)),
        key_of(TinySplit(task=other_scale)),
        key_of(TinySplit(task=other_order)),
        key_of(TinySplit(), sha256="1" * 64),
        key_of(TinySplit(), spec=SPEC.model_copy(update={"options": {"patch": 2}})),
        key_of(TinySplit(), recipe=RECIPE.model_copy(update={"temporal": "per_date"})),
    ]
    assert len({key, *others}) == 7


def test_the_key_does_not_follow_labels_names_and_validation_budgets() -> None:
    renamed = TASK.model_copy(update={"slug": "cubes", "classes": ("a", "b", "c"), "draws": 3})
    full = RECIPE.model_copy(update={"slug": "mine", "val_budget": "full"})
    assert key_of(TinySplit()) == key_of(TinySplit(task=renamed), recipe=full)


def test_an_unknown_tap_or_pooling_is_refused() -> None:
    block = tiny_block(TinySplit())
    with pytest.raises(ContractError, match=r"'block07' with pooling 'mean'.*taps: embed, block00"):
        block.features("block07")
    with pytest.raises(ContractError, match="poolings: mean, cls"):
        block.features("final", "max")


class BrokenBackbone(TinyBackbone):
    """Does one thing wrong."""

    def __init__(self, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
        super().__init__()
        self.change = change

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        return self.change(super().forward(batch))


def with_nan(tokens: dict[str, Tensor]) -> dict[str, Tensor]:
    tokens["block01"] = tokens["block01"].clone()
    tokens["block01"][2, 3, 0] = float("nan")
    return tokens


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_nan, r"features of tap block01 \(mean\) are not finite for sample train_2.*geofm-eval check"),
        (lambda t: {"final": t["final"]}, r"returned taps \('final',\), expected \('embed'"),
        (lambda t: dict(reversed(t.items())), r"returned taps \('final', .*expected \('embed'"),
        (lambda t: {k: v[:, 1:] for k, v in t.items()}, r"tap embed is .*\(16, 4, 4\), expected float32 \(16, 5, D\)"),
        (lambda t: {k: v.double() for k, v in t.items()}, r"tap embed is torch.float64"),
    ],
    ids=["not-finite", "taps-missing", "taps-reordered", "token-count", "dtype"],
)
def test_a_backbone_that_breaks_its_contract_is_refused(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], said: str
) -> None:
    with pytest.raises(ContractError, match=said):
        tiny_block(TinySplit(), tiny_loaded(BrokenBackbone(change)))
    assert list_cache() == []


def test_an_undeclared_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyBackbone, "layout", lambda *_: TokenLayout((1, 5), 0, ("all",)))
    with pytest.raises(ContractError, match="has 0 prefix tokens, expected prefix = 1"):
        tiny_block(TinySplit())


def test_a_backbone_in_training_mode_is_refused() -> None:
    loaded = tiny_loaded()
    loaded.backbone.blocks[1].train()  # type: ignore[index]
    with pytest.raises(ContractError, match=r"training mode, expected eval"):
        tiny_block(TinySplit(), loaded)


def test_parameters_are_neither_changed_nor_given_gradients() -> None:
    loaded = tiny_loaded()
    before = {name: value.clone() for name, value in loaded.backbone.state_dict().items()}
    tiny_block(TinySplit(), loaded)
    assert all(torch.equal(value, before[name]) for name, value in loaded.backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in loaded.backbone.parameters())


def test_an_item_without_a_valid_pixel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    read = TinySplit.read

    def read_with_gap(self: TinySplit, index: int) -> RawImage:
        image = read(self, index)
        return RawImage(image.pixels, np.zeros_like(image.valid)) if index == 4 else image

    monkeypatch.setattr(TinySplit, "read", read_with_gap)
    with pytest.raises(DataError, match="sample train_4 has no valid patch for tiny"):
        tiny_block(TinySplit())


def test_an_unreadable_item_stops_the_extraction_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read = TinySplit.read

    def read_until_damage(self: TinySplit, index: int) -> RawImage:
        if index == 15:
            raise DataError("train_15.tif: truncated")
        return read(self, index)

    monkeypatch.setattr(TinySplit, "read", read_until_damage)
    with pytest.raises(DataError, match=r"train_15\.tif"):
        tiny_block(TinySplit(), batch_size=4)
    assert list_cache() == []


def test_pixels_without_data_do_not_reach_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    read = TinySplit.read

    def read_with_gap(self: TinySplit, index: int) -> RawImage:
        image = read(self, index)
        valid = image.valid.copy()
        valid[:4, :4] = False  # the first of the four patches
        return RawImage(np.where(valid, image.pixels, np.nan).astype(np.float32), valid)

    monkeypatch.setattr(TinySplit, "read", read_with_gap)
    split = TinySplit(n=5)
    block = tiny_block(split)
    batch = InputAdapter(SPEC, TASK, RECIPE)([split.read(index) for index in range(5)])
    with torch.no_grad():
        expected = TinyBackbone()(batch)["embed"][:, 2:].mean(1)
    np.testing.assert_allclose(block.features("embed"), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert block.meta["valid_share"] == 0.75


def test_a_full_disk_in_the_middle_is_explained_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def append(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("geofm_eval.extraction.ArrayFiles.append", append)
    with pytest.raises(StoreError, match=r"disk is full.*GEOFM_CACHE"):
        tiny_block(TinySplit())
    assert list_cache() == []


def test_a_flipped_byte_is_found_and_the_block_rebuilt() -> None:
    block = tiny_block(TinySplit())
    expected = np.array(block.features("final"))
    path = block.path / "final.mean.npy"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    np.testing.assert_array_equal(tiny_block(TinySplit()).features("final"), expected)
    assert [entry.kind for entry in list_cache()].count("damaged") == 1


def test_ctrl_c_leaves_nothing_and_the_next_run_starts_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "geofm_eval")
    read = TinySplit.read

    def interrupted(self: TinySplit, index: int) -> RawImage:
        if index == 10:
            raise KeyboardInterrupt
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(TinySplit, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tiny_block(TinySplit(), batch_size=5)
    assert list_cache() == []
    assert "stopped after 10 of 20 items" in extraction_lines(caplog)[0]
    assert len(tiny_block(TinySplit()).ids) == 20


def extract_in_process(seconds_per_item: float, done: Path) -> None:
    split = TinySplit(seconds_per_item=seconds_per_item)
    tiny_block(split, batch_size=2)
    done.write_text(str(len(split.reads)))


def test_two_processes_extract_a_block_once(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    processes = [process(extract_in_process, 0.02, file) for file in files]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
    assert sorted(file.read_text() for file in files) == ["0", "20"]


def test_a_killed_extraction_is_never_read(tmp_path: Path) -> None:
    killed = process(extract_in_process, 0.5, tmp_path / "a")
    killed.start()
    folder = geofm_cache() / "features" / "v1"
    deadline = time.monotonic() + 60
    while not list(folder.glob(".*.tmp-*/final.mean.npy")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid or 0, signal.SIGKILL)
    killed.join(10)
    split = TinySplit()
    assert tiny_block(split).features("final").shape == (20, 4)
    assert len(split.reads) == 20
    assert [entry.kind for entry in list_cache()] == ["features"]


def test_peak_memory_does_not_grow_with_the_items() -> None:
    def peak(n: int) -> int:
        split = TinySplit(n=n)
        tracemalloc.start()
        tiny_block(split, batch_size=16)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(16)  # imports and caches of the first call
    few, many = peak(32), peak(512)
    stored = 512 * 4 * 4 * 8
    assert many - few < stored, f"peak grew by {many - few} bytes for {stored} bytes of features"


def test_exact_float32_restores_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with exact_float32():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
