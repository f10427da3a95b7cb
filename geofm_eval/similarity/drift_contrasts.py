"""Contrasts of drift between parts, depths and seeds, minus the drift on shuffled labels."""

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
        error: jackknife standard error over samples of the mean over seeds; None if unknown.
    """

    per_seed: tuple[float, ...]
    error: float | None


def whole(drift: DriftValues, measure: str, floor: bool = True) -> PartContrast | None:
    """Return the mean drift of all blocks; ``floor`` subtracts that of shuffled labels."""
    weights = np.zeros(len(drift.taps))
    weights[drift.columns(drift.blocks)] = 1 / len(drift.blocks)
    return _contrast(drift, measure, weights, floor)


def part_means(drift: DriftValues, measure: str, floor: bool = True) -> dict[str, PartContrast]:
    """Return the mean drift of every part over the blocks; ``floor`` subtracts that of shuffled labels."""
    found = {part: _contrast(drift, measure, _mean_of(drift, part), floor) for part in SUBMODULES}
    return {part: one for part, one in found.items() if one is not None}


def leads(drift: DriftValues, measure: str, floor: bool = True) -> dict[str, PartContrast]:
    """Return the mean drift of ``fc1`` minus that of each other part."""
    leader = _mean_of(drift, LEADER)
    found = {
        part: _contrast(drift, measure, leader - _mean_of(drift, part), floor) for part in SUBMODULES if part != LEADER
    }
    return {part: one for part, one in found.items() if one is not None}


def deepening(drift: DriftValues, measure: str, floor: bool = True) -> PartContrast | None:
    """Return the mean drift of the last third of the blocks minus that of the first third."""
    third = max(len(drift.blocks) // 3, 1)
    weights = np.zeros(len(drift.taps))
    weights[drift.columns(drift.blocks[-third:])] += 1 / third
    weights[drift.columns(drift.blocks[:third])] -= 1 / third
    return _contrast(drift, measure, weights, floor)


def above_seeds(drift: DriftValues, measure: str) -> PartContrast | None:
    """Return the mean drift of the blocks minus the difference between seeds; above 0 if seeds change the same things.

    Each seed is compared with the mean over its pairs. Pairs share seeds, so the values are dependent, and their spread
    gives no interval.
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
    """Return the (taps,) jackknife standard error over samples of the tuned drift, averaged over seeds."""
    return jackknife_error_of(drift.without[measure]["tuned"].mean(0))


def _mean_of(drift: DriftValues, part: str) -> Values:
    """Weights over taps for the mean of a part over the blocks."""
    names = [f"{block}.{part}" for block in drift.blocks]
    missing = [name for name in names if name not in drift.taps]
    if missing:
        raise ContractError(
            f"found no drift at {missing[0]}, expected {part} of every block; choose a part that every block has"
        )
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
