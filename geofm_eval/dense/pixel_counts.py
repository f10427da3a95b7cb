"""Test and validation counts of linear maps of tokens, on pixels."""

from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.split import Split
from geofm_eval.dense.fits import LinearMap
from geofm_eval.dense.inference import counts_of, joined, resampled_quality
from geofm_eval.dense.maps import enlarged
from geofm_eval.dense.token_problem import Key, TokenSolution
from geofm_eval.dense.tokens import TokenEncoder, WindowMaps, token_targets
from geofm_eval.dense.windows import covering, cut_target
from geofm_eval.stats.reselection import Stored, as_stored, resample_weights

K = TypeVar("K", bound=Hashable)
Counts = NDArray[Any]


def count_pixels(
    encoder: TokenEncoder, split: Split, asked: Mapping[K, tuple[LinearMap, NDArray[np.int64]]]
) -> dict[K, Counts]:
    """Return counts (chips, ...) of each map for its own chips; every chip is encoded once."""
    found: dict[K, list[Counts]] = {key: [] for key in asked}
    for item in sorted({int(item) for _, chips in asked.values() for item in chips}):
        own = {key: apply for key, (apply, chips) in asked.items() if item in chips}
        image, target = split.read_pair(item)
        shape = (int(target.shape[0]), int(target.shape[1]))
        windows = covering(*shape, encoder.size)
        values: dict[K, list[Tensor]] = {key: [] for key in own}
        for encoded in encoder.maps(image, windows):
            usable = encoded.with_data & _labelled(target, encoded, split.task)
            for key, apply in own.items():
                values[key] += enlarged(apply(encoded.taps[apply.tap]), usable, (encoder.size, encoder.size))
        for key, parts in values.items():
            whole = joined(parts, windows, shape)
            predicted = whole[0] if split.task.kind == "dense_regression" else whole.argmax(0)
            found[key].append(counts_of(split.task, target, predicted.cpu().numpy()))
    return {key: np.stack(counts) for key, counts in found.items()}


def _labelled(target: NDArray[Any], encoded: WindowMaps, task: TaskSpec) -> Tensor:
    """(B, h, w) bool, True for tokens that cover a labelled pixel; ignored pixels must not affect scored ones."""
    grid = (encoded.with_data.shape[-2], encoded.with_data.shape[-1])
    parts = [cut_target(target, window, task) for window in encoded.windows]
    shares = [token_targets(part, grid, task)[1] for part in parts]
    return (torch.stack(shares) > 0).to(encoded.with_data.device)


def validation_counts(
    encoder: TokenEncoder, splits: Mapping[str, Split], solved: Mapping[Key, TokenSolution]
) -> dict[Key, Counts]:
    """Return the counts of the chips that validated each map."""
    found: dict[Key, list[Counts]] = {key: [] for key in solved}
    for name in ("train", "val"):
        asked = {
            (key, number): (apply, chips)
            for key, one in solved.items()
            for number, (apply, split, chips) in enumerate(one.validators)
            if split == name
        }
        for (key, _), counts in count_pixels(encoder, splits[name], asked).items():
            found[key].append(counts)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def resampled_scores(
    splits: Mapping[str, Split], seed: int, solved: Mapping[Key, TokenSolution], val: Mapping[Key, Counts]
) -> dict[str, Stored]:
    """Return (taps, B) mean validation scores over the draws by label fraction, on the same resamples for every tap."""
    task = splits["train"].task
    weights = {name: resample_weights(len(splits[name]), seed, name, splits[name].groups) for name in ("train", "val")}
    found: dict[float, dict[str, list[NDArray[np.float64]]]] = {}
    for (tap, subset), one in solved.items():
        # The counts of a map are in the order of its chips; those of several maps follow in the order of the maps.
        own = np.concatenate([weights[name][:, np.sort(chips)] for _, name, chips in one.validators], axis=1)
        scores = resampled_quality(task, val[tap, subset], own)
        found.setdefault(subset[0], {}).setdefault(tap, []).append(scores)
    means = {f: np.stack([np.mean(draws, axis=0) for draws in taps.values()]) for f, taps in found.items()}
    return {str(fraction): as_stored(mean) for fraction, mean in means.items() if np.isfinite(mean).all()}
