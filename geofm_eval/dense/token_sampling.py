"""A sample of tokens of a split, with what they cover: what the dense probe is fitted and validated on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.backbones.contract import encode_checked
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.split import Split
from geofm_eval.dense.maps import feature_map, tokens_with_data
from geofm_eval.dense.tokens import token_targets
from geofm_eval.dense.windows import Window, covering, cut, cut_target
from geofm_eval.errors import ContractError
from geofm_eval.seeds import generator

MOST_TOKENS = 20_000
"""A sample has at most so many: a linear probe of a thousand channels gains nothing from more."""

WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class TokenSample:
    """Tokens of a split.

    Args:
        features: (n, D) float32 per tap.
        targets: (n, K) float64 class shares, or (n, 1) means.
        weights: (n,) float64 share of labelled pixels.
        chips: (n,) int64 position of the chip in the split.
    """

    features: dict[str, NDArray[np.float32]]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]
    chips: NDArray[np.int64]

    def of(self, chips: NDArray[np.int64]) -> "TokenSample":
        """The tokens of some chips."""
        return self.rows(np.isin(self.chips, chips))

    def rows(self, rows: NDArray[np.bool_]) -> "TokenSample":
        """Some of the tokens."""
        if rows.all():
            return self  # a copy of all features would be as large again
        features = {tap: values[rows] for tap, values in self.features.items()}
        return TokenSample(features, self.targets[rows], self.weights[rows], self.chips[rows])


@dataclass(frozen=True)
class WindowMaps:
    """Some windows of a chip, encoded.

    Args:
        windows: where they are.
        with_data: (B, h, w) bool, False for tokens without a valid pixel on any date.
        taps: maps (B, D, h, w) by tap; tokens without data are filled from their neighbours.
    """

    windows: list[Window]
    with_data: Tensor
    taps: dict[str, Tensor]


@dataclass(frozen=True)
class TokenEncoder:
    """A frozen backbone that turns windows into maps of all its taps; dates are averaged.

    Args:
        loaded: the frozen backbone.
        adapter: of the model and the task.
        size: pixels per side of a window.
        device: where the backbone lives.
    """

    loaded: LoadedBackbone
    adapter: InputAdapter
    size: int
    device: torch.device

    def grid(self, image: RawImage) -> tuple[int, int]:
        """Tokens (h, w) of a window."""
        batch = self.adapter([cut(image, Window(0, 0, self.size))]).to(self.device)
        return self.loaded.backbone.layout(batch).grid

    def maps(self, image: RawImage, windows: list[Window], *, first: bool = False) -> Iterator[WindowMaps]:
        """Maps of some windows of a chip after another.

        Args:
            image: the chip.
            windows: windows of it.
            first: True for the first chip that is encoded, see
                :func:`geofm_eval.backbones.contract.encode_checked`.

        Raises:
            ContractError: the backbone breaks its contract, or a feature is not finite.
        """
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[start : start + WINDOWS_AT_ONCE]
            batch = self.adapter([cut(image, window) for window in some]).to(self.device)
            encoded = encode_checked(self.loaded, batch, self.adapter.native, first=first and start == 0)
            found = {tap: feature_map(encoded, tap).mean(1) for tap in self.loaded.spec.taps}
            for tap, values in found.items():
                if not bool(torch.isfinite(values).all()):
                    raise ContractError(f"{self.loaded.spec.slug}: features of '{tap}' are not finite")
            yield WindowMaps(some, tokens_with_data(encoded).any(1), found)


def sample_tokens(encoder: TokenEncoder, split: Split, seed: int, most: int = MOST_TOKENS) -> TokenSample:
    """Encode a split and keep some of its tokens with data and a labelled pixel.

    Which labelled ones are drawn, the grid and the seed decide alone; those without data are then left out.

    Args:
        encoder: of the model.
        split: chips.
        seed: of the task.
        most: tokens at most.
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
    """Targets, weights and chips of all tokens of a split, chip by chip, window by window."""
    targets, weights, chips = [], [], []
    for item in range(len(split)):
        target = split.read_target(item)
        for window in covering(int(target.shape[0]), int(target.shape[1]), size):
            values, share = token_targets(cut_target(target, window, split.task), grid, split.task)
            targets.append(values.flatten(1).T.numpy())
            weights.append(share.flatten().numpy())
            chips.append(np.full(share.numel(), item))
    return np.concatenate(targets), np.concatenate(weights), np.concatenate(chips).astype(np.int64)
