"""Gain of the chosen tap over the last one, with intervals that include the choice or treat it as fixed.

Fourteen taps have planted abilities. A sample is correct at a tap if the ability exceeds its difficulty, most of which
is common to all taps. Validation samples choose the tap, test samples measure its gain. The estimand is the mean gain
over choices by other validation samples.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.studies.trust.coverage.simulation import Ends, Simulation
from geofm_eval.results.pairs import MEAN_DECIMALS
from geofm_eval.results.reselected import with_selection
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.reselection import choose, chosen_each, resample_weights, weighted_mean
from geofm_eval.stats.scores import paired_interval

TAPS = 14
OWN = 0.35
"""Proportion of the variance of difficulty that is specific to a tap."""

TEST = 1000

PROFILES: dict[str, tuple[float, ...]] = {
    "equal taps": (0.3,) * TAPS,
    "rises to the end": tuple(np.linspace(-0.3, 0.35, TAPS).tolist()),
    "peaks at two thirds": tuple((0.35 - 0.9 * np.square(np.linspace(-0.66, 0.34, TAPS))).tolist()),
    "two kinds of taps": (0.3, 0.2) * (TAPS // 2),
    "falls": tuple(np.linspace(0.5, 0.1, TAPS).tolist()),
}
"""Abilities of taps by profile, shallow to deep."""


def simulations() -> Iterator[Simulation]:
    """Yield each profile with few and many validation samples, with the choice included and treated as fixed."""
    for kind, included in (("gain of the chosen tap", True), ("gain of the chosen tap, choice taken as given", False)):
        for profile in PROFILES:
            for n in (150, 500):
                world = partial(_gain, profile=profile, n=n, included=included)
                yield Simulation(kind, f"{n} validation items, {profile}", world)


def _gain(rng: np.random.Generator, profile: str, n: int, included: bool) -> Ends:
    abilities = np.array(PROFILES[profile])[:, None]
    difficulty = np.sqrt(1 - OWN) * rng.standard_normal(n + TEST)
    right = (difficulty + np.sqrt(OWN) * rng.standard_normal((TAPS, n + TEST)) < abilities).astype(np.float64)
    val, test = right[:, :n], right[:, n:]
    chosen = choose(val.mean(1))
    own = _difference(test[chosen], test[-1], same=chosen == TAPS - 1)
    if included:
        scores = weighted_mean(val, resample_weights(n, int(rng.integers(2**31)), "val"))
        shares = np.bincount(chosen_each(scores), minlength=TAPS) / scores.shape[1]
        taps = np.flatnonzero(shares)
        each = [_difference(test[tap], test[-1], same=tap == TAPS - 1) for tap in taps]
        mean = _difference(np.round(shares @ test, MEAN_DECIMALS), test[-1], same=False)
        own = with_selection(own, each, shares[taps].tolist(), mean)
    assert own.low is not None
    assert own.high is not None
    return own.value, own.low, own.high, own.freedom


def _difference(first: Floats, second: Floats, same: bool) -> Difference:
    """As between records, a tap does not differ from itself."""
    if same:
        return Difference(0.0, 0.0, 0.0)
    return Difference.within(float((first - second).mean()), paired_interval(first, second))
