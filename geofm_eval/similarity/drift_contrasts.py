"""What measured drift says of parts, depths and seeds: sums over taps, less what shuffled labels changed."""

import itertools
from dataclasses import dataclass

import numpy as np

from geofm_eval.backbones.base import SUBMODULES
from geofm_eval.errors import ContractError
from geofm_eval.similarity.drift import DriftValues, Values
from geofm_eval.stats.jackknife import jackknife_error_of
from geofm_eval.stats.over_seeds import LEADER


@dataclass(frozen=True)
class PartContrast:
    """A weighted sum of drifts.

    Args:
        per_seed: one value per seed.
        error: jackknife standard error over the items of the mean over seeds; None where it is unknown.
    """

    per_seed: tuple[float, ...]
    error: float | None


def whole(drift: DriftValues, measure: str, floor: bool = True) -> PartContrast | None:
    """Mean drift of all blocks; with ``floor`` that of shuffled labels is taken off."""
    weights = np.zeros(len(drift.taps))
    weights[drift.columns(drift.blocks)] = 1 / len(drift.blocks)
    return _contrast(drift, measure, weights, floor)


def part_means(drift: DriftValues, measure: str, floor: bool = True) -> dict[str, PartContrast]:
    """Mean over blocks of the drift of every part; with ``floor`` that of shuffled labels is taken off."""
    found = {part: _contrast(drift, measure, _mean_of(drift, part), floor) for part in SUBMODULES}
    return {part: one for part, one in found.items() if one is not None}


def leads(drift: DriftValues, measure: str, floor: bool = True) -> dict[str, PartContrast]:
    """Mean drift of ``fc1`` minus that of each other part."""
    leader = _mean_of(drift, LEADER)
    found = {
        part: _contrast(drift, measure, leader - _mean_of(drift, part), floor) for part in SUBMODULES if part != LEADER
    }
    return {part: one for part, one in found.items() if one is not None}


def deepening(drift: DriftValues, measure: str, floor: bool = True) -> PartContrast | None:
    """Mean drift of the last third of the blocks minus that of the first third."""
    third = max(len(drift.blocks) // 3, 1)
    weights = np.zeros(len(drift.taps))
    weights[drift.columns(drift.blocks[-third:])] += 1 / third
    weights[drift.columns(drift.blocks[:third])] -= 1 / third
    return _contrast(drift, measure, weights, floor)


def above_seeds(drift: DriftValues, measure: str) -> PartContrast | None:
    """Mean drift of the blocks minus what two seeds differ by: above 0 where seeds change the same things.

    The value of a seed is compared with the mean over the pairs that it is in. Pairs share seeds, so that the values
    depend on each other: their spread makes no interval.
    """
    known = drift.values[measure].get("seeds")
    if known is None or not len(known):
        return None
    own = drift.values[measure]["tuned"]
    columns = drift.columns(drift.blocks)
    between = list(itertools.combinations(range(len(own)), 2))
    per_seed = [
        float(
            own[seed][columns].mean()
            - np.mean([row[columns].mean() for row, pair in zip(known, between, strict=True) if seed in pair])
        )
        for seed in range(len(own))
    ]
    return PartContrast(tuple(per_seed), None) if np.isfinite(per_seed).all() else None


def errors(drift: DriftValues, measure: str) -> Values:
    """(taps,) jackknife standard error over the items of the mean tuned drift over seeds."""
    return jackknife_error_of(drift.without[measure]["tuned"].mean(0))


def _mean_of(drift: DriftValues, part: str) -> Values:
    """Weights over taps that give the mean of a part over the blocks."""
    names = [f"{block}.{part}" for block in drift.blocks]
    if not set(names) <= set(drift.taps):
        raise ContractError(f"drift was not measured at {part} of every block")
    weights = np.zeros(len(drift.taps))
    weights[drift.columns(names)] = 1 / len(names)
    return weights


def _contrast(drift: DriftValues, measure: str, weights: Values, floor: bool) -> PartContrast | None:
    used = weights != 0
    arms = drift.values[measure]
    own = arms["tuned"][:, used]
    if floor:
        own = own - arms["shuffled"][:, used]
    per_seed = own @ weights[used]
    if not np.isfinite(per_seed).all():
        return None
    error = None
    if measure in drift.without:
        known = drift.without[measure]
        without = known["tuned"][:, :, used] - (known["shuffled"][:, :, used] if floor else 0.0)
        each = (without @ weights[used]).mean(0)
        error = float(jackknife_error_of(each))
    return PartContrast(tuple(float(value) for value in per_seed), error)
