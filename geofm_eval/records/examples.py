"""Test chips with their predictions, kept for a contact sheet."""

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
        id: of the chip.
        image: (bands, H, W) in the bands' units, NaN where there are no data.
        valid: (H, W) or (bands, H, W) bool.
        bands: names of the bands.
        date: of a series the date that is shown; None for single images.
        target: (H, W).
        known: (H, W) bool, False where the target has no label.
        predicted: (H, W).
        score: of this chip alone, in the task's metric.
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
    """Positions of the best, the median and the worst, greater being better; chips without a quality are left out.

    Fewer than three chips are all shown; of equal ones the first.
    """
    known = sorted((i for i, value in enumerate(qualities) if not math.isnan(value)), key=lambda i: -qualities[i])
    return list(dict.fromkeys([known[0], known[(len(known) - 1) // 2], known[-1]])) if known else []
