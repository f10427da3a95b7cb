"""Time to extract all taps and poolings of a split, relative to a bare forward loop over the same samples.

Every new block encodes 32 images again to check that features depend on each image alone. This check is timed
separately; the ratio is that of a split of 1,000 images, which would take minutes on a CPU.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geofm_eval.backbones import LoadedBackbone, load_backbone
from geofm_eval.backbones.contract import encode_checked
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import RawImage
from geofm_eval.feature_blocks import BATCH_SIZE, extract

MODEL = "mae_vits16_random"
TASK = load_catalog().task("eurosat_sim")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCHES = {"cpu": 2, "cuda": 8}[DEVICE]
ROUNDS = 4
LIMIT = 1.10
IMAGES = 1000


class NoiseSplit:
    """A split of in-memory noise images, so that neither side of the ratio waits for a disk."""

    task = TASK
    name = "test"
    items_sha256 = "noise"

    def __init__(self, n: int) -> None:
        self.ids = tuple(str(index) for index in range(n))
        noise = np.random.default_rng(0).uniform(0, 5000, (len(TASK.bands), 64, 64)).astype(np.float32)
        self._image = RawImage(noise, np.ones((64, 64), bool))

    def __len__(self) -> int:
        return len(self.ids)

    def check_unchanged(self) -> None:
        """Do nothing: noise has no files."""

    def read(self, index: int) -> RawImage:
        """Return a view of the same noise for every index."""
        return self._image


@pytest.fixture
def one_thread() -> None:
    """Use one thread, as a worker does."""
    torch.set_num_threads(1)


def test_extraction_costs_little_more_than_the_forward_pass(
    one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = load_catalog()
    adapter = InputAdapter(catalog.model(MODEL), TASK, catalog.recipe("probing"))
    loaded = load_backbone(catalog.model(MODEL), adapter, device=DEVICE)
    split: Any = NoiseSplit(BATCHES * BATCH_SIZE[DEVICE])
    bare, whole, checked = [], [], []
    for attempt in range(ROUNDS):
        monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / str(attempt)))
        bare.append(_seconds(lambda: _bare_forward_loop(loaded, adapter, split)))
        whole.append(_seconds(lambda: extract(loaded, adapter, split, device=DEVICE)))
        checked.append(_seconds_of_the_check(loaded, adapter, split))
    small, check, loop = min(whole), min(checked), min(bare)
    ratio = (small - check) / loop + check / (loop * IMAGES / len(split))
    print(
        f"\nextraction of {len(split)} images, 14 taps x 2 poolings, {DEVICE}: {small:.2f} s, including {check:.2f} s "
        f"for the check of the first batch; bare forward loop {loop:.2f} s; ratio for {IMAGES:,} images {ratio:.3f} "
        f"(at most {LIMIT})"
    )
    assert ratio <= LIMIT


def _seconds_of_the_check(loaded: LoadedBackbone, adapter: InputAdapter, split: Any) -> float:
    """Return how much longer a first batch takes than later ones."""
    batch = adapter([split.read(index) for index in range(BATCH_SIZE[DEVICE])]).to(DEVICE)

    def encode(first: bool) -> None:
        encode_checked(loaded, batch, False, first=first)
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    with torch.inference_mode():
        return _seconds(lambda: encode(True)) - _seconds(lambda: encode(False))


def _bare_forward_loop(loaded: LoadedBackbone, adapter: InputAdapter, split: NoiseSplit) -> None:
    """Read, adapt and run the network: no taps, no pooling, nothing written."""
    network: Any = loaded.backbone.network
    size = BATCH_SIZE[DEVICE]
    with torch.inference_mode():
        for start in range(0, len(split), size):
            batch = adapter([split.read(index) for index in range(start, start + size)]).to(DEVICE)
            network.forward_features(batch.pixels)
        if DEVICE == "cuda":
            torch.cuda.synchronize()


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds of some work; on a CPU thread time, so that a busy machine does not change the ratio."""
    clock = time.perf_counter if DEVICE == "cuda" else time.process_time
    started = clock()
    work()
    return clock() - started
