"""Tokens and the pixels that they cover: targets, samples for the dense probe, and the best score of a token grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.backbones.contract import encode_checked
from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.inspection import labelled
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.split import Split
from geofm_eval.dense.inference import WINDOWS_AT_ONCE, counts_of, joined, score_of
from geofm_eval.dense.maps import feature_map, tokens_with_data
from geofm_eval.dense.windows import Window, covering, cut, cut_target
from geofm_eval.errors import ContractError
from geofm_eval.seeds import generator

MOST_TOKENS = 20_000
"""Largest number of tokens in a sample; a linear probe of a thousand channels gains nothing from more."""


@dataclass(frozen=True)
class TokenSample:
    """Tokens of a split.

    Args:
        features: (n, D) float32 per tap.
        targets: (n, K) float64 class proportions, or (n, 1) means.
        weights: (n,) float64 proportion of labelled pixels.
        chips: (n,) int64 position of the chip in the split.
    """

    features: dict[str, NDArray[np.float32]]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]
    chips: NDArray[np.int64]

    def of(self, chips: NDArray[np.int64]) -> "TokenSample":
        """Return the tokens of some chips."""
        return self.rows(np.isin(self.chips, chips))

    def rows(self, rows: NDArray[np.bool_]) -> "TokenSample":
        """Select tokens."""
        if rows.all():
            return self  # a copy of all features would be as large again
        features = {tap: values[rows] for tap, values in self.features.items()}
        return TokenSample(features, self.targets[rows], self.weights[rows], self.chips[rows])


@dataclass(frozen=True)
class WindowMaps:
    """Some encoded windows of a chip.

    Args:
        windows: positions of the windows.
        with_data: (B, h, w) bool, False for tokens without a valid pixel on any date.
        taps: maps (B, D, h, w) by tap; tokens without data are filled from their neighbours.
    """

    windows: list[Window]
    with_data: Tensor
    taps: dict[str, Tensor]


@dataclass(frozen=True)
class TokenEncoder:
    """A frozen backbone that turns windows of ``size`` pixels into maps of all its taps, averaged over dates."""

    loaded: LoadedBackbone
    adapter: InputAdapter
    size: int
    device: torch.device

    def grid(self, image: RawImage) -> tuple[int, int]:
        """Return the tokens (h, w) of a window."""
        batch = self.adapter([cut(image, Window(0, 0, self.size))]).to(self.device)
        return self.loaded.backbone.layout(batch).grid

    def maps(self, image: RawImage, windows: list[Window], *, first: bool = False) -> Iterator[WindowMaps]:
        """Yield the maps of some windows of a chip.

        Args:
            image: the chip.
            windows: windows of the chip.
            first: True for the first chip, see :func:`geofm_eval.backbones.contract.encode_checked`.

        Raises:
            ContractError: the backbone violates its contract, or a feature is not finite.
        """
        at_once = min(WINDOWS_AT_ONCE, self.loaded.backbone.windows_at_once)
        for start in range(0, len(windows), at_once):
            some = windows[start : start + at_once]
            batch = self.adapter([cut(image, window) for window in some]).to(self.device)
            encoded = encode_checked(self.loaded, batch, self.adapter.native, first=first and start == 0)
            found = {tap: feature_map(encoded, tap).mean(1) for tap in self.loaded.spec.taps}
            for tap, values in found.items():
                if not bool(torch.isfinite(values).all()):
                    raise ContractError(
                        f"{self.loaded.spec.slug}: features of '{tap}' are not finite; check the weights, and the "
                        "input with 'geofm-eval check MODEL TASK'"
                    )
            yield WindowMaps(some, tokens_with_data(encoded).any(1), found)


def sample_tokens(encoder: TokenEncoder, split: Split, seed: int, most: int = MOST_TOKENS) -> TokenSample:
    """Encode a split and sample tokens with data and a labelled pixel.

    The sample of labelled tokens depends only on the grid and the seed; those without data are then left out.
    """
    grid = encoder.grid(split.read(0))
    known = _known_tokens(split, encoder.size, grid)
    counts = [int(own.sum()) for own in known]
    total = sum(counts)
    drawn = np.arange(total)
    if total > most:
        drawn = np.sort(generator("dense probe", seed, split.name).choice(total, most, replace=False))
    found, begun = _Drawn.empty(encoder, split.task, len(drawn)), 0
    for item, (own, count) in enumerate(zip(known, counts, strict=True)):
        first, last = (int(end) for end in np.searchsorted(drawn, [begun, begun + count]))
        if last > first:
            found.read(encoder, split, item, np.flatnonzero(own)[drawn[first:last] - begun], slice(first, last))
        begun += count
    return found.sample.rows(found.with_data)


@dataclass(frozen=True)
class _Drawn:
    """Arrays for the drawn tokens of a split, filled chip by chip.

    Args:
        sample: tokens.
        with_data: (n,) bool, False for tokens without data.
    """

    sample: TokenSample
    with_data: NDArray[np.bool_]

    @classmethod
    def empty(cls, encoder: TokenEncoder, task: TaskSpec, count: int) -> "_Drawn":
        """Allocate the arrays."""
        width, classes = encoder.loaded.backbone.width, 1 if task.numeric else len(task.classes)
        features = {tap: np.empty((count, width), np.float32) for tap in encoder.loaded.spec.taps}
        sample = TokenSample(features, np.empty((count, classes)), np.empty(count), np.empty(count, np.int64))
        return cls(sample, np.zeros(count, dtype=np.bool_))

    def read(self, encoder: TokenEncoder, split: Split, item: int, tokens: NDArray[np.int64], rows: slice) -> None:
        """Encode one chip, and fill in its drawn tokens at some rows."""
        image, target = split.read_pair(item)
        windows = covering(int(target.shape[0]), int(target.shape[1]), encoder.size)
        self.sample.chips[rows], begun = item, 0
        for encoded in encoder.maps(image, windows, first=rows.start == 0):
            grid = (int(encoded.with_data.shape[1]), int(encoded.with_data.shape[2]))
            number = len(encoded.windows) * grid[0] * grid[1]
            first, last = (int(end) for end in np.searchsorted(tokens, [begun, begun + number]))
            if last > first:
                found = np.divmod(tokens[first:last] - begun, grid[0] * grid[1])
                places = torch.from_numpy(found[0]), torch.from_numpy(found[1])
                cuts = [cut_target(target, window, split.task) for window in encoded.windows]
                self._fill(slice(rows.start + first, rows.start + last), encoded, places, cuts, split.task)
            begun += number

    def _fill(
        self,
        rows: slice,
        encoded: WindowMaps,
        places: tuple[Tensor, Tensor],
        cuts: list[NDArray[Any]],
        task: TaskSpec,
    ) -> None:
        window, place = places
        grid = (int(encoded.with_data.shape[1]), int(encoded.with_data.shape[2]))
        self.with_data[rows] = encoded.with_data.cpu().flatten(1)[window, place].numpy()
        for tap, values in encoded.taps.items():
            self.sample.features[tap][rows] = values.cpu().flatten(2).transpose(1, 2)[window, place].numpy()
        targets, shares = zip(*(token_targets(cut, grid, task) for cut in cuts), strict=True)
        self.sample.targets[rows] = torch.stack(targets).flatten(2).transpose(1, 2)[window, place].numpy()
        self.sample.weights[rows] = torch.stack(shares).flatten(1)[window, place].numpy()


def _known_tokens(split: Split, size: int, grid: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Whether each token has a labelled pixel, for every chip of a split, window by window.

    Targets are read again for the drawn tokens, because those of all pixels of a split may not fit into memory.
    """
    found = []
    for item in range(len(split)):
        target = split.read_target(item)
        windows = covering(int(target.shape[0]), int(target.shape[1]), size)
        parts = [token_targets(cut_target(target, one, split.task), grid, split.task)[1] for one in windows]
        found.append(torch.cat([part.flatten() for part in parts]).numpy() > 0)
    return found


