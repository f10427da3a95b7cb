"""Tuning for tasks with one label per sample: a linear head on pooled features, trained with the backbone.

A sample counts as an image of one pixel: losses, counts, intervals and the training loop are those of dense tasks.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.labels import label_subsets, validation_plan
from geofm_eval.data.shuffle_splits import item_blocks, published_order, shuffles
from geofm_eval.data.split import ALL, Split
from geofm_eval.dense.batches import InMemory, Pair, ReadSamples, Samples
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.model import PooledModel, TunableModel
from geofm_eval.dense.training import fresh_weights
from geofm_eval.dense.windows import flipped
from geofm_eval.errors import DataError
from geofm_eval.plurals import counted
from geofm_eval.seeds import generator

HELD_SHUFFLES = 4
"""Number of shuffles whose test sets form the test split; as many others form the validation split."""

ITEMS_AT_ONCE = 32


@dataclass(frozen=True)
class WholeItems(ReadSamples):
    """Every sample once per epoch, as an image with a target of one pixel."""

    @functools.cached_property
    def _read(self) -> InMemory:
        return InMemory(functools.partial(labelled_pair, self.split))

    def _example(self, item: int, epoch: int) -> Pair:
        axes = self._axes(generator("mirror", self.seed, epoch, self.split.items[item].id))
        return flipped(*self._read.pair(item), axes)


def labelled_pair(split: Split, item: int) -> Pair:
    """Return a sample, and its label as a target of one pixel."""
    return split.read(item), np.array([[split.items[item].label]])


@dataclass(frozen=True)
class PooledJob(DenseJob):
    """Training of one backbone on a task with one label per sample for one seed; see :class:`DenseJob`."""

    @functools.cached_property
    def size(self) -> int:
        """Pixels per side of the images."""
        return int(self.splits["train"].read(0).valid.shape[-1])

    @property
    def _windows(self) -> dict[str, Any]:
        return {}

    @property
    def _encodes_again(self) -> bool:
        return True

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of a regression target over the training samples; (0, 1) for classes.

        Raises:
            DataError: the target is constant.
        """
        if not self.task.numeric:
            return 0.0, 1.0
        labels = self.splits["train"].labels[self.budget.train]
        mean, deviation = float(labels.mean()), float(labels.std())
        if deviation == 0:
            raise DataError(
                f"{self.task.slug}: the label is {mean:g} in all of {counted(len(labels), 'training sample')}, "
                "expected different values. Use a larger label fraction, or check the labels"
            )
        return mean, deviation

    def network(self) -> PooledModel:
        """Return the network before its first step; draws from torch's global generator."""
        fresh_weights(self.seed)
        model = PooledModel(
            self.load().backbone,
            self.choice.tuning,
            self.choice.taps[0],
            max(len(self.task.classes), 1),
            native=self.adapter.native,
            dtype=self.choice.recipe.dtype,
        )
        return model.to(self.device)

    def samples(self, chips: NDArray[np.int64]) -> tuple[Samples, float]:
        """Return examples of some training samples; nothing is encoded ahead."""
        return WholeItems(self.splits["train"], chips, self.adapter, self.seed, self.choice.recipe.flips), 0.0

    @functools.cached_property
    def _in_memory(self) -> dict[str, InMemory]:
        """Samples by split, decoded once, because they are predicted at every validation."""
        return {name: InMemory(functools.partial(labelled_pair, split)) for name, split in self.splits.items()}

    def pairs(self, model: TunableModel, name: str, items: Sequence[int]) -> Iterator[tuple[Any, Any]]:
        """Yield target and prediction (1, 1) of some samples of a split."""
        assert isinstance(model, PooledModel)
        read, (mean, deviation) = self._in_memory[name], self.scale
        for start in range(0, len(items), ITEMS_AT_ONCE):
            some = [read.pair(item) for item in items[start : start + ITEMS_AT_ONCE]]
            with torch.inference_mode():
                values = model.outputs(self.adapter([image for image, _ in some]).to(self.device)).cpu().numpy()
            for (_, target), own in zip(some, values, strict=True):
                yield target, np.array([[own[0] * deviation + mean if self.task.numeric else own.argmax()]])


def holdout(splits: Mapping[str, Split]) -> Mapping[str, Split]:
    """Return train, val and test of a task with one label per sample, formed from shuffles if the data have no split.

    The first ``HELD_SHUFFLES`` shuffles give the test samples, the next ones the validation samples, and the rest is
    used for training. For cross-validated data, the first fold is for testing and the second for validation. The splits
    are the same for all models and keep blocks together.
    """
    if ALL not in splits:
        return splits
    whole = splits[ALL]
    if whole.folds:
        folds = np.array(whole.folds)
        rows = {
            "train": np.flatnonzero(folds > 1),
            "val": np.flatnonzero(folds == 1),
            "test": np.flatnonzero(folds == 0),
        }
        return {name: replace(_part(whole, name, own), folds=()) for name, own in rows.items()}
    blocks = item_blocks(whole.items, whole.task.options.get("blocks"))
    drawn = shuffles(len(whole), blocks, published_order(whole.items))
    first, second = drawn[:HELD_SHUFFLES], drawn[HELD_SHUFFLES : 2 * HELD_SHUFFLES]
    test, held = (np.unique(np.concatenate([one.test for one in part])) for part in (first, second))
    val = np.setdiff1d(held, test)
    train = np.setdiff1d(np.arange(len(whole)), np.union1d(val, test))
    return {name: _part(whole, name, rows) for name, rows in (("train", train), ("val", val), ("test", test))}


def _part(whole: Split, name: str, rows: NDArray[np.int64]) -> Split:
    items = tuple(whole.items[row] for row in rows)
    return replace(whole, name=name, items=items, dropped=whole.dropped if name == "train" else {})


def item_budget(task: TaskSpec, splits: Mapping[str, Split], fraction: float, matched: bool, seed: int) -> ChipBudget:
    """Return the samples of a label fraction and their validation, as in the first draw of probes.

    Raises:
        DataError: too few samples to hold any out for validation.
    """
    train, val = splits["train"].labels, splits["val"].labels
    (subset,) = label_subsets(train, (fraction,), 1, seed)
    plan = validation_plan(train[subset.indices], val, fraction, 0, "matched" if matched else "full", seed)
    if plan.kind == "none":
        raise DataError(
            f"{task.slug}: found {counted(len(subset.indices), 'training sample')} at {fraction:g} of the labels, too "
            "few to hold any out for the choice of a learning rate; use more labels"
        )
    absent = set(range(len(task.classes))) - set(train[subset.indices].tolist())
    folds = tuple(subset.indices[fold] for fold in plan.folds)
    return ChipBudget(subset.indices, plan.indices, folds, tuple(sorted(absent)))
