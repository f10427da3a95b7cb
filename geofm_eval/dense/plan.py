"""Everything that determines a training besides data and network, and its progress."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.dense.recipes import TrainingRecipe
from geofm_eval.seeds import generator

TRAINING_VERSION = 3
"""Part of every training's key; increase it with every change of results."""


@dataclass(frozen=True)
class BatchOrder:
    """Positions of the examples in every batch; they depend only on the seed and the step."""

    count: int
    recipe: TrainingRecipe
    seed: int

    @functools.cached_property
    def bounds(self) -> list[int]:
        """Bounds of the batches of an epoch; a last batch of one example is merged with the one before it."""
        count, batch = self.count, self.recipe.batch
        if self.recipe.drop_last and count >= batch:
            return list(range(0, count + 1, batch))
        bounds = [*range(0, count, batch), count]
        return [*bounds[:-2], count] if len(bounds) > 2 and count - bounds[-2] == 1 else bounds

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return len(self.bounds) - 1

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Return the positions of the examples of a step."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = generator("order", self.seed, epoch).permutation(self.count)
        chosen = order[self.bounds[number] : self.bounds[number + 1]]
        # Batch normalisation needs two examples to have a variance.
        return np.repeat(chosen, 2) if len(chosen) == 1 else chosen


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that determines the result of a training besides its data and its network.

    Args:
        recipe: schedule.
        rate: learning rate, one of the recipe's.
        seed: seed of the new weights, the order of examples and dropout.
        lengthened: factor on the number of epochs; 10 gives a tenth of the labels as many steps as all of them.
        scale: (mean, standard deviation) of a regression target, which is standardised for training.
        until: stop after this epoch, which was chosen before, and keep its network; None validates.
    """

    recipe: TrainingRecipe
    rate: float
    seed: int
    lengthened: int = 1
    scale: tuple[float, float] = (0.0, 1.0)
    until: int | None = None

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return self.recipe.epochs * self.lengthened

    @property
    def validate_every(self) -> int:
        """Epochs between validations; the number of validations does not depend on the length."""
        return self.recipe.validate_every * self.lengthened

    def identity(self) -> dict[str, Any]:
        """Return the plan for keys and checkpoints."""
        parts = {"rate": self.rate, "seed": self.seed, "lengthened": self.lengthened, "scale": list(self.scale)}
        parts |= {} if self.until is None else {"until": self.until}
        return {"recipe": self.recipe.identity(), "version": TRAINING_VERSION, **parts}


@dataclass(frozen=True)
class Validation:
    """Quality of a network after an epoch (greater is better)."""

    epoch: int
    score: float


def best_of(validations: Sequence[Validation]) -> Validation:
    """Return the best validation; among equal ones, the earliest."""
    return max(validations, key=lambda one: (one.score, -one.epoch))


@dataclass(frozen=True)
class CrossValidated:
    """Result of cross-validating a learning rate on the training chips.

    Args:
        validations: quality of every validated epoch, over the chips of all folds.
        seconds: time of the optimiser steps.
    """

    validations: tuple[Validation, ...]
    seconds: float

    @property
    def chosen(self) -> Validation:
        """Validation of the best epoch."""
        return best_of(self.validations)


@dataclass
class TrainingState:
    """Progress of a training, all of which is stored in a checkpoint.

    Args:
        step: number of finished steps.
        seconds: time of these steps.
        examples: number of windows seen.
        losses: mean loss of every epoch.
        epoch_losses: losses of the steps of the unfinished epoch.
        best: state of the network after the best epoch.
    """

    step: int = 0
    seconds: float = 0.0
    examples: int = 0
    losses: list[float] = field(default_factory=list)
    epoch_losses: list[float] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def chosen(self) -> Validation:
        """The best validation; among equal ones, the earliest."""
        return best_of(self.validations)
