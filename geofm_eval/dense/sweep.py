"""Results of the dense probe: a row per tap and label subset, and the counts of every test chip."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError
from geofm_eval.stats.reselection import choose


@dataclass(frozen=True)
class DenseRow:
    """Result of one tap with one label subset.

    Args:
        fraction: label fraction.
        draw: number of the label draw.
        n_train: number of training chips.
        n_val: number of validation chips.
        cross_validated: whether these are the training chips, each predicted without it.
        tokens: number of training tokens.
        chosen: penalty with the lowest validation loss.
        at_edge: whether it is the first or last penalty.
        val_loss: mean validation loss of the tokens at every penalty: log loss, or squared error.
        val_score: the task's metric on the pixels of the validation chips, greater is better.
        converged: whether the solver reached its optimum; None for ridge, which is closed form.
        iterations: solver steps over all penalties.
        dropped_channels: number of channels that are constant over the training tokens.
    """

    tap: str
    fraction: float
    draw: int
    n_train: int
    n_val: int
    cross_validated: bool
    tokens: int
    chosen: float
    at_edge: bool
    val_loss: tuple[float, ...]
    val_score: float
    converged: bool | None
    iterations: int | None
    dropped_channels: int

    @property
    def chosen_loss(self) -> float:
        """Mean validation loss at the chosen penalty, which breaks ties of ``val_score``."""
        return min(self.val_loss)

    @property
    def runner_up_gap(self) -> float:
        """Difference between the second-lowest and the lowest validation loss."""
        lowest, second = sorted(self.val_loss)[:2]
        return second - lowest


@dataclass(frozen=True)
class DenseSweep:
    """The dense probe of one model on one task.

    Args:
        key: key in the cache.
        rows: one per tap, fraction and draw.
        counts: (rows, n, ...) counts of every test chip; see ``inference.counts_of``.
        candidates: penalties.
        seconds: time of encoding and scoring (``extract``), and of solving (``solve``).
        grid: tokens (h, w) of a window.
        window: pixels per side of a window.
        resamples: (taps, B) float32 by label fraction, mean validation score over the draws on resampled validation
            chips, in the order of ``taps``.
    """

    key: str
    rows: tuple[DenseRow, ...]
    counts: NDArray[Any]
    candidates: tuple[float, ...]
    seconds: Mapping[str, float]
    grid: tuple[int, int]
    window: int
    resamples: Mapping[float, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the taps in the order of the rows."""
        return tuple(dict.fromkeys(row.tap for row in self.rows))

    def rows_for(self, tap: str, fraction: float) -> list[tuple[DenseRow, NDArray[Any]]]:
        """Return the rows of a tap at a label fraction with their counts, ordered by draw."""
        found = [
            (row, self.counts[number])
            for number, row in enumerate(self.rows)
            if (row.tap, row.fraction) == (tap, fraction)
        ]
        return sorted(found, key=lambda pair: pair[0].draw)

    @property
    def fractions(self) -> list[float]:
        """Label fractions in ascending order."""
        return sorted({row.fraction for row in self.rows})

    def best_taps(self, count: int, fraction: float = 1.0) -> tuple[str, ...]:
        """Return the blocks with the best validation scores, shallow to deep; ties go to lower loss, then to depth.

        Args:
            count: number of blocks.
            fraction: label fraction; its first draw is used, as for decoders.

        Raises:
            ContractError: the probe was not solved at this fraction.
        """
        own = [row for row in self.rows if (row.fraction, row.draw) == (fraction, 0) and row.tap.startswith("block")]
        if not own:
            known = ", ".join(f"{one:g}" for one in self.fractions)
            raise ContractError(
                f"the dense probe was not solved with {fraction:g} of the labels; choose one of the fractions {known}"
            )
        left, best = sorted(own, key=lambda row: row.tap), list[str]()
        while left and len(best) < count:
            best.append(left.pop(choose([row.val_score for row in left], [row.chosen_loss for row in left])).tap)
        return tuple(sorted(best))
