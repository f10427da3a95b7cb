"""Test chips with predictions, for a contact sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Example:
    """One chip.

    Args:
        image: (bands, H, W) in the bands' units, NaN without data.
        valid: (H, W) or (bands, H, W) bool.
        date: date that is shown of a series; None for single images.
        target: (H, W).
        known: (H, W) bool, False for pixels without label.
        predicted: (H, W).
        score: score of this chip, in the task's metric.
    """

    id: str
    image: Array
    valid: Array
    bands: tuple[str, ...]
    date: str | None
    target: Array
    known: Array
    predicted: Array
    score: float


def pick(qualities: Sequence[float]) -> list[int]:
    """Return the positions of the best, median and worst chip, each once; greater is better, and NaN is excluded."""
    known = sorted((i for i, value in enumerate(qualities) if not math.isnan(value)), key=lambda i: -qualities[i])
    return list(dict.fromkeys([known[0], known[(len(known) - 1) // 2], known[-1]])) if known else []
