"""Trainings of a dense case, one per seed, all at the learning rate that seed 0 chooses."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray

from geofm_eval.dense.config import Trained
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import changed, counts_on_test, train_at
from geofm_eval.dense.search import choose_rate, cross_validated
from geofm_eval.devices import device_turn
from geofm_eval.measure.training_setup import TrainingSetup
from geofm_eval.paths import geofm_cache
from geofm_eval.store import content_hash, write_bytes


@dataclass(frozen=True)
class CaseTrainings:
    """All trainings of one dense case.

    Args:
        setup: what is trained, and on what.
        seeds: number of seeds.
        first_seed: seed of the first training; the others follow.
    """

    setup: TrainingSetup
    seeds: int
    first_seed: int = 0

    @functools.cached_property
    def jobs(self) -> tuple[DenseJob, ...]:
        """One training per seed.

        Raises:
            Unavailable: data, weights or a package are missing.
            GeofmError: the data are not what the task declares.
        """
        return tuple(self.setup.job(self.first_seed + number) for number in range(self.seeds))

    @functools.cached_property
    def searcher(self) -> DenseJob:
        """Job of seed 0, which chooses the learning rate of all seeds and, in cross-validation, the epoch.

        Its identity also represents the case, whose jobs differ only by seed.
        """
        return self.jobs[0] if self.first_seed == 0 else self.setup.job(0)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the trainings and their test data, known before anything is trained."""
        test = self.setup.splits["test"]
        return {
            "training": self.searcher.identity,
            "seeds": self.seeds,
            # Left out if 0, so that trainings from seed 0 on keep their key.
            **({"first_seed": self.first_seed} if self.first_seed else {}),
            "rates": self.setup.choice.rates,
            "test": [test.items_sha256, test.labels_sha256],
        }

    def run(self) -> list[Trained]:
        """Train every seed at the learning rate that seed 0, which may not be one of them, chooses on validation.

        If the training chips are cross-validated, all use the epoch chosen by seed 0 too.

        Raises:
            Unavailable: weights or a package are missing.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        jobs = self.jobs  # before the turn on the device, because the dense probe that chooses taps takes one itself
        with device_turn(self.setup.workspace.settings.device):
            rate, validated = choose_rate(self.searcher)
            return [train_at(job, rate, validated) for job in jobs]

    def tested(self, trained: Sequence[Trained]) -> NDArray[Any]:
        """Return counts (seeds, n, ...) of every test chip; see ``inference.counts_of``."""
        with device_turn(self.setup.workspace.settings.device):
            return np.stack([counts_on_test(job, one) for job, one in zip(self.jobs, trained, strict=True)])


def search_seconds(trainings: CaseTrainings, rate: float) -> float:
    """Return the seconds spent on choosing ``rate``: trainings at other rates, or all folds."""
    first, rates = trainings.searcher, trainings.setup.choice.rates
    if trainings.setup.budget.folds:
        return sum(cross_validated(first, tried).seconds for tried in rates)
    if len(rates) == 1:
        return 0.0
    # If seed 0 is not among the seeds, its training at the chosen rate was part of the search as well.
    return sum(train_at(first, tried).seconds["train"] for tried in rates if trainings.first_seed or tried != rate)


def keep_tuned(trainings: CaseTrainings, trained: Sequence[Trained]) -> str:
    """Store the tuned tensors under ``$GEOFM_CACHE/tuned/<key>/seedNN.safetensors``.

    Returns:
        The key; empty if nothing was tuned, or the backbone was trained from scratch.
    """
    setup = trainings.setup
    if setup.choice.tuning == "frozen" or setup.model.from_scratch:
        return ""
    key = content_hash(trainings.identity)
    for job, one in zip(trainings.jobs, trained, strict=True):
        path = tuned_path(key, job.seed)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            about = {"case": setup.case.id, "seed": str(job.seed), "weights_sha256": job.loaded.weights_sha256}
            tensors = {name: value.cpu().contiguous() for name, value in changed(job, one).items()}
            write_bytes(path, safetensors.torch.save(tensors, about))
    return key


def tuned_path(key: str, seed: int) -> Path:
    """Return the path of the tensors that the tuning of a seed changed."""
    return geofm_cache() / "tuned" / key / f"seed{seed:02d}.safetensors"
