"""Base of all parts of a record: plain JSON values, plausibility checks, and sealed files."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue

from geofm_eval.metric import METRICS
from geofm_eval.seals import CHECKSUM, is_whole, parse_json

TOLERANCE = 1e-6
"""Largest relative difference of two sums of the same terms."""

_BOUNDS = {name: (metric.low, metric.high) for name, metric in METRICS.items()}
_BOUNDS["mean_r2"] = _BOUNDS["r2"]


class Section(BaseModel):
    """Frozen part of a record: unknown fields, NaN and infinity are rejected; unknown values are None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_LEAVES = frozenset((str, float, int, bool, type(None)))


def _plain(value: Any) -> Any:
    """Convert tuples and numpy scalars to JSON values, so that a record that is read equals the one written."""
    if type(value) in _LEAVES:
        return value
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


Plain = Annotated[JsonValue, BeforeValidator(_plain)]
Description = Annotated[dict[str, JsonValue], BeforeValidator(_plain)]
"""Description by another part of the library: any JSON with finite numbers."""


def refuse(problems: Iterator[str]) -> None:
    """Raise the first problem as the ValueError that pydantic collects."""
    for problem in problems:
        raise ValueError(problem)


def close(one: float, other: float) -> bool:
    """Return whether two sums of the same terms are equal except for rounding."""
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))


def out_of_bounds(name: str, values: Sequence[float], metric: str) -> Iterator[str]:
    """Report values outside the bounds of their metric."""
    low, high = _BOUNDS.get(metric, (float("-inf"), float("inf")))
    for value in values:
        if not low - TOLERANCE <= value <= high + TOLERANCE:
            yield f"{name} is {value}, but {metric} is between {low:g} and {high:g} (a fraction, not a percentage)"


def without_seal(raw: bytes | str) -> Any:
    """Parse JSON and check and remove its checksum, which files of older versions do not have.

    Raises:
        ValueError: the text is not JSON, or does not match its checksum.
    """
    content = parse_json(raw)
    if isinstance(content, dict) and CHECKSUM in content:
        if not is_whole(content):
            raise ValueError("its content does not match its checksum")
        content.pop(CHECKSUM)
    return content
