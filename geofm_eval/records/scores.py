"""Parts of a record that hold scores: the choice on validation, the test score, and the range it is judged by."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, model_validator
from pydantic.dataclasses import dataclass

from geofm_eval.metric import METRICS
from geofm_eval.records.plausible import close, out_of_bounds, refuse
from geofm_eval.records.section import Section

SHARES = ("accuracy", "pixel_accuracy", "mean_f1", "iou_class")
"""Beginnings of the names of companions that are proportions."""


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
        refuse(_problems(self))
        return self


def _problems(score: Score) -> Iterator[str]:
    values = {"value": [score.value], "per_draw": score.per_draw}
    for name, own in values.items():
        yield from out_of_bounds(name, own, score.metric)
    for name, value in score.extra.items():
        yield from out_of_bounds(f"extra.{name}", [value], "accuracy" if name.startswith(SHARES) else name)
    if score.metric in METRICS and METRICS[score.metric].direction != score.direction:
        yield f"direction of {score.metric} is '{score.direction}'"
    interval = score.interval
    if interval is None:
        return
    inside = interval.low <= score.value <= interval.high
    if not (inside or close(score.value, interval.low) or close(score.value, interval.high)):
        yield f"the interval [{interval.low}, {interval.high}] does not hold its own estimate, {score.value}"


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
