"""What decides a training beside data and network, and how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from geofm_eval.dense.recipes import TrainingRecipe

TRAINING_VERSION = 3
"""Part of every training's key: a change that moves any number raises it."""


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides what comes out of a training, beside its data and its network.

    Args:
        recipe: schedule.
        rate: learning rate, one of the recipe's.
        seed: of the new weights, the order of examples and dropout.
        lengthened: epochs are multiplied by this; 10 gives a tenth of the labels as many steps as all of them.
        scale: (mean, standard deviation) of a regression target; what is trained is brought to mean 0, deviation 1.
        until: keep the network as it is after this epoch, and stop there: the epoch was chosen before. None validates.
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
        """Epochs between validations: as many validations however long the training."""
        return self.recipe.validate_every * self.lengthened

    def identity(self) -> dict[str, Any]:
        """All of it, for keys and checkpoints."""
        parts = {"rate": self.rate, "seed": self.seed, "lengthened": self.lengthened, "scale": list(self.scale)}
        parts |= {} if self.until is None else {"until": self.until}
        return {"recipe": self.recipe.identity(), "version": TRAINING_VERSION, **parts}


@dataclass(frozen=True)
class Validation:
    """Score of a network after an epoch (greater is better)."""

    epoch: int
    score: float


def best_of(validations: Sequence[Validation]) -> Validation:
    """The best validation; of equal ones the earliest."""
    return max(validations, key=lambda one: (one.score, -one.epoch))


@dataclass(frozen=True)
class CrossValidated:
    """What folds of the training chips say about a learning rate.

    Args:
        validations: quality of every epoch that was validated, over the chips of all folds.
        seconds: spent in optimiser steps.
    """

    validations: tuple[Validation, ...]
    seconds: float

    @property
    def chosen(self) -> Validation:
        """The best epoch."""
        return best_of(self.validations)


@dataclass
class TrainingState:
    """How far a training is; all of it is in a checkpoint.

    Args:
        step: steps done.
        seconds: spent in steps, over all pieces.
        examples: windows seen.
        losses: mean loss of every epoch.
        epoch_losses: of the steps of the epoch that is not over.
        validations: in the order of epochs.
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
        """The best validation; of equal ones the earliest."""
        return best_of(self.validations)