def token_targets(target: NDArray[Any], grid: tuple[int, int], task: TaskSpec) -> tuple[Tensor, Tensor]:
    """Return the target of every token of a window, and its proportion of labelled pixels.

    Args:
        target: (height, width) classes or values.
        grid: tokens (h, w); if they do not divide the window, tokens cover all pixels that they touch.
        task: determines which pixels have a label.

    Returns:
        (K, h, w) float64 class proportions among the labelled pixels, or their mean (1, h, w); zeros without any.
        (h, w) float64 proportion of labelled pixels.
    """
    known = torch.from_numpy(labelled(target, task))
    if task.kind == "dense_regression":
        values = torch.from_numpy(np.where(known, target, 0.0).astype(np.float64))[None]
    else:
        classes = torch.from_numpy(np.where(known, target, 0).astype(np.int64))
        values = functional.one_hot(classes, len(task.classes)).permute(2, 0, 1).double() * known
    share = functional.adaptive_avg_pool2d(known[None].double(), grid)
    pooled = functional.adaptive_avg_pool2d(values, grid)
    return torch.where(share > 0, pooled / share.clamp_min(1e-12), 0.0), share[0]


def grid_ceiling(split: Split, size: int, grid: tuple[int, int]) -> float:
    """Return the score of an oracle that knows the most frequent class, or the mean, of the pixels of each token.

    Decoders that predict one value per token cannot exceed it; those that interpolate between tokens can.

    Args:
        split: test split.
        size: pixels per side of a window.
        grid: tokens (h, w) of a window.

    Returns:
        The task's metric.
    """
    task, counts = split.task, []
    for item in range(len(split)):
        target = split.read_target(item)
        shape = (int(target.shape[0]), int(target.shape[1]))
        windows = covering(*shape, size)
        values = [token_targets(cut_target(target, window, task), grid, task)[0] for window in windows]
        enlarged = [functional.interpolate(one[None], (size, size), mode="nearest-exact")[0] for one in values]
        whole = joined(enlarged, windows, shape)
        predicted = whole[0] if task.kind == "dense_regression" else whole.argmax(0)
        counts.append(counts_of(task, target, predicted.numpy()))
    return score_of(task, np.stack(counts))
