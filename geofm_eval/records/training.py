"""Trainings in a record."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from geofm_eval.records.section import Description, Section


class SeedTraining(Section):
    """The training of one seed.

    Args:
        rate: learning rate.
        epoch: best epoch on validation, whose network was tested.
        val_score: validation score after that epoch. If folds of the training chips chose the epoch, this and
            ``validations`` are those of the folds, which the first seed trained for all.
        validations: (epoch, score) of every validation.
        losses: mean training loss of every epoch.
        seconds: per stage (``encode``, ``train``).
        key: key of the training in the cache; ``tuned`` has its tuned tensors.
        backbone_sha256: hash of the backbone's parameters after the training.
        initial_sha256: hash before the training if every seed draws its own backbone; None if it is that of
            ``Training``.
    """

    seed: int = Field(ge=0)
    rate: PositiveFloat
    epoch: NonNegativeInt
    val_score: float
    validations: tuple[tuple[int, float], ...] = ()
    losses: tuple[float, ...] = ()
    seconds: dict[str, NonNegativeFloat] = {}
    key: str = ""
    backbone_sha256: str | None = None
    initial_sha256: str | None = None


class Training(Section):
    """Decoder, tuning and schedule of a trained case.

    Args:
        decoder: for example ``lightms`` or ``upernet_w064``.
        tuning: trained part of the backbone: ``frozen``, ``full``, ``lora``, ``lora_fc1``, ``lnbias``.
        taps: taps that the decoder read, in the order of depth.
        taps_by: ``usual`` (given by the architecture) or ``validation`` (chosen by the dense probe).
        recipe: schedule.
        lengthened: factor of the number of epochs that gives few labels the number of steps of all labels.
        rates: learning rates that were tried with the first seed and chosen on validation.
        window: pixels per side of the network's input.
        chips: number of training, validation and test chips.
        absent_classes: classes without labelled pixels in the training chips; they count in the score.
        token_gsd_m: metres per side of a token.
        context_m: metres per side of a window.
        grid_ceiling: score of predicting each token's most frequent class, or its mean.
        backbone_sha256: hash of the backbone's parameters before the training.
        seeds: one training per seed.
    """

    decoder: str
    tuning: str
    taps: tuple[str, ...]
    taps_by: Literal["usual", "validation"] = "usual"
    recipe: Description
    lengthened: int = 1
    rates: tuple[float, ...] = ()
    window: int
    chips: dict[str, NonNegativeInt]
    absent_classes: tuple[str, ...] = ()
    token_gsd_m: float
    context_m: float
    grid_ceiling: float | None = None
    backbone_sha256: str | None = None
    seeds: tuple[SeedTraining, ...] = Field(min_length=1)
