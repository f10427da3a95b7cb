"""Coverage of intervals of variance proportions, distances and losses: ``python -m benchmarks.studies.trust.factors``.

Tables of 3 x 4 x 2 cells are drawn, each with three seeds and with samples that all cells share. True values are those
of the noise-free scores. Prints a Markdown table; takes minutes.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofm_eval.factors.distances import distance_of, further
from geofm_eval.factors.noise import ErrorOfMeans, error_of_means
from geofm_eval.factors.variance import anova, shares

NAMES, SHAPE, SEEDS = ("a", "b", "c"), (3, 4, 2), 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Sources of variation of the scores.

    Args:
        units: number of test samples.
        items: standard deviation of a sample's effect on one cell; its effect on all cells is six times that.
        seeds: standard deviation of a seed's effect.
        crossed: standard deviation of the interaction of the first two factors.
    """

    units: int
    items: float
    seeds: float
    crossed: float

    def truth(self, rng: np.random.Generator) -> Floats:
        """Draw scores without noise."""
        main = rng.normal(0, 0.5, (3, 1, 1)) + rng.normal(0, 0.5, (1, 4, 1)) + rng.normal(0, 0.3, (1, 1, 2))
        return main + self.crossed * rng.normal(0, 1, (3, 4, 1))

    def scores(self, truth: Floats, rng: np.random.Generator) -> tuple[Floats, ErrorOfMeans]:
        """Draw (3, 4, 2, seeds) measured scores; also return the error of their means."""
        cells = truth.size
        shared = 6 * self.items * rng.normal(0, 1, self.units)
        items = self.items * rng.normal(0, 1, (cells, 1, self.units)) + shared
        drawn = truth.reshape(cells, 1, 1) + items + rng.normal(0, self.seeds, (cells, SEEDS, 1))
        without = (drawn.sum(-1, keepdims=True) - drawn) / (self.units - 1)
        return drawn.mean(-1).reshape(*SHAPE, SEEDS), error_of_means(drawn.mean(-1), without)


WORLDS = (World(10, 0.5, 0.1, 0.2), World(24, 0.5, 0.1, 0.0), World(24, 0.5, 0.1, 0.2), World(100, 1.0, 0.2, 0.2),
          World(1000, 1.0, 0.2, 0.1))  # fmt: skip
"""From ten events of a flood data set to a thousand samples of a classification."""


def misses(world: World, rng: np.random.Generator) -> Iterator[tuple[str, bool, bool]]:
    """Yield the name of every interval, and whether the true value is below or above it."""
    truth = world.truth(rng)
    scores, error = world.scores(truth, rng)
    exact = anova(np.stack([truth, truth], -1))
    total = exact.total / 2 / truth.size + world.seeds**2
    for share, squares in zip(shares(NAMES, scores, error=error), exact.squares.values(), strict=True):
        kind = "proportion of a factor" if len(share.effect) == 1 else "proportion of an interaction"
        true = squares / 2 / truth.size / total
        assert share.low is not None
        assert share.high is not None
        yield kind, true < share.low, true > share.high
    means = scores.mean(-1)
    found = further(distance_of(means, 1, error), distance_of(means, 0, error), error)
    apart = [np.sqrt(2 * truth.var(axis, ddof=1).mean()) for axis in (1, 0)]
    best, other = np.unravel_index(truth.argmax(), SHAPE), np.unravel_index(truth.argmin(), SHAPE)
    weights = np.zeros(SHAPE)
    weights[best], weights[other] = 1.0, -1.0
    loss = error.within(float(means[best] - means[other]), weights)
    for kind, one, true in (
        ("difference of two distances", found, apart[0] - apart[1]),
        ("loss from a wrong choice", loss, float(truth[best] - truth[other])),
    ):
        assert one.low is not None
        assert one.high is not None
        yield kind, true < one.low, true > one.high


def main() -> None:
    """Print the coverage of intervals by kind and number of units."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="Number of simulated tables. Default: 2000.")
    draws = parser.parse_args().draws
    print("| interval | units | interaction | coverage (%) | truth below, above (%) |\n|---|---|---|---|---|")
    for world in WORLDS:
        rng, found = np.random.default_rng(5), defaultdict(list)
        for _ in range(draws):
            for kind, below, above in misses(world, rng):
                found[kind].append((below, above))
        for kind, sides in found.items():
            below, above = 100 * np.mean(sides, axis=0)
            print(
                f"| {kind} | {world.units} | {world.crossed} | {100 - below - above:.1f} | {below:.1f}, {above:.1f} |"
            )


if __name__ == "__main__":
    main()
