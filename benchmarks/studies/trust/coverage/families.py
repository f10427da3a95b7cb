"""False positives after Holm's adjustment in families of ten cells without a difference."""

from collections.abc import Iterator

import numpy as np

from benchmarks.studies.trust.coverage import images, regressions, shares
from benchmarks.studies.trust.coverage.simulation import Simulation
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import ALPHA, holm, p_value

CELLS = 10
"""Cells per family."""


def simulations() -> Iterator[Simulation]:
    """Yield simulations of differences between two equally good subjects that are fast enough."""
    for part in (shares, regressions, images):
        yield from (one for one in part.simulations() if one.kind.startswith("difference") and one.truth == 0)


def mistaken(simulation: Simulation, families: int, seed: int = 0) -> float:
    """Return the proportion of families of independent cells with at least one false positive, at 5 %."""
    rng = np.random.default_rng([seed, *simulation.name.encode()])
    return float(np.mean([_smallest(simulation, rng) <= ALPHA for _ in range(families)]))


def _smallest(simulation: Simulation, rng: np.random.Generator) -> float:
    found = [simulation.world(rng) for _ in range(CELLS)]
    values = [p_value(Difference(*one)) for one in found if one is not None]
    return min(holm([value for value in values if value is not None]), default=1.0)
