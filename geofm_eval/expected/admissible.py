"""Admissible choices: the penalties that a probe may choose because of rounding, and the scores that they lead to.

A probe chooses the penalty with the lowest validation loss. Where the losses of two penalties are nearly equal, the
last digits of the features decide, and those differ between processors. To measure which penalties are that close, the
probe is solved again several times with features that differ in their last digits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEVIATIONS = 5.0
"""A penalty is admissible within this many standard deviations of its lead."""

ROUNDING = 1e-9
"""Minimum tolerance relative to the lowest validation loss. Losses are means of float64 terms at float64 optima; their
error is below 1e-10 of the loss. Features that relative noise does not change, such as zeros, need a minimum."""


@dataclass(frozen=True)
class Choices:
    """Positions of the admissible penalties of one label draw: the chosen one, then the others in ascending order.

    ``gap`` is the validation loss of the second-best penalty minus that of the best; None without validation samples.
    """

    indices: tuple[int, ...]
    gap: float | None = None


@dataclass(frozen=True)
class Admitted:
    """Scores of one tap at one label fraction with admissible choices.

    Args:
        low: mean over draws of the lowest test score of an admissible penalty; for shuffle splits, the pooled R2 of the
            largest squared errors.
        high: the same for the highest score.
        solves: score of every solve by its name, the one without noise first.
        draws: choices of every draw, in order; empty for a probe without penalties.
    """

    low: float
    high: float
    solves: Mapping[str, float]
    draws: tuple[Choices, ...] = ()

    @property
    def gap(self) -> float | None:
        """Smallest gap of any draw."""
        return min((one.gap for one in self.draws if one.gap is not None), default=None)


def choices(above: NDArray[np.floating], noisy: Sequence[NDArray[np.floating]], chosen: int, lowest: float) -> Choices:
    """Return the admissible penalties of one draw.

    The standard deviation of a penalty's lead is taken around the solve without noise, so that a shift counts too:
    sd_k^2 = mean over solves of (d_k - d_k0)^2, with d_k the validation loss of penalty k minus that of the best one.

    Args:
        above: (L,) validation losses of the solve without noise minus the lowest of them; empty without validation.
        noisy: the same for every other solve, each minus its own lowest.
        chosen: position of the lowest loss; without validation, of the default penalty.
        lowest: the lowest validation loss of the solve without noise.
    """
    if not len(above):
        return Choices((chosen,))
    own = above.astype(np.float64)
    leads = [one.astype(np.float64) - float(one[chosen]) for one in noisy]
    sd = np.sqrt(np.mean([np.square(lead - own) for lead in leads], axis=0)) if leads else np.zeros(len(own))
    tolerance = np.maximum(DEVIATIONS * sd, ROUNDING * abs(lowest))
    others = [int(k) for k in np.flatnonzero(own <= tolerance) if k != chosen]
    return Choices((chosen, *others), float(np.sort(own)[1]) if len(own) > 1 else None)


def as_text(draws: Sequence[Choices]) -> str:
    """Write admissible penalties as in a range file: spaces separate draws, bars penalties of a draw: ``21|22 20``."""
    return " ".join("|".join(map(str, one.indices)) for one in draws)


def from_text(text: str) -> tuple[tuple[int, ...], ...]:
    """Read what :func:`as_text` wrote: for every draw, the positions of the admissible penalties, the chosen one first.

    Raises:
        ValueError: the text has anything but integers from 0 on, or one twice in a draw.
    """
    found = tuple(tuple(int(one) for one in draw.split("|")) for draw in text.split(" "))
    if any(min(draw) < 0 or len(set(draw)) < len(draw) for draw in found):
        raise ValueError(text)
    return found
