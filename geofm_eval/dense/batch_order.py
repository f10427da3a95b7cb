"""Which examples every optimiser step of a training sees."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofm_eval.dense.recipes import TrainingRecipe
from geofm_eval.seeds import generator


@dataclass(frozen=True)
class BatchOrder:
    """Batches of all epochs, a function of the seed and the step alone.

    Args:
        count: number of examples.
        recipe: for the size of batches.
        seed: of the order.
    """

    count: int
    recipe: TrainingRecipe
    seed: int

    @functools.cached_property
    def bounds(self) -> list[int]:
        """Where the batches of an epoch begin and end."""
        return _bounds(self.count, self.recipe)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return len(self.bounds) - 1

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Positions of the examples of a step."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = generator("order", self.seed, epoch).permutation(self.count)
        chosen = order[self.bounds[number] : self.bounds[number + 1]]
        # Batch normalisation needs two examples to have a variance.
        return np.repeat(chosen, 2) if len(chosen) == 1 else chosen


def steps_per_epoch(count: int, recipe: TrainingRecipe) -> int:
    """Optimiser steps that an epoch over ``count`` examples takes."""
    return len(_bounds(count, recipe)) - 1


def _bounds(count: int, recipe: TrainingRecipe) -> list[int]:
    """Where the batches of an epoch begin and end; a last batch of one goes with the one before it."""
    batch = recipe.batch
    if recipe.drop_last and count >= batch:
        return list(range(0, count + 1, batch))
    bounds = [*range(0, count, batch), count]
    return [*bounds[:-2], count] if len(bounds) > 2 and count - bounds[-2] == 1 else bounds
