"""Batches of a training: crops that are encoded in every step, or stored feature maps; prepared ahead for a GPU."""

import functools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
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
from geofm_eval.dense.windows import Window, cut, cut_target, flipped, random_window, window_around
from geofm_eval.errors import DataError
from geofm_eval.seeds import generator

TRIALS = 10
"""Random windows that are tried until one has a labelled pixel."""

MOST_BYTES = 256 * 2**20
"""Memory for the decoded samples of a training."""

GPU_THREADS = 4
"""Threads that read ahead for a GPU; each keeps one more batch in memory."""


@dataclass(frozen=True)
class Batch:
    """Examples of one step: either images or feature maps.

    Args:
        target: (B, size, size) int64 classes, or float32 values.
        images: images to encode; None if ``maps`` are given.
        maps: (B, T, D, h, w) per tap; None if ``images`` are given.
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
        """Return the examples at some positions as seen in an epoch."""


def target_tensor(targets: Sequence[NDArray[np.generic]], task: TaskSpec) -> Tensor:
    """Stack targets (height, width) to (B, height, width) int64, or float32 for regression."""
    kind = np.float32 if task.numeric else np.int64
    return torch.from_numpy(np.stack([np.asarray(target, dtype=kind) for target in targets]))


Pair = tuple[RawImage, NDArray[np.generic]]
"""Image and target (height, width); the target of a whole sample is (1, 1)."""


class InMemory:
    """Samples that are read once if they fit into memory, so that small data sets are decoded only in the first epoch.

    Args:
        read: reads the sample at a position of the split.
        most: memory limit in bytes.
    """

    def __init__(self, read: Callable[[int], Pair], most: int = MOST_BYTES) -> None:
        self._read, self.left = read, most
        self._kept: dict[int, Pair] = {}

    def pair(self, item: int) -> Pair:
        """Return image and target of a sample, which must not be changed."""
        if item in self._kept:
            return self._kept[item]
        image, target = self._read(item)
        size = image.pixels.nbytes + image.valid.nbytes + target.nbytes
        if size <= self.left:
            self.left -= size
            self._kept[item] = (image, target)
        return image, target


@dataclass(frozen=True)
class ReadSamples(ABC):
    """Samples that are read in every epoch and mirrored at random, depending only on seed, epoch and sample.

    Args:
        split: training split.
        indices: positions of the samples.
        adapter: input adapter of the model and the task.
        seed: seed of windows and mirrors.
        flips: whether samples are mirrored.
    """

    split: Split
    indices: NDArray[np.int64]
    adapter: InputAdapter
    seed: int
    flips: bool = True

    @functools.cached_property
    def _read(self) -> InMemory:
        return InMemory(self.split.read_pair)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.indices)

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """Read, mirror and adapt samples; see ``Samples``."""
        items = [int(self.indices[position]) for position in chosen]
        pairs = [self._example(item, epoch) for item in items]
        images = self.adapter([image for image, _ in pairs])
        target = target_tensor([target for _, target in pairs], self.split.task)
        return Batch(target, images, None, tuple(self.split.items[item].id for item in items))

    @abstractmethod
    def _example(self, item: int, epoch: int) -> Pair: ...

    def _axes(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Axes along which a sample is mirrored."""
        return tuple(axis for axis in (-2, -1) if self.flips and rng.random() < 0.5)


@dataclass(frozen=True)
class RandomCrops(ReadSamples):
    """One random window of every chip per epoch, ``size`` pixels wide."""

    size: int = field(kw_only=True)

    def _example(self, item: int, epoch: int) -> Pair:
        image, target = self._read.pair(item)
        known = labelled(target, self.split.task)
        if not known.any():
            raise DataError(
                f"{self.split.items[item].path}: no pixel of the chip has a label. Set inspect = true in the catalog "
                f"entry of task '{self.split.task.slug}', which excludes and counts such chips"
            )
        rng = generator("crop", self.seed, epoch, self.split.items[item].id)
        window = self._window(known, rng)
        return flipped(cut(image, window), cut_target(target, window, self.split.task), self._axes(rng))

    def _window(self, known: NDArray[np.bool_], rng: np.random.Generator) -> Window:
        for _ in range(TRIALS):
            window = random_window(known.shape, self.size, rng)
            if known[window.area].any():
                return window
        # A large chip with few labels: a window around one of them.
        return window_around(rng.choice(np.argwhere(known)), known.shape, self.size)


@dataclass(frozen=True)
class StoredMaps:
    """Stored feature maps of a fixed grid of windows; as with random crops, an epoch has one window of every chip.

    A training on stored maps thus takes as many steps as one that encodes, whatever the window size.

    Args:
        maps: (n, T, D, h, w) float32 per tap, memory-mapped.
        targets: (n, size, size).
        task: determines the dtype of the targets.
        chips: ids of the chips.
        windows: positions of each chip's windows with a labelled pixel.
        seed: seed of the order of a chip's windows.
    """

    maps: tuple[NDArray[np.float32], ...]
    targets: NDArray[np.generic]
    task: TaskSpec
    chips: tuple[str, ...]
    windows: tuple[NDArray[np.int64], ...]
    seed: int

    def __len__(self) -> int:
        """Number of chips."""
        return len(self.chips)

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """Return one window of every chosen chip; see ``Samples``."""
        rows = np.array([self._window(position, epoch) for position in chosen])
        maps = tuple(torch.from_numpy(np.ascontiguousarray(part[rows])) for part in self.maps)
        names = tuple(self.chips[position] for position in chosen)
        return Batch(target_tensor(list(self.targets[rows]), self.task), None, maps, names)

    def _window(self, position: int, epoch: int) -> int:
        """All windows of a chip are used in turn, in a new random order each time."""
        own = self.windows[position]
        turn, number = divmod(epoch, len(own))
        rng = generator("window", self.seed, turn, self.chips[position])
        return int(own[rng.permutation(len(own))[number]])


def stored_samples(
    block: FeatureMapBlock, split: Split, chips: NDArray[np.int64], taps: Sequence[str], seed: int
) -> StoredMaps:
    """Select the windows of some chips that have a labelled pixel."""
    targets, own = block.targets, {int(item): list[int]() for item in chips}
    for row, (item, _) in enumerate(block.windows):
        if item in own and bool(labelled(np.asarray(targets[row]), split.task).any()):
            own[item].append(row)
    seen = {split.items[item].id: np.array(rows) for item, rows in own.items() if rows}
    maps = tuple(block.maps(tap) for tap in taps)
    return StoredMaps(maps, targets, split.task, tuple(seen), tuple(seen.values()), seed)


class Prefetcher:
    """Batches of consecutive steps, prepared ahead by threads, because a GPU should not wait for chips to be read.

    A batch depends only on its step, so threads do not change results.

    Args:
        make: prepares the batch of a step.
        threads: number of threads; 0 prepares every batch on request.
        end: number of steps.
    """

    def __init__(self, make: Callable[[int], Batch], threads: int, end: int) -> None:
        self._make, self._threads, self._end = make, threads, end
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._waiting: deque[tuple[int, Future[Batch]]] = deque()

    def take(self, step: int) -> Batch:
        """Return the batch of a step; an error of its preparation is raised here."""
        if self._pool is None:
            return self._make(step)
        if self._waiting and self._waiting[0][0] != step:
            self._drop()
        begun = step + len(self._waiting)
        for coming in range(begun, min(step + self._threads + 1, self._end)):
            self._waiting.append((coming, self._pool.submit(self._make, coming)))
        return self._waiting.popleft()[1].result()

    def close(self) -> None:
        """Stop the threads."""
        self._drop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _drop(self) -> None:
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
