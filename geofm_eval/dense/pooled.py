"""Tuning for tasks with one label per item: a linear head on pooled features, trained with the backbone.

An item counts as an image of one pixel: losses, counts, intervals and the training loop are those of dense tasks.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.labels import label_subsets, validation_plan
from geofm_eval.data.shuffle_splits import item_blocks, published_order, shuffles
from geofm_eval.data.split import ALL, Split
from geofm_eval.dense.batches import Batch, InMemory, Pair, Samples, target_tensor
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.model import PooledModel, TunableModel
from geofm_eval.dense.training import fresh_weights
from geofm_eval.dense.windows import flipped
from geofm_eval.errors import DataError
from geofm_eval.seeds import generator

HELD_SHUFFLES = 4
"""Shuffles whose test sets together are tested; those of as many others validate."""

ITEMS_AT_ONCE = 32


@dataclass(frozen=True)
class WholeItems:
    """Every item once per epoch, mirrored at random: a function of seed, epoch and item alone.

    Args:
        split: the training split.
        indices: positions of the items.
        adapter: of the model and the task.
        seed: of mirrors.
        flips: False takes every item as it is.
    """

    split: Split
    indices: NDArray[np.int64]
    adapter: InputAdapter
    seed: int
    flips: bool = True

    @functools.cached_property
    def _read(self) -> InMemory:
        return InMemory(functools.partial(labelled_pair, self.split))

    def __len__(self) -> int:
        """Number of items."""
        return len(self.indices)

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """Read, mirror and adapt; see ``Samples``."""
        items = [int(self.indices[position]) for position in chosen]
        pairs = [self._mirrored(item, epoch) for item in items]
        images = self.adapter([image for image, _ in pairs])
        target = target_tensor([target for _, target in pairs], self.split.task)
        return Batch(target, images, None, tuple(self.split.items[item].id for item in items))

    def _mirrored(self, item: int, epoch: int) -> Pair:
        rng = generator("mirror", self.seed, epoch, self.split.items[item].id)
        axes = tuple(axis for axis in (-2, -1) if self.flips and rng.random() < 0.5)
        image, target = self._read.pair(item)
        return flipped(image, target, axes)


def labelled_pair(split: Split, item: int) -> Pair:
    """An item and its label as a target of one pixel."""
    return split.read(item), np.array([[split.items[item].label]])


@dataclass(frozen=True)
class PooledJob(DenseJob):
    """One backbone, a task with one label per item, and one choice, for one seed; see :class:`DenseJob`."""

    @functools.cached_property
    def size(self) -> int:
        """Pixels per side of the images."""
        return int(self.splits["train"].read(0).valid.shape[-1])

    @property
    def _windows(self) -> dict[str, Any]:
        return {}

    @property
    def _encodes_anew(self) -> bool:
        return True

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of a regression target over the training items; (0, 1) for classes.

        Raises:
            DataError: a constant target.
        """
        if not self.task.numeric:
            return 0.0, 1.0
        labels = self.splits["train"].labels[self.budget.train]
        mean, deviation = float(labels.mean()), float(labels.std())
        if deviation == 0:
            raise DataError(f"{self.task.slug}: the {len(labels)} training items all have {mean:g}: nothing to learn")
        return mean, deviation

    def network(self) -> PooledModel:
        """The network before its first step; PyTorch's global generator is used."""
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
        """Examples of some training items; nothing is encoded ahead."""
        return WholeItems(self.splits["train"], chips, self.adapter, self.seed, self.choice.recipe.flips), 0.0

    def _in_memory(self, name: str) -> InMemory:
        """Items of a split, decoded once: they are predicted after every epoch that is validated."""
        if name not in self._memory:
            self._memory[name] = InMemory(functools.partial(labelled_pair, self.splits[name]))
        return self._memory[name]

    @functools.cached_property
    def _memory(self) -> dict[str, InMemory]:
        return {}

    def pairs(self, model: TunableModel, name: str, items: Sequence[int]) -> Iterator[tuple[Any, Any]]:
        """Target and prediction (1, 1) of some items of a split, one after another."""
        assert isinstance(model, PooledModel)
        read, (mean, deviation) = self._in_memory(name), self.scale
        for start in range(0, len(items), ITEMS_AT_ONCE):
            some = [read.pair(item) for item in items[start : start + ITEMS_AT_ONCE]]
            with torch.inference_mode():
                values = model.outputs(self.adapter([image for image, _ in some]).to(self.device)).cpu().numpy()
            for (_, target), own in zip(some, values, strict=True):
                yield target, np.array([[own[0] * deviation + mean if self.task.numeric else own.argmax()]])


def holdout(splits: Mapping[str, Split]) -> Mapping[str, Split]:
    """Train, val and test of a task with one label per item, cut from the shuffles where the data have no split.

    What the first ``HELD_SHUFFLES`` shuffles test, all together, is tested; what the next ones test validates; the rest
    trains. The same for all models, and whole blocks where the task has them.
    """
    if ALL not in splits:
        return splits
    whole = splits[ALL]
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
    """Items of a label fraction, and how a training is validated: the first draw of what probes see.

    Raises:
        DataError: so few items that nothing can be held out to choose by.
    """
    train, val = splits["train"].labels, splits["val"].labels
    (subset,) = label_subsets(train, (fraction,), 1, seed)
    plan = validation_plan(train[subset.indices], val, fraction, 0, "matched" if matched else "full", seed)
    if plan.kind == "none":
        raise DataError(
            f"{task.slug}: {len(subset.indices)} training items at {fraction:g} of the labels leave nothing to choose "
            "a learning rate by: take more labels"
        )
    absent = set(range(len(task.classes))) - set(train[subset.indices].tolist())
    folds = tuple(subset.indices[fold] for fold in plan.folds)
    return ChipBudget(subset.indices, plan.indices, folds, tuple(sorted(absent)))
