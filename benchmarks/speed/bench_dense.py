"""Time of a training epoch on stored feature maps relative to an epoch that encodes, in one process."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.speed.common import noise_split
from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.catalog.dense import FOUR_BLOCKS, block_taps
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense.batches import Samples
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import TrainingConfig
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.plan import TrainingPlan
from geofm_eval.dense.recipes import training_recipe
from geofm_eval.dense.training import _Loop

CATALOG = load_catalog()
TASK = CATALOG.task("sen1floods11_sim").model_copy(update={"nodata": None})
MODEL = CATALOG.model("mae_vits16_random")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHIPS = {"cpu": 8, "cuda": 256}[DEVICE]
SIDE = 224
EPOCHS = 3
LIMIT = 5.0
"""Required speedup, for decoders that are light compared with a ViT-S."""


def _job(decoder: str, online: bool) -> DenseJob:
    adapter = InputAdapter(MODEL, TASK, CATALOG.recipe("probing"))
    loaded = load_backbone(MODEL, adapter, device=DEVICE)
    splits = {name: noise_split(TASK, name, count, SIDE) for name, count in (("train", CHIPS), ("val", 1), ("test", 1))}
    taps = block_taps(FOUR_BLOCKS, MODEL.depth)
    single = decoder.startswith(("single", "tokenlinear"))
    choice = TrainingConfig(decoder, "frozen", taps[-1:] if single else taps, training_recipe("pangaea"), online=online)
    return DenseJob(lambda: loaded, adapter, splits, ChipBudget(np.arange(CHIPS), np.arange(1)), choice, 0, DEVICE)


def _epoch(job: DenseJob, samples: Samples) -> float:
    """Seconds of the fastest of some epochs of optimiser steps, after one step that is not timed."""
    loop = _Loop(job.network(), samples, TASK, TrainingPlan(job.choice.recipe, 1e-4, 0), torch.device(DEVICE))
    loop.advance()
    seconds = []
    for _ in range(EPOCHS):
        began = time.perf_counter()
        for _ in range(loop.steps_per_epoch):
            loop.advance()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


@pytest.mark.parametrize(
    ("decoder", "limit"),
    [
        ("tokenlinear", LIMIT),
        ("single", LIMIT),
        ("single_w064", LIMIT),
        ("lightms", None),
        ("upernet_w064", None),
        ("upernet", None),
    ],
)
def test_an_epoch_on_stored_maps_is_faster(
    decoder: str, limit: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path))
    seconds: dict[bool, float] = {}
    for online in (True, False):
        job = _job(decoder, online)
        seconds[online] = _epoch(job, job.samples(job.budget.train)[0])
    ratio = seconds[True] / seconds[False]
    wanted = f" (at least {limit})" if limit else ""
    print(
        f"\n{decoder}, ViT-S/16, {CHIPS} windows of {SIDE} px, {DEVICE}: epoch {seconds[False]:.2f} s on stored maps, "
        f"{seconds[True]:.2f} s encoding; {ratio:.1f} times faster{wanted}"
    )
    assert limit is None or ratio >= limit
