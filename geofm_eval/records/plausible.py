"""What no measurement can be: a score out of its metric's bounds, a mean that is not that of its draws."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from geofm_eval.metric import METRICS

if TYPE_CHECKING:
    from geofm_eval.records.schema import Record, Score

TOLERANCE = 1e-6
"""Relative difference that two ways of adding the same numbers may have."""

SHARES = ("accuracy", "pixel_accuracy", "mean_f1", "iou_class")
"""Beginnings of the names of companions that are proportions."""

_BOUNDS = {name: (metric.low, metric.high) for name, metric in METRICS.items()}
_BOUNDS["mean_r2"] = _BOUNDS["r2"]


def refuse(problem: str | None) -> None:
    """Raise what was found as the ValueError that pydantic collects."""
    if problem is not None:
        raise ValueError(problem)


def close(one: float, other: float) -> bool:
    """Whether two sums of the same numbers agree but for rounding."""
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))


def score_problem(score: "Score") -> str | None:
    """What is impossible about a score by itself; None where nothing is."""
    return next(_score_problems(score), None)


def record_problem(record: "Record") -> str | None:
    """What does not fit together in a record; None where nothing is wrong."""
    return next(_record_problems(record), None)


def _score_problems(score: "Score") -> Iterator[str]:
    values = {"value": [score.value], "per_draw": score.per_draw}
    for name, own in values.items():
        yield from _out_of_bounds(name, own, score.metric)
    for name, value in score.extra.items():
        yield from _out_of_bounds(f"extra.{name}", [value], "accuracy" if name.startswith(SHARES) else name)
    if score.metric in METRICS and METRICS[score.metric].direction != score.direction:
        yield f"direction of {score.metric} is '{score.direction}'"
    interval = score.interval
    if interval is None:
        return
    inside = interval.low <= score.value <= interval.high
    if not (inside or close(score.value, interval.low) or close(score.value, interval.high)):
        yield f"the interval [{interval.low}, {interval.high}] does not hold its own estimate, {score.value}"


def _out_of_bounds(name: str, values: Sequence[float], metric: str) -> Iterator[str]:
    low, high = _BOUNDS.get(metric, (float("-inf"), float("inf")))
    for value in values:
        if not low - TOLERANCE <= value <= high + TOLERANCE:
            yield f"{name} is {value}: {metric} lies between {low:g} and {high:g} (a fraction, not a percentage)"


def _record_problems(record: "Record") -> Iterator[str]:
    scores = record.scores
    for key, score in scores.items():
        if not 0 < float(key) <= 1:
            yield f"label fraction {key} is not above 0 and at most 1"
        mean = sum(score.per_draw) / len(score.per_draw)
        if record.provenance.protocol == "holdout" and not close(score.value, mean):
            yield f"scores.{key}: value {score.value} is not the mean of per_draw, {mean}"
    ordered = sorted(scores, key=float)
    if len({(score.metric, score.n) for score in scores.values()}) > 1:
        yield "label fractions differ in metric or number of test items"
    counts = [scores[key].n_train for key in ordered]
    if counts != sorted(counts):
        yield f"n_train falls with the label fraction: {counts}"
    if unknown := set(record.expected_ranges) - set(scores):
        yield f"expected_ranges has fraction {min(unknown)}, which has no score"
    yield from _choice_problems(record)
    yield from _training_problems(record)
    sensors = {"sim", "real"} & set(record.case.markers)
    if record.evidence is not None and sensors and ("sim" in sensors) != (record.evidence == "simulated"):
        yield f"evidence is '{record.evidence}', the case is marked {', '.join(sorted(sensors))}"


def _choice_problems(record: "Record") -> Iterator[str]:
    """Of what was chosen on validation: each draw of the score once at most, validation scores within bounds."""
    if record.selection is None or not record.scores:
        return
    draws: dict[str, list[int]] = {}
    for choice in record.selection.choices:
        key = repr(float(choice.fraction))
        draws.setdefault(key, []).append(choice.draw)
        if key not in record.scores:
            yield f"selection has a choice at fraction {key}, which has no score"
            continue
        if choice.val_score is not None and not _turned(record.scores[key].metric):
            yield from _out_of_bounds("val_score", [choice.val_score], record.scores[key].metric)
    for key, own in draws.items():
        count = len(record.scores[key].per_draw)
        beyond = record.training is None and max(own) >= count  # of a training the draw is the number of its seed
        if len(set(own)) < len(own) or beyond:
            yield f"selection at fraction {key} has choices of draws {sorted(own)[:9]}, the score has {count} draws"


def _training_problems(record: "Record") -> Iterator[str]:
    """Of a training: one seed per value, and the chips that its score counts."""
    training = record.training
    if training is None:
        return
    for key, score in record.scores.items():
        if len(training.seeds) != len(score.per_draw):
            yield f"scores.{key} has {len(score.per_draw)} values, the training {len(training.seeds)} seeds"
        for name, count in (("test", score.n), ("train", score.n_train)):
            if name in training.chips and training.chips[name] != count:
                yield f"training counts {training.chips[name]} {name} chips, the score {count}"
        if not _turned(score.metric):
            yield from _out_of_bounds("val_score", [one.val_score for one in training.seeds], score.metric)


def _turned(metric: str) -> bool:
    """True where validation may have been scored by the negative of the metric, which has other bounds."""
    return metric in METRICS and not METRICS[metric].higher_is_better
