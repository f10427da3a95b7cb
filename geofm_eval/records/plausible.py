"""What no measurement can be: a score out of its metric's bounds."""

from collections.abc import Iterator, Sequence

from geofm_eval.metric import METRICS

TOLERANCE = 1e-6
"""Relative difference that two ways of adding the same numbers may have."""

_BOUNDS = {name: (metric.low, metric.high) for name, metric in METRICS.items()}
_BOUNDS["mean_r2"] = _BOUNDS["r2"]


def refuse(problems: Iterator[str]) -> None:
    """Raise the first problem as the ValueError that pydantic collects."""
    for problem in problems:
        raise ValueError(problem)


def close(one: float, other: float) -> bool:
    """Whether two sums of the same numbers agree but for rounding."""
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))


def out_of_bounds(name: str, values: Sequence[float], metric: str) -> Iterator[str]:
    """Say of some values which of them are out of their metric's bounds."""
    low, high = _BOUNDS.get(metric, (float("-inf"), float("inf")))
    for value in values:
        if not low - TOLERANCE <= value <= high + TOLERANCE:
            yield f"{name} is {value}: {metric} lies between {low:g} and {high:g} (a fraction, not a percentage)"
