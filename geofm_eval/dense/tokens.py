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
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[start : start + WINDOWS_AT_ONCE]
            batch = self.adapter([cut(image, window) for window in some]).to(self.device)
            encoded = encode_checked(self.loaded, batch, self.adapter.native, first=first and start == 0)
            found = {tap: feature_map(encoded, tap).mean(1) for tap in self.loaded.spec.taps}
            for tap, values in found.items():
                if not bool(torch.isfinite(values).all()):
                    raise ContractError(
                        f"{self.loaded.spec.slug}: features of '{tap}' are not finite; check the weights, and the "
                        "input with 'geofm-eval preflight'"
                    )
            yield WindowMaps(some, tokens_with_data(encoded).any(1), found)


def sample_tokens(encoder: TokenEncoder, split: Split, seed: int, most: int = MOST_TOKENS) -> TokenSample:
    """Encode a split and sample tokens with data and a labelled pixel.

    The sample of labelled tokens depends only on the grid and the seed; those without data are then left out.
    """
    grid = encoder.grid(split.read(0))
    targets, weights, chips = _covered(split, encoder.size, grid)
    known = np.flatnonzero(weights > 0)
    if len(known) > most:
        rng = generator("dense probe", seed, split.name)
        known = np.sort(rng.choice(known, most, replace=False))
    features = {
        tap: np.empty((len(known), encoder.loaded.backbone.width), np.float32) for tap in encoder.loaded.spec.taps
    }
    per_window, begun, first_chip = grid[0] * grid[1], 0, True
    with_data = np.zeros(len(known), dtype=np.bool_)
    for item in range(len(split)):
        image = split.read(item)
        height, width = image.valid.shape[-2:]
        windows = covering(height, width, encoder.size)
        tokens = len(windows) * per_window
        first, last = np.searchsorted(known, [begun, begun + tokens])
        if last > first:
            own = {tap: [] for tap in features}  # type: dict[str, list[Tensor]]
            seen: list[Tensor] = []
            for encoded in encoder.maps(image, windows, first=first_chip):
                seen.append(encoded.with_data.flatten())
                for tap, values in encoded.taps.items():
                    own[tap].append(values.flatten(2).transpose(1, 2).flatten(0, 1))
            first_chip = False
            rows = known[first:last] - begun
            with_data[first:last] = torch.cat(seen).cpu().numpy()[rows]
            for tap, parts in own.items():
                features[tap][first:last] = torch.cat(parts).cpu().numpy()[rows]
        begun += tokens
    everything = TokenSample(features, targets[known], weights[known], chips[known])
    return everything.rows(with_data)


def _covered(
    split: Split, size: int, grid: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Targets, weights and chips of all tokens of a split, chip by chip and window by window."""
    targets, weights, chips = [], [], []
    for item in range(len(split)):
        target = split.read_target(item)
        for window in covering(int(target.shape[0]), int(target.shape[1]), size):
            values, share = token_targets(cut_target(target, window, split.task), grid, split.task)
            targets.append(values.flatten(1).T.numpy())
            weights.append(share.flatten().numpy())
            chips.append(np.full(share.numel(), item))
    return np.concatenate(targets), np.concatenate(weights), np.concatenate(chips).astype(np.int64)


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
