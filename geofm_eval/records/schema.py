"""The record of one case: typed, frozen, strict. ``reports/README.md`` says the same in prose."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic.dataclasses import dataclass

from geofm_eval.records.internals import Drift, Similarity
from geofm_eval.records.plausible import record_problem, refuse, score_problem
from geofm_eval.records.section import Section

SCHEMA_VERSION = 3
"""Version that is written; older ones are migrated when read."""

Status = Literal["passed", "failed", "error"]
Verdict = Literal["in_range", "below", "above", "no_range", "stale_range", "unverified_range", "unavailable"]
Evidence = Literal["published", "sample", "simulated"]


def _plain(value: Any) -> Any:
    """Turn tuples and numpy scalars into what JSON holds, so that a record reads back equal to what was written."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


Plain = Annotated[JsonValue, BeforeValidator(_plain)]
Description = Annotated[dict[str, JsonValue], BeforeValidator(_plain)]
"""What another part of the library says about itself: any JSON, finite numbers only."""


class RunInfo(Section):
    """The run that a record belongs to."""

    name: str = Field(min_length=1)


class CaseInfo(Section):
    """What was measured. ``id`` is ``model-task-adaptation-layer``."""

    kind: str = Field(pattern=r"^[a-z0-9_]+$")
    model: str
    task: str
    adaptation: str
    layer: str
    id: str
    task_version: int
    markers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "CaseInfo":
        expected = f"{self.model}-{self.task}-{self.adaptation}-{self.layer}"
        if self.id != expected:
            raise ValueError(f"case id is '{self.id}', model, task, adaptation and layer make '{expected}'")
        return self

    @property
    def is_control(self) -> bool:
        """True when the subject is a control: a random twin, band statistics, random convolutions."""
        return "control" in self.markers

    @property
    def is_unverified(self) -> bool:
        """True when the subject's weights are of unverified provenance."""
        return "unverified" in self.markers


class Outcome(Section):
    """How the case ended: passed, failed an assertion or stopped with an error; and what its expected range said."""

    status: Status
    verdict: Verdict
    reason: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> "Outcome":
        if self.status != "passed" and not self.reason:
            raise ValueError(f"a case that {self.status} needs a reason")
        return self


class IntervalInfo(Section):
    """A two-sided interval; ``covers`` names what it would vary over (items, groups, draws x items)."""

    low: float
    high: float
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str
    covers: str

    @model_validator(mode="after")
    def _ordered(self) -> "IntervalInfo":
        if self.low > self.high:
            raise ValueError(f"the interval begins at {self.low} and ends at {self.high}")
        return self


class Score(Section):
    """Test score at one label fraction.

    Args:
        metric: such as ``accuracy`` or ``r2``.
        value: mean over the draws, in the metric's own unit (accuracy: share of right items); with shuffle splits the
            R2 of all (shuffle, item) predictions pooled.
        per_draw: one value per draw of the label subset, in draw order; with shuffle splits one per shuffle; of
            trained networks one per seed.
        n: test items; with shuffle splits those that were tested at least once.
        n_train: labelled training items.
        extra: companions that are reported and never selected on, such as ``accuracy_k5`` or ``rmse``.
    """

    metric: str
    value: float
    per_draw: tuple[float, ...] = Field(min_length=1)
    interval: IntervalInfo | None = None
    n: int = Field(ge=1)
    n_train: int = Field(ge=1)
    direction: Literal["higher", "lower"] = "higher"
    extra: dict[str, float] = {}

    @model_validator(mode="after")
    def _possible(self) -> "Score":
        refuse(score_problem(self))
        return self


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Choice:
    """What was chosen on validation for one label fraction and draw.

    A record may hold hundreds of these, which as sections would take most of the memory of a run.

    Args:
        val_kind: ``split`` (validation split), ``inner_cv`` (folds of the training labels) or ``none``.
        n_val: validation items.
        chosen: the penalty; None for a probe that has none.
        at_edge: the penalty is the first or last of its path, so that a wider path might do better.
        val_score: the metric on validation at that penalty, which layers are chosen by; None without validation.
        val_loss: mean validation loss at that penalty (log loss in nats, or squared error), which breaks ties of
            ``val_score``; None without validation and in records of older versions.
        runner_up_gap: validation loss of the second-best penalty minus that of the chosen one.
        converged: the solver reached its optimum.
    """

    fraction: Annotated[float, Field(gt=0, le=1)]
    draw: NonNegativeInt
    val_kind: Literal["split", "inner_cv", "none"]
    n_val: NonNegativeInt | None = None
    chosen: float | None = None
    at_edge: bool | None = None
    val_score: float | None = None
    val_loss: float | None = None
    runner_up_gap: float | None = None
    converged: bool | None = None
    iterations: NonNegativeInt | None = None
    dropped_channels: NonNegativeInt | None = None


class Selection(Section):
    """How the hyperparameter was chosen: on which split, by which criterion, among which candidates.

    Args:
        near: per label fraction, taps of the model whose validation score is at most one standard error below the best,
            that one among them; empty in records of older versions, and of what has no taps to choose among.
    """

    split: str
    criterion: str
    candidates: tuple[float, ...] = ()
    choices: tuple[Choice, ...] = ()
    near: dict[str, tuple[str, ...]] = {}


