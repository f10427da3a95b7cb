"""Intervals of drift over seeds, of interactions over draws, and of means over the cells of findings."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.trust import ranks
from benchmarks.studies.trust.coverage.simulation import Ends, Simulation
from geofm_eval.findings.interactions import interaction, together
from geofm_eval.ranking import sources_of, weighted_interval
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.over_seeds import estimate_of
from tests.planted.ranking import outcomes_of, probe_record


def simulations() -> Iterator[Simulation]:
    """Yield simulations of drift per seed, interactions, and means of cells."""
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
    said = "5 tasks of 7 models x 12 blocks x 5 draws, size 1.0"
    yield Simulation("interaction over tasks", said, partial(_tasks, count=5, size=1.0, shared=False), 1.0)
    said = "8 tasks on the same items, 7 models x 12 blocks x 40 shuffles, size 1.0"
    yield Simulation("interaction over tasks", said, partial(_tasks, count=8, size=1.0, shared=True, draws=40), 1.0)
    for data, items in ((1, 1000), (4, 1000), (3, 100)):
        said = f"{data} x 6 cells on {items} items"
        yield Simulation("mean of cells", said, partial(_cells, data=data, items=items), 0.0)
    said = "3 x 6 cells on 300 items, two of which share one base"
    yield Simulation("mean of cells", said, partial(_cells, data=3, items=300, bases=2), 0.0)
    said = "6 on 1000 items x 5 draws, 6 over 40 shuffles of 294, 6 on 90 chips in 10 groups x 3 seeds"
    yield Simulation("mean of cells", said, _mixed, 0.0)


def _drift(rng: np.random.Generator, seeds: int, units: int, share: float) -> Ends | None:
    """Values per seed with a common sampling error, whose size the jackknife estimates from its units."""
    items = math.sqrt(1 - share)
    error = items * math.sqrt(rng.chisquare(units - 1) / (units - 1))
    values = items * rng.standard_normal() + math.sqrt(seeds * share) * rng.standard_normal(seeds)
    found = estimate_of(values.tolist(), error, units)
    return _ends(found.value, found.low, found.high)


def _backbones(rng: np.random.Generator, count: int) -> Ends | None:
    found = estimate_of(rng.standard_normal(count).tolist())
    return _ends(found.value, found.low, found.high)


def _profiles(rng: np.random.Generator, draws: int, size: float) -> Ends | None:
    """Profiles with a given, fixed interaction; draws move neighbouring blocks of a model together."""
    fixed = np.random.default_rng(7).standard_normal((7, 12))
    fixed = fixed - fixed.mean(0) - fixed.mean(1, keepdims=True) + fixed.mean()
    fixed *= size / math.sqrt(float(np.square(fixed).sum()) / 66)
    moved = 0.7 * rng.standard_normal((7, 1, draws)) + rng.standard_normal((7, 12, draws))
    smooth = (moved + np.roll(moved, 1, axis=1)) / math.sqrt(2)
    found = interaction(fixed[..., None] + smooth, tested=False)
    return _ends(found.size, found.low, found.high)


def _tasks(rng: np.random.Generator, count: int, size: float, shared: bool, draws: int = 5) -> Ends | None:
    """Root mean square interaction over tasks; on the same samples, half of a draw's effect is common to all tasks."""
    fixed = np.random.default_rng(7).standard_normal((7, 12))
    fixed = fixed - fixed.mean(0) - fixed.mean(1, keepdims=True) + fixed.mean()
    fixed *= size / math.sqrt(float(np.square(fixed).sum()) / 66)
    common = rng.standard_normal((7, 12, draws)) if shared else 0.0
    found = []
    for task in range(count):
        moved = (common + rng.standard_normal((7, 12, draws))) / math.sqrt(2 if shared else 1)
        found.append(("items" if shared else str(task), interaction(fixed[..., None] + moved, tested=False)))
    mean = together(found)
    return _ends(mean.value, mean.low, mean.high)


def _cells(rng: np.random.Generator, data: int, items: int, bases: int = 1) -> Ends | None:
    """Six differences per data set on the same samples; ``bases`` cells share one base model."""
    weights, values, scores = [], [], []
    for task in range(data):
        common = rng.standard_normal(items)
        for cell in range(6):
            names = [f"first {cell}", f"base {cell // bases}"]
            if cell % bases == 0:
                base = _right(rng, common)
            for name, right, turn in zip(names, (_right(rng, common), base), (1, -1), strict=True):
                record = probe_record(name, f"t{task}", right)
                outcomes = replace(outcomes_of(items, right=right), ids=np.array([f"{task} {n}" for n in range(items)]))
                weights.append(turn / 6 / data)
                values.append(record.scores["1.0"].value)
                scores.append(sources_of(record, outcomes, "1.0") or ())
    found = weighted_interval(float(np.dot(weights, values)), weights, scores)
    return _ends(found.value, found.low, found.high)


def _right(rng: np.random.Generator, common: Floats) -> NDArray[np.uint8]:
    """(1, items) correct or wrong predictions of a model that is as good as any other."""
    own = common + 0.5 * rng.standard_normal(len(common))
    return (1.2 - own + 0.5 * rng.standard_normal((1, len(own))) > 0).astype(np.uint8)


def _mixed(rng: np.random.Generator) -> Ends | None:
    """Differences of equally good models in classification probes, regressions over shuffles and trained decoders."""
    equal = np.zeros(12)
    kinds = (ranks.probes(rng, equal), ranks.shuffles(rng, equal), ranks.trainings(rng, equal, 10))
    weights = [turn / 18 for _ in kinds for _ in range(6) for turn in (1, -1)]
    values = [value for own, _ in kinds for value in own]
    found = weighted_interval(float(np.dot(weights, values)), weights, [one for _, own in kinds for one in own])
    return _ends(found.value, found.low, found.high)


def _ends(estimate: float, low: float | None, high: float | None) -> Ends | None:
    return None if low is None or high is None else (estimate, low, high, math.inf)
