"""Intervals hold the truth about as often as they promise; and what says how often they do."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.studies.trust.coverage import __main__ as command
from benchmarks.studies.trust.coverage.families import mistaken
from benchmarks.studies.trust.coverage.families import simulations as families
from benchmarks.studies.trust.coverage.images import FLOODS, _difficulty, _network, _pixels, truth_of
from benchmarks.studies.trust.coverage.simulation import Coverage, Simulation, measure
from geofm_eval.stats.counts import count_score

DRAWS = 400
"""Coverage of 95 % is then measured to +-1.1 points (one standard error)."""

FAST = (
    "accuracy: 1000 items, 99% right",
    "accuracy: 5 draws (sd 0.3) x 1000 items",
    "accuracy: 10 groups, 85 items",
    "difference of accuracies: 1000 items, 0.3% and 0.0% differ",
    "difference of accuracies: 3 draws (sd 0.08) x 1000 items",
    "R2: 300 items, heavy",
    "R2: 8 sites x 12 items",
    "difference of R2: 3 draws x 104 items",
    "mIoU: 10 events, 24 chips, 2 classes",
    "mIoU: 3 seeds (sd 0.05) x 10 events, 24 chips, 2 classes",
    "difference of mIoU: 2 x 3 seeds (sd 0.3) x 10 events, 24 chips, 2 classes",
    "RMSE of pixels: 60 chips",
    "gain of the chosen tap: 500 validation items, rises to the end",
    "gain of the chosen tap: 150 validation items, falls",
    "drift: 3 seeds (50% of the variance) x 1000 items or groups",
    "interaction of models and blocks: 7 models x 12 blocks x 5 draws, size 2.0",
    "interaction over tasks: 5 tasks of 7 models x 12 blocks x 5 draws, size 1.0",
    "mean of cells: 1 x 6 cells on 1000 items",
    "mean of cells: 3 x 6 cells on 300 items, two of which share one base",
)
SHUFFLED = "out-of-fold R2: 40 shuffles of 300 items, 5 labels, fast decay"


def named(name: str) -> Simulation:
    return next(one for one in command.simulations() if one.name == name)


@pytest.mark.parametrize("name", FAST)
def test_intervals_cover(name: str):
    found = measure(named(name), DRAWS)
    assert 0.90 <= found.share <= 0.99, f"{found.below:.1%} end below the truth, {found.above:.1%} begin above it"


def test_a_gain_whose_choice_is_taken_as_given_does_not_cover():
    found = measure(named("gain of the chosen tap, choice taken as given: 500 validation items, rises to the end"), 200)
    assert found.share < 0.5


def test_intervals_over_shuffles_are_as_wide_as_results_vary():
    """Few draws of a slow world: their width says more than their coverage."""
    found = measure(named(SHUFFLED), 40)
    assert found.share >= 0.85
    assert 0.7 <= found.relative_width <= 1.5


@pytest.mark.parametrize("number", [0, 3, 8])
def test_families_without_a_difference_are_seldom_mistaken(number: int):
    simulation = list(families())[number]
    assert mistaken(simulation, 60) <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 60), simulation.name


# What measures


def one_in(share: float) -> Simulation:
    """Intervals that hold 0 with a given probability, and lie above it or below it alike otherwise."""

    def world(rng: np.random.Generator):
        miss = rng.random() >= share
        middle = (2.0 if rng.random() < 0.5 else -2.0) if miss else 0.0
        return middle, middle - 1, middle + 1, math.inf

    return Simulation("planted", f"{share:.0%}", world, 0.0)


@pytest.mark.parametrize(("share", "verdict"), [(0.8, "too narrow"), (0.95, "covers"), (1.0, "too wide")])
def test_planted_coverage_is_found(share: float, verdict: str):
    found = measure(one_in(share), 2000)
    assert found.share == pytest.approx(share, abs=0.02)
    assert found.ends[0] <= found.share <= found.ends[1]
    assert found.below == pytest.approx(found.above, abs=0.02)
    assert found.verdict == verdict


def test_width_is_relative_to_the_true_standard_error():
    def world(rng: np.random.Generator):
        value = rng.normal(5, 2)
        return value, value - 2 * 1.96 * 2, value + 2 * 1.96 * 2, math.inf

    found = measure(Simulation("planted", "twice as wide", world), 2000)
    assert found.relative_width == pytest.approx(2, rel=0.05)
    assert found.share > 0.99


def test_a_world_without_an_interval_is_named():
    with pytest.raises(ValueError, match="planted: nothing: 5 of 5 simulated data sets have no interval"):
        measure(Simulation("planted", "nothing", lambda rng: None), 5)


def test_truth_by_quadrature_is_that_of_very_many_chips():
    chips = replace(FLOODS, n=20_000, events=(), seeds=6, seed=0.3)
    rng = np.random.default_rng(0)
    scores = count_score(_network(rng, chips, _pixels(rng, chips), _difficulty(rng, chips)), "miou")
    assert scores.mean() == pytest.approx(truth_of(chips), abs=3 * scores.std(ddof=1) / math.sqrt(6))


def test_names_are_unique():
    names = [one.name for one in command.simulations()]
    assert len(names) == len(set(names))


def test_tables_speak_of_samples_and_names_that_seed_the_draws_stay():
    one = named("difference of accuracies: 100 items, 5.0% and 5.0% differ")
    assert one.title == "difference of accuracies | 100 samples, 5.0 % and 5.0 % discordant"


def test_what_was_measured_is_kept(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path))
    first = command.measured(one_in(0.9), 50)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured again"))
    assert command.measured(one_in(0.9), 50) == first


def test_the_table_reads_well():
    text = command.table([(one_in(0.9), Coverage(200, 0.06, 0.04, 1.234))])
    assert text.splitlines()[2] == "| planted | 90% | 90.0 [85.1, 93.4] | 6.0 / 4.0 | 1.23 | too narrow |"


def test_the_code_that_results_depend_on_is_found():
    assert len(command._sources()) > 20