class ExpectedRange(Section):
    """The range that a score was judged by, as it stood then.

    Args:
        low: lowest expected value, in the metric's own unit.
        high: highest expected value.
        rule: ``numeric``, ``seeds``, ``published``, or ``other_protocol`` for a number that is shown and judges
            nothing.
        why: why the range is what it is.
        mean: what was expected.
        n: what it rests on: solves, or seeds; 1 for a published number.
        seeds: of trainings, the number whose mean the range is for; None for other rules.
        runs: names of the runs that it was set from.
    """

    low: float
    high: float
    rule: str
    why: str
    mean: float
    n: int = Field(ge=1)
    seeds: int | None = None
    runs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> "ExpectedRange":
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"the range [{self.low}, {self.high}] does not hold its own mean, {self.mean}")
        return self


class FirstAttempt(Section):
    """How a trained case lay to its range before it was confirmed: trained once more, with as many fresh seeds.

    Args:
        verdict: ``below`` or ``above``.
        value: mean over the first seeds.
        seeds: their number.
        expected: the range for a mean over so many.
    """

    verdict: Literal["below", "above"]
    value: float
    seeds: int = Field(ge=1)
    expected: ExpectedRange


class Cost(Section):
    """What the case took.

    Args:
        seconds: per stage (``extract``, ``solve``).
        shared_by: number of cases that share these seconds: a block is extracted and solved once for all of them.
        parameters: numbers of the backbone; with a trained decoder those of the whole network.
        trained_parameters: of these, what was trained.
        flops: floating-point operations of a forward pass over one image or window.
    """

    seconds: dict[str, NonNegativeFloat] = {}
    shared_by: PositiveInt | None = None
    images_per_second: NonNegativeFloat | None = None
    parameters: NonNegativeInt | None = None
    trained_parameters: NonNegativeInt | None = None
    flops: NonNegativeFloat | None = None
    peak_memory_bytes: NonNegativeInt | None = None


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


class Inputs(Section):
    """What the model received. Tables need these fields; the adapter adds unit, normalisation, size and the like."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain] = Field(init=False)

    expected_bands: tuple[str, ...]
    real_bands: tuple[str, ...]
    filled_bands: tuple[str, ...] = ()
    masked_bands: tuple[str, ...] = ()
    product_expected: str
    product_found: str
    product_mismatch: bool
    temporal: Literal["single", "native", "per_date"] | None = None
    dates: int | None = None


class Provenance(Section):
    """Everything a number depends on; what is not known (a case that stopped early) is None or empty.

    Args:
        weights_source: ``file:<name>``, ``url:<address>`` or ``random:seed=<n>``.
        weights_unverified: why their provenance is unverified; None where it is not.
        items_sha256: per split, over item ids and the contents of the files; simulated: the generator's version.
        labels_sha256: per split, over item ids and labels.
        split_definition: ``official`` or ``custom`` (the data folder's own list).
        protocol: ``holdout`` (train, val and test) or ``shuffle_splits`` (forty random cuts of all items).
        dropped: per split, how many items were left out for which reason.
        target_unit: unit of a regression target.
        recipe: all fields of the recipe, ``slug`` among them.
        seeds: what was seeded with what.
        feature_keys: key of the feature block per split.
    """

    weights_sha256: str | None = None
    weights_source: str | None = None
    weights_unverified: str | None = None
    missing_keys: tuple[str, ...] = ()
    unexpected_keys: tuple[str, ...] = ()
    items_sha256: dict[str, str] = {}
    labels_sha256: dict[str, str] = {}
    split_definition: Literal["official", "custom"] | None = None
    protocol: Literal["holdout", "shuffle_splits"] = "holdout"
    dropped: dict[str, dict[str, NonNegativeInt]] = {}
    target_unit: str | None = None
    recipe: Description | None = None
    inputs: Inputs | None = None
    pooling: str | None = None
    dtype: str | None = None
    seeds: Description = {}
    feature_keys: dict[str, str] = {}
    sweep_key: str | None = None
    code: Description = {}
    versions: dict[str, str | None] = {}
    platform: str | None = None
    device: Description = {}
    threads: int | None = None
    time: str | None = None


class Record(Section):
    """One case of one run, whether it passed, failed or stopped with an error.

    ``checksum`` is over all other fields as the file has them; None of a record that was not read from a file, or that
    was written before schema 3.
    """

    schema_version: Literal[3] = 3
    run: RunInfo
    case: CaseInfo
    outcome: Outcome
    scores: dict[str, Score] = {}
    selection: Selection | None = None
    training: Training | None = None
    similarity: Similarity | None = None
    drift: Drift | None = None
    expected_ranges: dict[str, ExpectedRange] = {}
    first_attempt: FirstAttempt | None = None
    cost: Cost = Cost()
    evidence: Evidence | None = None
    provenance: Provenance = Provenance()
    content_key: str | None = None
    outcomes_sha256: str | None = None
    resamples_sha256: str | None = None
    checksum: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Record":
        for key in self.scores:
            if key != fraction_key(float(key)):
                raise ValueError(f"scores: key '{key}' must be written '{fraction_key(float(key))}'")
        refuse(record_problem(self))
        measured = self.scores or self.similarity or self.drift or self.case.kind == "throughput"
        if self.outcome.status == "passed" and not measured:
            raise ValueError("a case that passed needs scores, or what else its kind measures")
        return self


def fraction_key(fraction: float) -> str:
    """Name of a label fraction in records: ``0.01``, ``0.1``, ``1.0``."""
    return repr(float(fraction))
