"""Scores in a record: choices on validation, test scores, and expected ranges."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, model_validator
from pydantic.dataclasses import dataclass

from geofm_eval.metric import METRICS
from geofm_eval.records.section import Section, close, out_of_bounds, refuse

SHARES = ("accuracy", "pixel_accuracy", "mean_f1", "iou_class")
"""Prefixes of the names of additional scores that are proportions."""


class IntervalInfo(Section):
    """A two-sided interval; ``covers`` names the source of variation (items, groups, draws x items)."""

    low: float
    high: float
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str
    covers: str

    @model_validator(mode="after")
    def _ordered(self) -> "IntervalInfo":
        if self.low > self.high:
            raise ValueError(f"the interval has low = {self.low} and high = {self.high}, expected low <= high")
        return self


class Score(Section):
    """Test score at one label fraction.

    Args:
        metric: for example ``accuracy`` or ``r2``.
        value: mean over the draws, in the metric's own unit (accuracy: proportion of correct samples); with shuffle
            splits, the pooled R2 of all (shuffle, sample) predictions. In cross-validation, a draw is scored over the
            out-of-fold outcomes of all samples.
        per_draw: one value per draw of the label subset; with shuffle splits one per shuffle, for trainings one per
            seed.
        n: test samples; with shuffle splits those that were tested at least once.
        n_train: labelled training samples; in cross-validation the mean over folds.
        extra: additional scores that are never selected on, for example ``accuracy_k5`` or ``rmse``.
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
        yield f"direction of {score.metric} is '{score.direction}', expected '{METRICS[score.metric].direction}'"
    interval = score.interval
    if interval is None:
        return
    inside = interval.low <= score.value <= interval.high
    if not (inside or close(score.value, interval.low) or close(score.value, interval.high)):
        yield f"the interval [{interval.low}, {interval.high}] does not contain its estimate, {score.value}"


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Choice:
    """Choice on validation for one label fraction and draw.

    A record can have hundreds of these; sections would take most of the memory of a run.

    Args:
        val_kind: ``split`` (validation split), ``inner_cv`` (folds of the training labels) or ``none``.
        n_val: validation samples.
        chosen: penalty; None for a probe without penalties.
        at_edge: the penalty is the first or last of its path, so that a wider path may be better.
        val_score: validation score at that penalty, by which layers are chosen; None without validation.
        val_loss: mean validation loss at that penalty (log loss in nats, or squared error), which breaks ties of
            ``val_score``; None without validation and in records of older versions.
        runner_up_gap: validation loss of the second-best penalty minus that of the chosen one.
        fold: fold that the choice was made for, which took no part in it; None if not cross-validated.
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
    fold: NonNegativeInt | None = None


class Selection(Section):
    """How the hyperparameter was chosen: on which split, by which criterion, among which candidates.

    Args:
        near: per label fraction, taps whose validation score is at most one standard error below the best, including
            the best; empty in records of older versions, and if there are no taps to choose from.
    """

    split: str
    criterion: str
    candidates: tuple[float, ...] = ()
    choices: tuple[Choice, ...] = ()
    near: dict[str, tuple[str, ...]] = {}


class ExpectedRange(Section):
    """The range that a score was judged by.

    Args:
        low: lowest expected value, in the metric's own unit.
        high: highest expected value.
        rule: ``numeric``, ``seeds``, ``published``, or ``other_protocol`` for a published score that judges nothing.
        why: reason of the range.
        mean: expected value.
        n: number of solves or seeds that it was set from; 1 for a published score.
        seeds: for trainings, the number of seeds whose mean the range holds for; None for other rules.
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
            raise ValueError(f"the range [{self.low}, {self.high}] does not contain its mean, {self.mean}")
        return self


class FirstAttempt(Section):
    """Verdict on a trained case before it was trained again with the same number of new seeds.

    Args:
        verdict: ``below`` or ``above``.
        value: mean over the first seeds.
        seeds: number of first seeds.
        expected: the range for the mean over this number of seeds.
    """

    verdict: Literal["below", "above"]
    value: float
    seeds: int = Field(ge=1)
    expected: ExpectedRange
