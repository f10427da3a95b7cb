"""What a training step sees: crops of chips encoded as they come, or feature maps that were encoded once."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.inspection import labelled
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.split import Split
from geofm_eval.dense.feature_maps import FeatureMapBlock
from geofm_eval.dense.windows import Window, cut, cut_target, flipped
from geofm_eval.errors import DataError
from geofm_eval.seeds import generator

TRIALS = 10
"""Random windows of a chip that are tried until one has a labelled pixel."""

MOST_BYTES = 256 * 2**20
"""Of decoded chips that a training keeps in memory."""


@dataclass(frozen=True)
class Batch:
    """One step's examples: either images or feature maps.

    Args:
        target: (B, size, size) int64 classes, or float32 numbers.
        images: to be encoded; None where ``maps`` are given.
        maps: (B, T, D, h, w) per tap; None where ``images`` are given.
        names: ids of the chips, for messages.
    """

    target: Tensor
    images: ModelInput | None
    maps: tuple[Tensor, ...] | None
    names: tuple[str, ...]


class Samples(Protocol):
    """A training set."""

    def __len__(self) -> int:
        """Number of examples of an epoch."""

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """The examples at some positions as they are seen in an epoch."""


def target_tensor(targets: Sequence[NDArray[np.generic]], task: TaskSpec) -> Tensor:
    """Stack targets (height, width) to (B, height, width) int64, or float32 for numbers."""
    kind = np.float32 if task.numeric else np.int64
    return torch.from_numpy(np.stack([np.asarray(target, dtype=kind) for target in targets]))


Pair = tuple[RawImage, NDArray[np.generic]]
"""Image and target (height, width); of a whole item (1, 1)."""


class InMemory:
    """Items that were read once, as many as fit: small data sets are decoded in the first epoch alone.

    Args:
        read: reads the item at a position of the split.
        most: bytes that may be kept.
    """

    def __init__(self, read: Callable[[int], Pair], most: int = MOST_BYTES) -> None:
        self._read, self.left = read, most
        self._kept: dict[int, Pair] = {}

    def pair(self, item: int) -> Pair:
        """Image and target of an item, not to be written to."""
        if item in self._kept:
            return self._kept[item]
        image, target = self._read(item)
        size = image.pixels.nbytes + image.valid.nbytes + target.nbytes
        if size <= self.left:
            self.left -= size
            self._kept[item] = (image, target)
        return image, target


@dataclass(frozen=True)
class RandomCrops:
    """One random window of every chip per epoch, mirrored at random: a function of seed, epoch and chip alone.

    Args:
        split: the training split.
        indices: positions of the labelled chips.
        adapter: of the model and the task.
        size: pixels per side of a window.
        seed: of windows and mirrors.
        flips: False takes every window as it is.
    """

    split: Split
    indices: NDArray[np.int64]
    adapter: InputAdapter
    size: int
    seed: int
    flips: bool = True

    @functools.cached_property
    def _read(self) -> InMemory:
        return InMemory(self.split.read_pair)

    def __len__(self) -> int:
        """One window of every chip."""
        return len(self.indices)

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """Cut, mirror and adapt; see ``Samples``."""
        items = [int(self.indices[position]) for position in chosen]
        pairs = [self._crop(item, epoch) for item in items]
        images = self.adapter([image for image, _ in pairs])
        target = target_tensor([target for _, target in pairs], self.split.task)
        return Batch(target, images, None, tuple(self.split.items[item].id for item in items))

    def _crop(self, item: int, epoch: int) -> tuple[RawImage, NDArray[np.generic]]:
        image, target = self._read.pair(item)
        known = labelled(target, self.split.task)
        if not known.any():
            raise DataError(
                f"{self.split.items[item].path}: no pixel of the chip has a label. Set inspect = true in the catalog "
                f"entry of task '{self.split.task.slug}', which leaves such chips out and counts them"
            )
        rng = generator("crop", self.seed, epoch, self.split.items[item].id)
        window = self._window(known, rng)
        axes = tuple(axis for axis in (-2, -1) if self.flips and rng.random() < 0.5)
        return flipped(cut(image, window), cut_target(target, window, self.split.task), axes)

    def _window(self, known: NDArray[np.bool_], rng: np.random.Generator) -> Window:
        height, width = known.shape
        for _ in range(TRIALS):
            top, left = (int(rng.integers(0, max(length - self.size, 0) + 1)) for length in (height, width))
            window = Window(top, left, self.size)
            if known[window.area].any():
                return window
        # Few labels in a large chip: a window around one of them.
        row, column = rng.choice(np.argwhere(known))
        top, left = (
            int(np.clip(place - self.size // 2, 0, max(length - self.size, 0)))
            for place, length in ((row, height), (column, width))
        )
        return Window(top, left, self.size)


@dataclass(frozen=True)
class StoredMaps:
    """Feature maps of a fixed grid of windows, encoded once: one window of every chip per epoch, as with random crops.

    A training on stored maps then takes as many steps as one that encodes, whatever the size of windows.

    Args:
        maps: (n, T, D, h, w) float32 per tap, memory-mapped.
        targets: (n, size, size).
        task: for the type of the targets.
        chips: ids of the chips that are examples.
        windows: for each of them the positions of its windows with any labelled pixel.
        seed: of the order in which a chip's windows are seen.
    """

    maps: tuple[NDArray[np.float32], ...]
    targets: NDArray[np.generic]
    task: TaskSpec
    chips: tuple[str, ...]
    windows: tuple[NDArray[np.int64], ...]
    seed: int

    def __len__(self) -> int:
        """One window of every chip."""
        return len(self.chips)

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """See ``Samples``."""
        rows = np.array([self._window(position, epoch) for position in chosen])
        maps = tuple(torch.from_numpy(np.ascontiguousarray(part[rows])) for part in self.maps)
        names = tuple(self.chips[position] for position in chosen)
        return Batch(target_tensor(list(self.targets[rows]), self.task), None, maps, names)

    def _window(self, position: int, epoch: int) -> int:
        """All windows of a chip are seen in turn, in an order that is drawn anew for each turn."""
        own = self.windows[position]
        turn, number = divmod(epoch, len(own))
        rng = generator("window", self.seed, turn, self.chips[position])
        return int(own[rng.permutation(len(own))[number]])


def stored_samples(
    block: FeatureMapBlock, split: Split, chips: NDArray[np.int64], taps: Sequence[str], seed: int
) -> StoredMaps:
    """Take from the maps of a split those windows of some chips that have a labelled pixel."""
    targets, own = block.targets, {int(item): list[int]() for item in chips}
    for row, (item, _) in enumerate(block.windows):
        if item in own and bool(labelled(np.asarray(targets[row]), split.task).any()):
            own[item].append(row)
    seen = {split.items[item].id: np.array(rows) for item, rows in own.items() if rows}
    maps = tuple(block.maps(tap) for tap in taps)
    return StoredMaps(maps, targets, split.task, tuple(seen), tuple(seen.values()), seed)
