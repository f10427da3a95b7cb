"""Intervals of drift over seeds, of interactions over draws, and means over cells of findings."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.trust.coverage.simulation import Ends, Simulation
from geofm_eval.estimates import estimate_of
from geofm_eval.findings.finding import joint
from geofm_eval.findings.interaction import interaction
from geofm_eval.metrics import paired_interval
from geofm_eval.report.choice import Difference


def simulations() -> Iterator[Simulation]:
    """Drift per seed with an error over items, interactions, means of cells."""
    for seeds, units, share in ((3, 1000, 0.1), (3, 1000, 0.5), (3, 1000, 0.9), (3, 10, 0.5), (5, 1000, 0.5)):
        said = f"{seeds} seeds ({share:.0%} of the variance) x {units} items or groups"
        yield Simulation("drift", said, partial(_drift, seeds=seeds, units=units, share=share), 0.0)
    for backbones in (3, 7):
        yield Simulation("mean over backbones", f"{backbones} backbones", partial(_backbones, count=backbones), 0.0)
    for draws, size in ((5, 0.5), (5, 2.0), (40, 0.5)):
        world = partial(_profiles, draws=draws, size=size)
        yield Simulation(
            "interaction of models and blocks", f"7 models x 12 blocks x {draws} draws, size {size}", world, size
        )
    for tasks in (1, 4):
        said = f"{tasks} x 6 cells on 1000 items"
        yield Simulation("mean of cells", said, partial(_cells, tasks=tasks), 0.0)


def _drift(rng: np.random.Generator, seeds: int, units: int, share: float) -> Ends | None:
    """Values per seed with a common error of the items, whose size the jackknife estimates from its units."""
    items = math.sqrt(1 - share)
    error = items * math.sqrt(rng.chisquare(units - 1) / (units - 1))
    values = items * rng.standard_normal() + math.sqrt(seeds * share) * rng.standard_normal(seeds)
    found = estimate_of(values, error, units)
    return _ends(found.value, found.low, found.high)


def _backbones(rng: np.random.Generator, count: int) -> Ends | None:
    found = estimate_of(rng.standard_normal(count))
    return _ends(found.value, found.low, found.high)


def _profiles(rng: np.random.Generator, draws: int, size: float) -> Ends | None:
    """Profiles of a given interaction; draws move neighbouring blocks of a model together. Few draws, hence fixed."""
    fixed = np.random.default_rng(7).standard_normal((7, 12))
    fixed = fixed - fixed.mean(0) - fixed.mean(1, keepdims=True) + fixed.mean()
    fixed *= size / math.sqrt(float(np.square(fixed).sum()) / 66)
    moved = 0.7 * rng.standard_normal((7, 1, draws)) + rng.standard_normal((7, 12, draws))
    smooth = (moved + np.roll(moved, 1, axis=1)) / math.sqrt(2)
    found = interaction(fixed[..., None] + smooth, tested=False)
    return _ends(found.size, found.low, found.high)


def _cells(rng: np.random.Generator, tasks: int) -> Ends | None:
    """Six differences per task on the same items, of models that share a part of what they find difficult."""
    parts = []
    for task in range(tasks):
        common = rng.standard_normal(1000)
        for _ in range(6):
            own = common + 0.5 * rng.standard_normal((2, 1000))
            first, second = (1.2 - own + 0.5 * rng.standard_normal((2, 1000)) > 0).astype(float)
            difference = Difference.within(float((first - second).mean()), paired_interval(first, second))
            parts.append((1 / (6 * tasks), difference, str(task)))
    found = joint(parts)
    return _ends(found.value, found.low, found.high)


def _ends(estimate: float, low: float | None, high: float | None) -> Ends | None:
    return None if low is None or high is None else (estimate, low, high, math.inf)
