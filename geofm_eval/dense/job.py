"""One dense training: its inputs, everything that determines its result, its network and predictions."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.inspection import labelled
from geofm_eval.data.split import Split
from geofm_eval.dense.batches import InMemory, RandomCrops, Samples, stored_samples
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import TrainingConfig
from geofm_eval.dense.feature_maps import FeatureMapBlock, FeatureMapEncoding, shared_taps
from geofm_eval.dense.inference import ChipPredictor, Predictor, StoredPredictor, counts_of, predictions
from geofm_eval.dense.losses import outputs_of
from geofm_eval.dense.model import DenseModel, TunableModel
from geofm_eval.dense.plan import TRAINING_VERSION
from geofm_eval.dense.temporal import heads_of
from geofm_eval.dense.training import fresh_weights
from geofm_eval.dense.windows import covering, window_size
from geofm_eval.errors import DataError
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import block_key
from geofm_eval.plurals import counted
from geofm_eval.progress import LogProgress, StartProgress

PREDICTED_BYTES = 64 * 2**20
"""Memory for the decoded chips of a split that a job predicts at every validation; a case has a job per seed."""


@dataclass(frozen=True)
class DenseJob:
    """Training of one backbone on one task for one seed.

    Args:
        load: loads the frozen backbone again on every call, because tuning changes it in place.
        splits: train, val and test.
        budget: chips that may be used; the same for all models.
        choice: decoder, tuning, taps and recipe.
        seed: seed of the new weights, the order of chips, windows and dropout.
        device: torch device.
        progress: starts a progress display.
    """

    load: Callable[[], LoadedBackbone]
    adapter: InputAdapter
    splits: Mapping[str, Split]
    budget: ChipBudget
    choice: TrainingConfig
    seed: int
    device: str = "cpu"
    progress: StartProgress = LogProgress

    @property
    def task(self) -> TaskSpec:
        """The task."""
        return self.splits["train"].task

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines a training besides learning rate and seed."""
        loaded = self.loaded
        return {
            "blocks": {name: block_key(loaded, self.adapter, self.splits[name]) for name in ("train", "val")},
            "labels": {name: self.splits[name].labels_sha256 for name in ("train", "val")},
            "chips": {"train": self.budget.train.tolist(), "val": self.budget.val.tolist(), **self._folds},
            "choice": asdict(self.choice),
            "size": self.size,
            **self._windows,
            "task": [self.task.metric, self.task.ignore, len(self.task.classes)],
            "device": torch.device(self.device).type,
            "version": TRAINING_VERSION,
        }

    @property
    def _folds(self) -> dict[str, Any]:
        return {"folds": [fold.tolist() for fold in self.budget.folds]} if self.budget.folds else {}

    @property
    def _windows(self) -> dict[str, Any]:
        """Parts of the identity that only some trainings have: the number of windows, and the mix over dates."""
        shapes = self.splits["train"].shapes
        count = sum(len(covering(*shape, self.size)) for shape in shapes)
        drawn = {"windows": count} if not self._encodes_again and count > len(shapes) else {}
        temporal, width = self.choice.recipe.temporal, self.adapter.model.width
        joined = {"dates": [temporal, heads_of(width)]} if (self.task.dates or 1) > 1 else {}
        return {**drawn, **joined}

    @property
    def _encodes_again(self) -> bool:
        """True if windows are cut and encoded in every epoch."""
        return self.choice.tuning != "frozen" or self.choice.online

    @functools.cached_property
    def loaded(self) -> LoadedBackbone:
        """The frozen backbone."""
        return self.load()

    @functools.cached_property
    def size(self) -> int:
        """Pixels per side of a window."""
        return window_size(self.adapter.model.image_size, self.splits["train"].shapes) // self.choice.zoom

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of a regression target over the labelled training pixels; (0, 1) for classes.

        Raises:
            DataError: the target is constant.
        """
        if self.task.kind != "dense_regression":
            return 0.0, 1.0
        return _pixel_scale(self.splits["train"], self.budget.train.tolist())

    def network(self) -> TunableModel:
        """Return the network before its first step; draws from torch's global generator."""
        fresh_weights(self.seed)
        model = DenseModel(
            self.load().backbone,
            self.choice.tuning,
            self.choice.taps,
            self.choice.decoder,
            outputs_of(self.task),
            native=self.adapter.native,
            dates=self.task.dates or 1,
            temporal=self.choice.recipe.temporal,
            dtype=self.choice.recipe.dtype,
        )
        return model.to(self.device)

    def samples(self, chips: NDArray[np.int64]) -> tuple[Samples, float]:
        """Return examples of some training chips, and the seconds spent on encoding the split (0 if done per step)."""
        split, choice = self.splits["train"], self.choice
        if self._encodes_again:
            crops = RandomCrops(split, chips, self.adapter, self.seed, choice.recipe.flips, size=self.size)
            return crops, 0.0
        block = self._maps("train")
        return stored_samples(block, split, chips, choice.taps, self.seed), block.seconds

    def counts(self, model: TunableModel, name: str, items: Sequence[int]) -> NDArray[Any]:
        """Return the counts of some chips of a split; see ``inference.counts_of``."""
        with exact_float32():
            return np.stack([counts_of(self.task, *pair) for pair in self.pairs(model, name, items)])

    def pairs(
        self, model: TunableModel, name: str, items: Sequence[int]
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield target and prediction (height, width) of some chips of a split."""
        assert isinstance(model, DenseModel)
        if name not in self._predictors:
            self._predictors[name] = self._predictor(name)
        return predictions(model, self._predictors[name], self.task, self._in_memory[name].pair, items, self.scale)

    @functools.cached_property
    def _in_memory(self) -> dict[str, InMemory]:
        """Chips by split, decoded once; not those of the test split, which are predicted once."""
        return {
            name: InMemory(split.read_pair, 0 if name == "test" else PREDICTED_BYTES)
            for name, split in self.splits.items()
        }

    @functools.cached_property
    def _predictors(self) -> dict[str, Predictor]:
        return {}

    def _predictor(self, name: str) -> Predictor:
        device = torch.device(self.device)
        if self.choice.tuning != "frozen":
            return ChipPredictor(self.adapter, self.size, device)
        block = self._maps(name)
        maps = tuple(block.maps(tap) for tap in self.choice.taps)
        return StoredPredictor(maps, block.windows, block.shapes, device)

    def _maps(self, name: str) -> FeatureMapBlock:
        taps, device = shared_taps(self.choice.taps, self.adapter.model.depth), torch.device(self.device)
        encoding = FeatureMapEncoding(
            self.loaded, self.adapter, self.splits[name], taps, self.size, device, self.progress
        )
        return encoding.stored()


def _pixel_scale(split: Split, chips: Sequence[int]) -> tuple[float, float]:
    """Mean and standard deviation of all labelled pixels of some chips, read chip by chip to save memory."""
    known = [_moments(target[labelled(target, split.task)]) for target in map(split.read_target, chips)]
    counts, means, squares = np.array(known, dtype=np.float64).T
    if not counts.any():
        raise DataError(
            f"{split.task.slug}: no labelled pixel in {counted(len(chips), 'training chip')}, expected at least one. "
            "Use a larger label fraction, or check the labels"
        )
    mean = float(np.average(means, weights=counts))
    deviation = float(np.sqrt(np.average(squares + (means - mean) ** 2, weights=counts)))
    if deviation == 0:
        raise DataError(
            f"{split.task.slug}: every labelled pixel of {counted(len(chips), 'training chip')} has the value "
            f"{mean:g}, expected different values. Use a larger label fraction, or check the labels"
        )
    return mean, deviation


def _moments(values: NDArray[Any]) -> tuple[int, float, float]:
    """Number, mean and variance of values; zeros without values."""
    if not values.size:
        return 0, 0.0, 0.0
    return values.size, float(values.mean(dtype=np.float64)), float(values.var(dtype=np.float64))
