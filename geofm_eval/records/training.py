"""Part of a record that says how the networks of a case were trained."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from geofm_eval.records.section import Description, Section


class SeedTraining(Section):
    """The training of one seed.

    Args:
        rate: learning rate.
        epoch: the best on validation, whose network was tested.
        val_score: the metric on validation after that epoch. Where folds of the training chips chose the epoch, this
            and ``validations`` are those of the folds, which the first seed trained for all.
        validations: (epoch, metric) of every validation.
        losses: mean training loss of every epoch.
        seconds: per stage (``encode``, ``train``).
        key: of the training in the cache; tuned tensors lie under it in ``tuned``.
        backbone_sha256: hash of the backbone's numbers after the training; the frozen one's before it is in
            ``Training``.
        initial_sha256: hash before the training of a backbone that every seed draws anew; None for the one in
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
    """What was trained for a dense task, and how.

    Args:
        decoder: such as ``lightms`` or ``upernet_w064``.
        tuning: what of the backbone was trained: ``frozen``, ``full``, ``lora``, ``lora_fc1``, ``lnbias``.
        taps: what the decoder read, in the order of depth.
        taps_by: ``usual`` (named for the architecture) or ``validation`` (chosen by the dense probe).
        recipe: the schedule.
        lengthened: epochs were multiplied by this, so that few labels took as many steps as all.
        rates: learning rates that were tried with the first seed; validation chose.
        window: pixels per side of what the network saw at once.
        chips: training, validation and test chips.
        absent_classes: classes that no labelled pixel of the training chips shows; they count in the score.
        token_gsd_m: metres per side of a token.
        context_m: metres per side of a window.
        grid_ceiling: score of somebody who knows what each token covers: its most frequent class, or its mean.
        backbone_sha256: hash of the backbone's numbers before the training.
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
