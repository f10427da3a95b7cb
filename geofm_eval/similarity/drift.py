"""Drift: measures of the change that tuning makes inside a backbone, per tap, and the floors of each measure.

All measures are 0 without a change. X are features of the frozen network and Y of the tuned one, on the same samples:

- ``total``: 1 - debiased CKA of X and Y, both networks run whole;
- ``local``: the same, with the inputs of the frozen part given to the tuned part: change not inherited from upstream;
- ``token``: total drift of one random token per sample, minus the mean at its position (one label per pixel only);
- ``procrustes``: squared Procrustes distance, in [0, 2], more sensitive to directions of low variance;
- ``distance``: ||X - Y|| / ||X||, also sensitive to rotations;
- ``weight``, ``weight_spectral``, ``stable_rank``: see :mod:`geofm_eval.similarity.weights`.

Arms: ``tuned`` against frozen; and the floors ``shuffled`` (the same training on shuffled labels against frozen),
``seeds`` (tuned networks of two seeds), ``still`` (learning rate 0) and ``again`` (the same weights loaded again).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.backbones.base import SUBMODULES, Backbone
from geofm_eval.backbones.parts import block_paths, exchanged, part_rows
from geofm_eval.similarity.channel_diagnostics import procrustes_distance, relative_distance
from geofm_eval.similarity.features import FEWEST
from geofm_eval.similarity.hooks import OWN, Batches, Floats, Inside, features_inside, tap_inside
from geofm_eval.similarity.linear_cka import CkaMatrix, cka, cka_matrix
from geofm_eval.similarity.uncertainty import jackknife_values
from geofm_eval.similarity.weights import WeightChange, affine_maps, weight_changes

OF_FEATURES = ("total", "local", "token", "procrustes", "distance")
OF_WEIGHTS = ("weight", "weight_spectral", "stable_rank")
MEASURES = (*OF_FEATURES, *OF_WEIGHTS)

SURE = ("total", "local", "token")
"""Measures whose uncertainty over samples is known."""

FEWEST_GROUPS = 4
"""With fewer groups a jackknife is unreliable, and samples are left out instead."""

Values = NDArray[np.float64]
Measured = dict[str, dict[str, Values]]
"""(repetitions, taps) by measure and arm."""


@dataclass(frozen=True)
class Networks:
    """Backbones of one architecture to compare.

    Args:
        frozen: before tuning, one per seed; the same object for all seeds unless every seed draws its own.
        tuned: after tuning, one per seed, with low-rank updates merged.
        shuffled: after tuning on shuffled labels, one per seed.
        still: after an epoch at a learning rate of 0, from the first seed's frozen backbone.
        again: the first seed's frozen weights, loaded again.
    """

    frozen: tuple[Backbone, ...]
    tuned: tuple[Backbone, ...]
    shuffled: tuple[Backbone, ...]
    still: Backbone
    again: Backbone

    @property
    def own_starts(self) -> bool:
        """True if seeds start from different weights, so that tuned networks differ from the start."""
        return len({id(one) for one in self.frozen}) > 1


@dataclass(frozen=True)
class DriftValues:
    """Drift by measure and arm.

    Args:
        taps: taps, shallow to deep (``embed`` first, ``final`` last), then the parts of each block.
        n: number of samples.
        values: (repetitions, taps); NaN if a measure does not apply.
        without: (repetitions, groups, taps), leaving out each group of samples, for measures in ``SURE`` and the arms
            ``tuned`` and ``shuffled``.
        layers: CKA of every tap of the frozen network (rows) with every tap of the first seed's tuned one (columns).
        units: number of these groups.
        errors_over: ``groups`` as given, or ``items`` (samples, or random parts of them).
    """

    taps: tuple[str, ...]
    n: int
    values: Mapping[str, Mapping[str, Values]]
    without: Mapping[str, Mapping[str, Values]]
    layers: CkaMatrix | None
    units: int | None = None
    errors_over: Literal["groups", "items"] = "items"

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks, shallow to deep."""
        return tuple(tap for tap in self.taps if tap.startswith("block") and "." not in tap)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Return the positions of some taps."""
        return [self.taps.index(name) for name in names]


def compute_drift(
    networks: Networks, batches: Batches, native: bool, *, tokens: bool = False, groups: ArrayLike | None = None
) -> DriftValues:
    """Compare networks on the same samples.

    Args:
        networks: frozen, tuned and control networks.
        batches: the samples; returns the same batches on every call.
        native: whether the backbones take all dates of a series at once.
        tokens: whether to measure single tokens too.
        groups: (n,) scene of every sample; if there are too few for a jackknife, samples are left out instead.

    Raises:
        ContractError: fewer than four samples.
    """
    groups = _usable(groups)
    changes = _weights(networks)  # before any feature is held
    pairs = _pairs(networks, batches, native, tokens)
    first = pairs["tuned"][0]
    taps = _taps(first.first)
    values: Measured = {
        name: {arm: np.array([pair.measured(name, taps) for pair in own]) for arm, own in pairs.items() if own}
        for name in OF_FEATURES
        if name != "token" or tokens
    }
    sure = [name for name in SURE if name in values]
    without = {
        name: {
            arm: np.array([pair.without(name, taps, groups) for pair in pairs[arm]]) for arm in ("tuned", "shuffled")
        }
        for name in sure
    }
    own, other = ({tap: one.pooled[tap] for tap in taps if "." not in tap} for one in (first.first, first.second))
    layers = cka_matrix(own, other)
    units = without["total"]["tuned"].shape[1]
    kind: Literal["groups", "items"] = "items" if groups is None else "groups"
    return DriftValues(taps, layers.n, values | _by_tap(changes, taps), without, layers, units, kind)


def _pairs(networks: Networks, batches: Batches, native: bool, tokens: bool) -> "dict[str, list[_Pair]]":
    """Features of the compared networks by arm, all on the same samples."""
    frozen = {id(one): one for one in networks.frozen}
    starts = [id(one) for one in networks.frozen]
    fed: dict[int, dict[str, Backbone]] = {key: {} for key in frozen}
    for arm in ("tuned", "shuffled"):
        for seed, one in enumerate(getattr(networks, arm)):
            fed[starts[seed]][f"{arm}{seed}"] = one
    fed[starts[0]] |= {"still0": networks.still, "again0": networks.again}
    read = {key: features_inside(one, batches, native, others=fed[key], tokens=tokens) for key, one in frozen.items()}
    before = {key: found[OWN] for key, found in read.items()}
    local = {label: found[label] for found in read.values() for label in found if label != OWN}
    after = {
        label: features_inside(one, batches, native, tokens=tokens)[OWN]
        for known in fed.values()
        for label, one in known.items()
    }
    for key, known in fed.items():
        for label, one in known.items():
            local[label] = _with_blocks(local[label], frozen[key], one, batches, native)
    pairs: dict[str, list[_Pair]] = {
        arm: [
            _Pair(before[starts[seed]], after[f"{arm}{seed}"], local[f"{arm}{seed}"])
            for seed in range(len(getattr(networks, arm)))
        ]
        for arm in ("tuned", "shuffled")
    }
    if not networks.own_starts:
        pairs["seeds"] = [
            _Pair(after[f"tuned{a}"], after[f"tuned{b}"], None)
            for a, b in itertools.combinations(range(len(networks.tuned)), 2)
        ]
    return pairs | {arm: [_Pair(before[starts[0]], after[f"{arm}0"], local[f"{arm}0"])] for arm in ("still", "again")}


def _usable(groups: ArrayLike | None) -> NDArray[np.int64] | None:
    """Groups as numbers; None if they are too few or too unequal for a jackknife."""
    if groups is None:
        return None
    member = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    sizes = np.bincount(member)
    return member if len(sizes) >= FEWEST_GROUPS and len(member) - sizes.max() >= FEWEST else None


def _with_blocks(local: Inside, frozen: Backbone, other: Backbone, batches: Batches, native: bool) -> Inside:
    """Add the outputs of a network's blocks for the frozen inputs, if the architecture calls no block as one module.

    To this end the frozen network runs with the weights of one block exchanged, block by block.
    """
    pooled = dict(local.pooled)
    for block in block_paths(frozen):
        if block not in pooled:
            with exchanged(frozen, other, part_rows(frozen, block)):
                pooled[block] = tap_inside(frozen, batches, native, block)
    return Inside(pooled, {})


@dataclass(frozen=True)
class _Pair:
    """Features of two networks, and those of the second one for the first one's inputs."""

    first: Inside
    second: Inside
    local: Inside | None

    def _sides(self, measure: str, tap: str) -> Iterator[tuple[Floats, Floats]]:
        """Features to compare; one pair per draw of single tokens."""
        if measure == "token":
            yield from zip(self.first.tokens[tap], self.second.tokens[tap], strict=True)
        elif measure != "local":
            yield self.first.pooled[tap], self.second.pooled[tap]
        elif self.local is not None and tap in self.local.pooled:
            yield self.first.pooled[tap], self.local.pooled[tap]
        elif self.local is not None and tap == "embed":
            # Nothing is upstream of the embedding.
            yield self.first.pooled[tap], self.second.pooled[tap]

    def measured(self, measure: str, taps: Sequence[str]) -> list[float]:
        found = []
        for tap in taps:
            each = [_compared(measure, x, y) for x, y in self._sides(measure, tap)]
            found.append(float(np.mean(each)) if each else float("nan"))
        return found

    def without(self, measure: str, taps: Sequence[str], groups: ArrayLike | None) -> Values:
        """(groups, taps) drift without each group of samples."""
        columns = []
        for tap in taps:
            each = [1 - jackknife_values(x, y, groups) for x, y in self._sides(measure, tap)]
            columns.append(np.mean(each, axis=0) if each else None)
        size = next((len(one) for one in columns if one is not None), 0)
        return np.stack([np.full(size, np.nan) if one is None else one for one in columns], axis=1)


