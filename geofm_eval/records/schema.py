"""The record of one case: typed, frozen, strict (manual: ``reports/README.md``)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from geofm_eval.metric import METRICS
from geofm_eval.plurals import counted
from geofm_eval.records.internals import Drift, Similarity
from geofm_eval.records.scores import ExpectedRange, FirstAttempt, Score, Selection
from geofm_eval.records.section import Description, Plain, Section, close, out_of_bounds, refuse
from geofm_eval.records.training import Training

SCHEMA_VERSION = 3
"""Version that is written; older ones are migrated when they are read."""

Status = Literal["passed", "failed", "error"]
Verdict = Literal["in_range", "below", "above", "no_range", "stale_range", "unverified_range", "unavailable"]
Evidence = Literal["published", "sample", "own", "simulated"]


class RunInfo(Section):
    """The run that a record belongs to."""

    name: str = Field(min_length=1)


class CaseInfo(Section):
    """The measured case. ``id`` is ``model-task-adaptation-layer``."""

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
            raise ValueError(f"case id is '{self.id}', expected '{expected}' from model, task, adaptation and layer")
        return self

    @property
    def is_control(self) -> bool:
        """Whether the model is a control: random twin, band statistics, random convolutions."""
        return "control" in self.markers

    @property
    def is_unverified(self) -> bool:
        """Whether the model's weights have unverified provenance."""
        return "unverified" in self.markers


class Outcome(Section):
    """Result of the case: passed, failed an assertion, or stopped with an error; and the verdict of its range."""

    status: Status
    verdict: Verdict
    reason: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> "Outcome":
        if self.status != "passed" and not self.reason:
            raise ValueError(f"a case with status {self.status} needs a reason")
        return self


class Cost(Section):
    """Computing cost of the case.

    Args:
        seconds: per stage (``extract``, ``solve``).
        shared_by: number of cases that share these seconds, because a block is extracted and solved once for all.
        parameters: parameters of the backbone; with a trained decoder, of the whole network.
        trained_parameters: number of these that were trained.
        flops: floating-point operations of a forward pass for one image or window.
        bytes_per_sample: size of the feature vector that a probe reads.
    """

    seconds: dict[str, NonNegativeFloat] = {}
    shared_by: PositiveInt | None = None
    images_per_second: NonNegativeFloat | None = None
    parameters: NonNegativeInt | None = None
    trained_parameters: NonNegativeInt | None = None
    flops: NonNegativeFloat | None = None
    peak_memory_bytes: NonNegativeInt | None = None
    bytes_per_sample: NonNegativeFloat | None = None


class Inputs(Section):
    """Input of the model. Tables need these fields; the input adapter adds others, for example units and size."""

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
    """Everything that scores depend on; unknown values (of a case that stopped early) are None or empty.

    Args:
        weights_source: ``file:<name>``, ``url:<address>``, ``package:<name>`` (file that comes with this package),
            ``random:seed=<n>``, or ``built:<architecture>`` and ``built:<module>:<function>`` (no file: the code of the
            model set its weights).
        weights_unverified: why their provenance is unverified; None if it is verified.
        items_sha256: per split, over sample ids and contents of files; for stand-ins, the generator's version.
        labels_sha256: per split, over sample ids and labels.
        split_definition: ``official``, ``custom`` (the data folder's own list) or ``own`` (a user's own data).
        split_rule: how own data were divided, for example ``{"by": "blocks", "block_m": 2400.0}``.
        protocol: ``holdout`` (train, val and test), ``shuffle_splits`` (forty random splits of all samples) or
            ``folds`` (five-fold cross-validation of all samples).
        dropped: per split, number of excluded samples by reason.
        target_unit: unit of a regression target.
        recipe: all fields of the recipe, including ``slug``.
        seeds: seeds by purpose.
        feature_keys: key of the feature block per split.
    """

    weights_sha256: str | None = None
    weights_source: str | None = None
    weights_unverified: str | None = None
    missing_keys: tuple[str, ...] = ()
    unexpected_keys: tuple[str, ...] = ()
    items_sha256: dict[str, str] = {}
    labels_sha256: dict[str, str] = {}
    split_definition: Literal["official", "custom", "own"] | None = None
    split_rule: Description = {}
    protocol: Literal["holdout", "shuffle_splits", "folds"] = "holdout"
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

    ``checksum`` is over all other fields of the file; None if the record was not read from a file, or was written
    before schema 3.
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

    def __repr__(self) -> str:
        scores = ", ".join(f"{score.metric} {score.value:.4g} at {key}" for key, score in self.scores.items())
        return f"Record({self.case.kind} {self.case.id}: {self.outcome.status}{f', {scores}' if scores else ''})"

    @model_validator(mode="after")
    def _consistent(self) -> "Record":
        for key in self.scores:
            if key != fraction_key(float(key)):
                raise ValueError(f"scores: key '{key}' must be written '{fraction_key(float(key))}'")
        refuse(_problems(self))
        measured = self.scores or self.similarity or self.drift or self.case.kind == "throughput"
        if self.outcome.status == "passed" and not measured:
            raise ValueError("a case that passed needs scores, or other results of its kind")
        return self


