"""Settings of a dense training, and the result of a finished one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.dense.recipes import TrainingRecipe


@dataclass(frozen=True)
class TrainingConfig:
    """How a backbone is used for a dense task.

    Args:
        decoder: one of ``decoders.DECODERS``.
        tuning: one of ``adapters.ADAPTATIONS``.
        taps: taps that the decoder reads, shallow to deep.
        lengthened: factor on the number of epochs.
        online: encode random crops in every epoch although the backbone is frozen, as for a tuned one.
        zoom: factor by which windows are smaller than usual; a model of fixed size enlarges them.
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
        """Learning rates to choose from; a frozen backbone has only the recipe's."""
        return (self.recipe.rate,) if self.tuning == "frozen" else self.recipe.rates


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        path: folder with the network of the best epoch.
        epoch: best epoch, chosen on validation.
        val_score: validation quality at that epoch (the metric; negative for errors).
        validations: (epoch, quality) of every validation.
        losses: mean training loss of every epoch.
        seconds: time of the optimiser steps, and of encoding for a frozen backbone.
        examples: number of windows seen in training.
        total_parameters: parameters of backbone and decoder, including low-rank updates.
        backbone_sha256: hash of the backbone after training, with low-rank updates merged.
        peak_memory_bytes: peak memory on a GPU; None on a CPU.
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
