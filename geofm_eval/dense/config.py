"""What a study varies of a dense training, and what is known of a finished one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.dense.recipes import TrainingRecipe


@dataclass(frozen=True)
class TrainingConfig:
    """What a study varies: how a backbone is used for a dense task.

    Args:
        decoder: one of ``decoders.DECODERS``.
        tuning: one of ``adapters.ADAPTATIONS``.
        taps: what the decoder reads, in the order of depth.
        recipe: schedule.
        lengthened: epochs are multiplied by this.
        online: a frozen backbone encodes anew in every epoch, random crops of the chips, as a tuned one does.
        zoom: windows have so many times fewer pixels per side than usual; a model of fixed size enlarges them.
    """

    decoder: str
    tuning: str
    taps: tuple[str, ...]
    recipe: TrainingRecipe
    lengthened: int = 1
    online: bool = False
    zoom: int = 1

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates to choose among: with a frozen backbone the recipe's alone."""
        return (self.recipe.rate,) if self.tuning == "frozen" else self.recipe.rates


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        path: folder with the network after its best epoch.
        rate: learning rate.
        epoch: the best epoch, chosen on validation.
        val_score: validation quality there (the metric; negative for errors).
        validations: (epoch, quality) of every validation.
        losses: mean training loss of every epoch.
        seconds: spent in optimiser steps, and in encoding where the backbone is frozen.
        examples: windows that the training saw.
        trained_parameters: numbers that were trained.
        total_parameters: numbers of backbone and decoder, low-rank updates among them.
        backbone_sha256: hash of the backbone's numbers after the training, low-rank updates merged.
        peak_memory_bytes: the most that the training held on a GPU; None on a CPU.
    """

    path: Path
    rate: float
    epoch: int
    val_score: float
    validations: tuple[tuple[int, float], ...]
    losses: tuple[float, ...]
    seconds: Mapping[str, float]
    examples: int
    trained_parameters: int
    total_parameters: int
    backbone_sha256: str
    peak_memory_bytes: int | None
