"""Balanced full factorials in the records of a task: of trained cases, and of probes."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.factors.blocks import Combination, largest_block, left_out
from geofm_eval.factors.levels import decoder, plain
from geofm_eval.records import Score
from geofm_eval.results.comparison import Subject
from geofm_eval.results.trainings import TrainedCell
from geofm_eval.results.units import percent, share_of_labels
from geofm_eval.stats.jackknife import Floats

T = TypeVar("T")

FEWEST_FACTORS = 2
"""Of one factor that varies nothing has to be told apart."""

BACKBONE, DECODER, BLOCK, TUNING, LABELS, LAYER = "backbone", "decoder", "block", "tuning", "labels", "layer"


@dataclass(frozen=True)
class Factor:
    """What varies in a factorial: a name and two levels or more."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Factorial(Generic[T]):
    """Cells of every combination of the levels of some factors.

    Args:
        factors: in the order of the axes.
        cells: one per combination, the last factor varying fastest.
        fixed: the level of every factor that has one only.
        left_out: levels and cells that are in the records and not here, one sentence each.
    """

    factors: tuple[Factor, ...]
    cells: tuple[T, ...]
    fixed: Mapping[str, str]
    left_out: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of levels per factor."""
        return tuple(len(factor.levels) for factor in self.factors)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors."""
        return tuple(factor.name for factor in self.factors)

    def axis(self, name: str) -> int | None:
        """Position of a factor; None where it does not vary."""
        return self.names.index(name) if name in self.names else None

    def combinations(self) -> list[Combination]:
        """Levels of every cell, in the order of the cells."""
        return list(itertools.product(*(factor.levels for factor in self.factors)))


def trained_factorial(cells: Sequence[TrainedCell], catalog: Catalog) -> Factorial[TrainedCell] | None:
    """The largest balanced factorial of backbone, decoder, tuning and labels among the trained cases of a task.

    Cells with a variant, or that read other blocks than the usual ones, are no part of it: they vary something else.

    Returns:
        None where fewer than two factors vary.
    """
    found: dict[Combination, TrainedCell] = {
        (cell.model, decoder(cell, catalog), cell.adaptation.tuning, percent(cell.adaptation.fraction)): cell
        for cell in cells
        if plain(cell)
    }
    made = _factorial((BACKBONE, DECODER, TUNING, LABELS), found, lambda cell: len(cell.score.per_draw), "seeds")
    if made is None or any(not cell.adaptation.head.startswith("single") for cell in made.cells):
        return made
    # One decoder on several blocks varies the block.
    blocks = tuple(replace(one, name=BLOCK) if one.name == DECODER else one for one in made.factors)
    return replace(made, factors=blocks)


def probed_factorial(subjects: Sequence[Subject], pooled: bool = False) -> Factorial[Score] | None:
    """The largest balanced factorial of backbone, layer and labels among the probes of a task.

    Of shuffles every cell has a single score (``pooled``), over all of them together.

    Returns:
        None where fewer than two factors vary, or no label fraction has several draws.
    """
    found: dict[Combination, Score] = {
        (subject.model, tap, share_of_labels(record.scores, fraction)): score
        for subject in subjects
        for tap, record in subject.taps.items()
        for fraction, score in record.scores.items()
    }
    names = (BACKBONE, LAYER, LABELS)
    return (
        _complete(names, found, found)
        if pooled
        else _factorial(names, found, lambda score: len(score.per_draw), "draws")
    )


def replicates(scores: Sequence[Score]) -> Floats:
    """(cells, replicates) scores of every cell with each seed or draw."""
    return np.asarray([score.per_draw for score in scores], dtype=np.float64)


def _factorial(
    names: Sequence[str], found: Mapping[Combination, T], count: Callable[[T], int], noun: str
) -> Factorial[T] | None:
    """Find the largest block of cells with equally many replicates, at least two."""
    usual = _usual([count(cell) for cell in found.values()])
    if usual is None:
        return None
    kept = {levels: cell for levels, cell in found.items() if count(cell) == usual}
    other = len(found) - len(kept)
    return _complete(names, found, kept, f"{other} cells without {usual} {noun}" if other else "")


def _complete(
    names: Sequence[str], found: Mapping[Combination, T], kept: Mapping[Combination, T], others: str = ""
) -> Factorial[T] | None:
    """Find the largest block of the cells that are kept; None where fewer than two factors vary."""
    block = largest_block(kept)
    varied = [axis for axis, levels in enumerate(block) if len(levels) > 1]
    if len(varied) < FEWEST_FACTORS:
        return None
    gone = [f"{names[axis]}: {', '.join(levels)}" for axis, levels in left_out(found, block).items()]
    return Factorial(
        factors=tuple(Factor(names[axis], block[axis]) for axis in varied),
        cells=tuple(kept[levels] for levels in itertools.product(*block)),
        fixed={names[axis]: levels[0] for axis, levels in enumerate(block) if len(levels) == 1},
        left_out=(*gone, *([others] if others else [])),
    )


def _usual(counts: Sequence[int]) -> int | None:
    """Number of replicates that most cells have, of equals the larger; None where none has two."""
    several = Counter(count for count in counts if count > 1)
    return max(several, key=lambda count: (several[count], count), default=None)
