"""Inputs of drift measurements: the trained networks, the test samples, the controls, and scores of reverted parts."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geofm_eval.backbones.base import Backbone
from geofm_eval.data.inputs import ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.relabelled import with_shuffled_labels
from geofm_eval.dense.config import Trained
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import merged, train_at
from geofm_eval.dense.plan import CrossValidated, Validation
from geofm_eval.dense.revert import ReversalEffects, score_lost_by_part
from geofm_eval.dense.windows import Window, cut, random_window, window_around
from geofm_eval.devices import device_turn
from geofm_eval.errors import ContractError
from geofm_eval.measure.training_setup import TrainingSetup
from geofm_eval.measure.trainings import CaseTrainings
from geofm_eval.plurals import counted
from geofm_eval.seeds import generator
from geofm_eval.similarity.drift import DriftValues, Networks, compute_drift
from geofm_eval.similarity.features import FEWEST

DRIFT_VERSION = 2
"""Raised whenever the same trainings would give other values."""

MOST_ITEMS = 384
"""Largest number of test samples on which features are compared and reverted networks scored. More samples would not
reduce the uncertainty below that of the seeds, and each is encoded about thirty times."""

BATCH = 16


@dataclass(frozen=True)
class DriftMeasurement:
    """Drift of one tuned case.

    Args:
        trainings: those of the tuned case.

    Raises:
        ContractError: the trainings did not use float32; rounding would exceed small changes.
    """

    trainings: CaseTrainings

    def __post_init__(self) -> None:
        if self._setup.dtype != "float32":
            raise ContractError(
                f"drift is measured in float32, found --dtype {self._setup.dtype}: rounding would look like drift; "
                "remove --dtype"
            )

    @property
    def _setup(self) -> TrainingSetup:
        return self.trainings.setup

    @functools.cached_property
    def trained(self) -> list[Trained]:
        """The tuned networks, one per seed."""
        return self.trainings.run()

    @functools.cached_property
    def shuffled(self) -> list[tuple[DenseJob, Trained]]:
        """The same trainings on shuffled labels."""
        return [on_shuffled_labels(job, one) for job, one in zip(self.trainings.jobs, self.trained, strict=True)]

    @functools.cached_property
    def items(self) -> NDArray[np.int64]:
        """Positions of the test samples, evenly spread over the split, at most ``MOST_ITEMS``.

        Raises:
            ContractError: there are too few for the debiased estimator.
        """
        count = len(self._setup.splits["test"])
        if count < FEWEST:
            raise ContractError(
                f"{self._setup.task.slug}: found {counted(count, 'test sample')}; drift needs at least {FEWEST}. "
                "Choose another task"
            )
        return np.unique(np.linspace(0, count - 1, min(count, MOST_ITEMS)).round().astype(np.int64))

    @functools.cached_property
    def batches(self) -> list[ModelInput]:
        """The samples as input of the backbone: whole, or one window of every chip."""
        images = [self._image(int(item)) for item in self.items]
        adapter, device = self.trainings.jobs[0].adapter, self._setup.workspace.settings.device
        return [adapter(images[start : start + BATCH]).to(device) for start in range(0, len(images), BATCH)]

    def _image(self, item: int) -> RawImage:
        image = self._setup.splits["test"].read(item)
        if not self._setup.task.dense:
            return image
        size, rng = self.trainings.jobs[0].size, generator("drift window", self._setup.splits["test"].ids[item])
        window = cut(image, random_window(image.valid.shape[-2:], size, rng))
        # A window without valid pixels has no features, but the chip has some.
        return window if window.valid.any() else cut(image, _around_valid(image, size))

    def run(self) -> tuple[DriftValues, ReversalEffects]:
        """Measure the drift, and the cost of reverting parts of it.

        Raises:
            Unavailable: weights or a package are missing.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        jobs, trained, groups = self.trainings.jobs, self.trained, self._setup.splits["test"].groups
        with device_turn(self._setup.workspace.settings.device):
            values = compute_drift(
                self._networks(jobs, trained),
                lambda: self.batches,
                jobs[0].adapter.native,
                tokens=self._setup.task.dense,
                groups=None if groups is None else groups[self.items],
            )
            return values, score_lost_by_part(jobs, trained, self.items.tolist())

    def _networks(self, jobs: Sequence[DenseJob], trained: Sequence[Trained]) -> Networks:
        random = self._setup.model.random_seed is not None
        first = jobs[0].loaded.backbone
        return Networks(
            frozen=tuple(job.loaded.backbone if random else first for job in jobs),
            tuned=tuple(_backbone(job, one) for job, one in zip(jobs, trained, strict=True)),
            shuffled=tuple(_backbone(job, one) for job, one in self.shuffled),
            still=_backbone(jobs[0], at_rate_zero(jobs[0], trained[0])),
            again=jobs[0].load().backbone,
        )


def _backbone(job: DenseJob, trained: Trained) -> Backbone:
    return merged(job, trained).backbone


def _around_valid(image: RawImage, size: int) -> Window:
    valid = image.valid if image.valid.ndim == 2 else image.valid.any(axis=0)
    return window_around(np.argwhere(valid)[valid.sum() // 2], valid.shape, size)


def on_shuffled_labels(job: DenseJob, trained: Trained) -> tuple[DenseJob, Trained]:
    """Repeat a training on shuffled training labels, with the same learning rate, number of epochs and seed."""
    rows = job.budget.train.tolist()
    other = replace(job, splits={**job.splits, "train": with_shuffled_labels(job.splits["train"], rows, job.seed)})
    return other, train_at(other, trained.rate, _until(trained, trained.epoch))


def at_rate_zero(job: DenseJob, trained: Trained) -> Trained:
    """Train for an epoch at a learning rate of 0; any difference afterwards was not learned."""
    return train_at(job, 0.0, _until(trained, 1))


def _until(trained: Trained, epoch: int) -> CrossValidated:
    return CrossValidated((Validation(epoch, trained.val_score),), 0.0)
