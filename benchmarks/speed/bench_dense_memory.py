"""Memory of a training is constant over epochs and numbers of chips, with and without stored feature maps."""

import multiprocessing
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from benchmarks.speed.common import anonymous_mib, noise_split
from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense import batches
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import TrainingConfig
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import train_at
from geofm_eval.dense.recipes import TrainingRecipe

CATALOG = load_catalog()
TASK = CATALOG.task("sen1floods11_sim").model_copy(update={"nodata": None})
MODEL = CATALOG.model("pocket_random")
SIDE = 128
FEW, MANY = 64, 512
"""Numbers of chips."""
ALLOWED = 1.15
"""Allowed ratio of anonymous memory with eight times as many chips or epochs."""


def _train(tuning: str, chips: int, epochs: int, cache: str) -> float:
    """Train, and return the largest memory in use after an epoch."""
    torch.set_num_threads(1)
    os.environ["GEOFM_CACHE"] = cache
    batches.MOST_BYTES = 16 * 2**20  # the cache for small data sets is already full with the few chips
    adapter = InputAdapter(MODEL, TASK, CATALOG.recipe("probing"))
    splits = {name: noise_split(TASK, name, count, SIDE) for name, count in (("train", chips), ("val", 2), ("test", 2))}
    recipe = TrainingRecipe("memory", epochs=epochs, validate_every=1)
    choice = TrainingConfig("lightms", tuning, ("block03", "block05", "block07", "block11"), recipe)
    seen: list[float] = []
    counts = DenseJob.counts

    def load() -> Any:
        return load_backbone(MODEL, adapter)

    def counted(*args: Any) -> Any:
        seen.append(anonymous_mib())
        return counts(*args)

    job = DenseJob(load, adapter, splits, ChipBudget(np.arange(chips), np.arange(2)), choice, 0)
    with patch.object(DenseJob, "counts", counted):
        train_at(job, 1e-3)
    return max(seen)


@pytest.mark.parametrize("tuning", ["frozen", "lnbias"])
def test_memory_is_flat_over_epochs_and_chips(tuning: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:  # a fresh process for each measurement
        few, many, longer = (
            pool.apply(_train, (tuning, chips, epochs, str(tmp_path / str(number))))
            for number, (chips, epochs) in enumerate(((FEW, 1), (MANY, 1), (FEW, 8)))
        )
    print(
        f"\n{tuning}: {few:.0f} MiB with {FEW} chips of {SIDE} px; {many:.0f} MiB with {MANY} chips; "
        f"{longer:.0f} MiB after 8 epochs instead of 1"
    )
    assert many <= ALLOWED * few
    assert longer <= ALLOWED * few