def _compared(measure: str, x: Floats, y: Floats) -> float:
    if measure == "procrustes":
        return procrustes_distance(x, y)
    if measure == "distance":
        return relative_distance(x, y)
    return 1 - cka(x, y).debiased


def _taps(inside: Inside) -> tuple[str, ...]:
    """Taps, shallow to deep, then parts by block in order of computation."""
    whole = [name for name in inside.pooled if "." not in name]
    ordered = sorted(whole, key=lambda name: (name == "final", name.startswith("block"), name))
    parts = [f"{block}.{part}" for block in ordered for part in SUBMODULES if f"{block}.{part}" in inside.pooled]
    return (*ordered, *parts)


def _weights(networks: Networks) -> dict[str, list[dict[str, WeightChange]]]:
    """Weight changes by arm; maps are as large as a network, so those of one pair are held at a time."""
    start = networks.frozen[0]
    pairs: dict[str, list[tuple[Backbone, Backbone, Backbone]]] = {
        arm: [(one, other, one) for one, other in zip(networks.frozen, getattr(networks, arm), strict=False)]
        for arm in ("tuned", "shuffled")
    }
    if not networks.own_starts:
        pairs["seeds"] = [(a, b, start) for a, b in itertools.combinations(networks.tuned, 2)]
    pairs |= {"still": [(start, networks.still, start)], "again": [(start, networks.again, start)]}
    return {arm: [weight_changes(*map(affine_maps, trio)) for trio in own] for arm, own in pairs.items() if own}


def _by_tap(changes: Mapping[str, Sequence[Mapping[str, WeightChange]]], taps: Sequence[str]) -> Measured:
    """(repetitions, taps) of every weight measure and arm."""
    names = {"weight": "frobenius", "weight_spectral": "spectral", "stable_rank": "stable_rank"}
    return {
        name: {
            arm: np.array([[float(getattr(one.get(tap), attribute, np.nan)) for tap in taps] for one in own])
            for arm, own in changes.items()
        }
        for name, attribute in names.items()
    }