def _problems(record: Record) -> Iterator[str]:
    scores = record.scores
    for key, score in scores.items():
        if not 0 < float(key) <= 1:
            yield f"label fraction {key} is not in (0, 1]"
        mean = sum(score.per_draw) / len(score.per_draw)
        if record.provenance.protocol != "shuffle_splits" and not close(score.value, mean):
            yield f"scores.{key}: value {score.value} is not the mean of per_draw, {mean}"
    ordered = sorted(scores, key=float)
    if len({(score.metric, score.n) for score in scores.values()}) > 1:
        yield "label fractions differ in metric or number of test items"
    counts = [scores[key].n_train for key in ordered]
    if counts != sorted(counts):
        yield f"n_train decreases with the label fraction: {counts}"
    if unknown := set(record.expected_ranges) - set(scores):
        yield f"expected_ranges has fraction {min(unknown)}, which has no score"
    yield from _choice_problems(record)
    yield from _training_problems(record)
    sensors = {"sim", "real"} & set(record.case.markers)
    if record.evidence is not None and sensors and ("sim" in sensors) != (record.evidence == "simulated"):
        yield f"evidence is '{record.evidence}', the case is marked {', '.join(sorted(sensors))}"


def _choice_problems(record: Record) -> Iterator[str]:
    """Check choices on validation: each draw of the score, or fold of it, at most once; scores within bounds."""
    if record.selection is None or not record.scores:
        return
    draws: dict[str, list[tuple[int, int | None]]] = {}
    for choice in record.selection.choices:
        key = repr(float(choice.fraction))
        draws.setdefault(key, []).append((choice.draw, choice.fold))
        if key not in record.scores:
            yield f"selection has a choice at fraction {key}, which has no score"
            continue
        if choice.val_score is not None and not _turned(record.scores[key].metric):
            yield from out_of_bounds("val_score", [choice.val_score], record.scores[key].metric)
    for key, own in draws.items():
        count = len(record.scores[key].per_draw)
        numbers = sorted(draw for draw, _ in own)
        beyond = record.training is None and numbers[-1] >= count  # of a training the draw is the number of its seed
        if len(set(own)) < len(own) or beyond:
            yield (
                f"selection at fraction {key} has choices of draws {numbers[:9]}, the score has "
                f"{counted(count, 'draw')}"
            )


def _training_problems(record: Record) -> Iterator[str]:
    """Check a training: one seed per value, and the chips that the score counts."""
    training = record.training
    if training is None:
        return
    for key, score in record.scores.items():
        if len(training.seeds) != len(score.per_draw):
            yield (
                f"scores.{key} has {counted(len(score.per_draw), 'value')}, the training "
                f"{counted(len(training.seeds), 'seed')}"
            )
        for name, count in (("test", score.n), ("train", score.n_train)):
            if name in training.chips and training.chips[name] != count:
                yield f"training counts {training.chips[name]} {name} chips, the score {count}"
        if not _turned(score.metric):
            yield from out_of_bounds("val_score", [one.val_score for one in training.seeds], score.metric)


def fraction_key(fraction: float) -> str:
    """Return the name of a label fraction in records: ``0.01``, ``0.1``, ``1.0``."""
    return repr(float(fraction))


def _turned(metric: str) -> bool:
    """Whether validation may be scored by the negative of the metric, which has other bounds."""
    return metric in METRICS and not METRICS[metric].higher_is_better
