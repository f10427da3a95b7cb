"""Balanced full factorials of the trained cases or probes of a task."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.factors.blocks import Combination, largest_block, left_out
from geofm_eval.factors.levels import decoder, plain
from geofm_eval.plurals import counted
from geofm_eval.records import Score
from geofm_eval.results.comparison import Subject
from geofm_eval.results.trainings import TrainedCell
from geofm_eval.results.units import percent, share_of_labels
from geofm_eval.stats.jackknife import Floats

T = TypeVar("T")

FEWEST_FACTORS = 2
"""Factors that vary; a single one needs no analysis of variance."""

BACKBONE, DECODER, BLOCK, TUNING, LABELS, LAYER = "backbone", "decoder", "block", "tuning", "labels", "layer"


@dataclass(frozen=True)
class Factor:
    """A factor that varies, with two or more levels."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Factorial(Generic[T]):
    """Cells of every combination of the levels of some factors, the last factor varying fastest.

    ``fixed`` are factors with a single level; ``left_out`` describes recorded levels and cells that are not included.
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
        """Return the position of a factor; None if it does not vary."""
        return self.names.index(name) if name in self.names else None

    def combinations(self) -> list[Combination]:
        """Return the levels of every cell, in the order of the cells."""
        return list(itertools.product(*(factor.levels for factor in self.factors)))


def trained_factorial(cells: Sequence[TrainedCell], catalog: Catalog) -> Factorial[TrainedCell] | None:
    """Return the largest balanced factorial of backbone, decoder, tuning and labels among trained cases of a task.

    Cells with a variant, or that read other blocks than usual, are excluded, because they vary something else. It is
    None if fewer than two factors vary.
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
    """Return the largest balanced factorial of backbone, layer and labels among the probes of a task.

    With shuffle splits every cell has a single score, ``pooled`` over all shuffles. It is None if fewer than two
    factors vary, or no label fraction has several draws.
    """
    found: dict[Combination, Score] = {
        (subject.model, tap, share_of_labels(record.scores, fraction)): score
        for subject in subjects
        for tap, record in subject.taps.items()
        for fraction, score in record.scores.items()
    }
    names = (BACKBONE, LAYER, LABELS)
    if pooled:
        return _complete(names, found, found)
    return _factorial(names, found, lambda score: len(score.per_draw), "draws")


def replicates(scores: Sequence[Score]) -> Floats:
    """Return (cells, replicates) scores of every cell with each seed or draw."""
    return np.asarray([score.per_draw for score in scores], dtype=np.float64)


def _factorial(
    names: Sequence[str], found: Mapping[Combination, T], count: Callable[[T], int], noun: str
) -> Factorial[T] | None:
    """Find the largest block of cells with the most frequent number of replicates, two or more."""
    several = Counter(number for cell in found.values() if (number := count(cell)) > 1)
    if not several:
        return None
    usual = max(several, key=lambda number: (several[number], number))
    kept = {levels: cell for levels, cell in found.items() if count(cell) == usual}
    other = len(found) - len(kept)
    return _complete(names, found, kept, f"{counted(other, 'cell')} without {usual} {noun}" if other else "")


def _complete(
    names: Sequence[str], found: Mapping[Combination, T], kept: Mapping[Combination, T], others: str = ""
) -> Factorial[T] | None:
    """Find the largest block of the cells that are kept; None if fewer than two factors vary."""
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
