"""Levels of each factor (backbone, decoder, block, tuning), compared on the cells that all of them have.

Validation scores choose the level; test scores show its worth, and the difference to the other levels.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.dense import CHOSEN, DEPTH, SINGLE_BLOCKS, scaled_block
from geofm_eval.factors.marginal import depth_of, mean_difference
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.trainings import TrainedCases, TrainedCell
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.reselection import choose

Key = Callable[[TrainedCell], tuple[str, Hashable] | None]
"""From a cell to its level of a factor, and to a key that cells of other levels share; None for other cells."""


@dataclass(frozen=True)
class Level:
    """One level of a factor, for example ``lightms``, with one cell per combination that all levels have.

    The ``chosen`` level has the best mean validation score. ``test`` is the mean test score, and ``behind`` its paired
    difference to the chosen level.
    """

    name: str
    cells: tuple[TrainedCell, ...]
    chosen: bool
    test: float
    behind: Difference

    @property
    def validated(self) -> float:
        """Mean validation score, in the metric."""
        return _mean([cell.validated for cell in self.cells])


@dataclass(frozen=True)
class Decision:
    """A factor with two or more levels, best on validation first.

    ``left_out`` are levels with few combinations, which would leave fewer cells to compare the others on.
    """

    name: str
    levels: tuple[Level, ...]
    left_out: tuple[str, ...]


def factors(cases: TrainedCases, catalog: Catalog) -> list[Decision]:
    """Return every factor that has two or more levels."""
    found = ((name, *_complete(cases, key)) for name, key in _keys(catalog))
    return [Decision(name, _levels(own, cases.pairs), left_out) for name, own, left_out in found if len(own) > 1]


def best_cases(cases: TrainedCases) -> list[TrainedCell]:
    """Return the best case on validation for each label fraction with two or more cases, fewest labels first."""
    by_fraction: defaultdict[float, list[TrainedCell]] = defaultdict(list)
    for cell in cases.candidates:
        by_fraction[cell.adaptation.fraction].append(cell)
    some = [cells for _, cells in sorted(by_fraction.items()) if len(cells) > 1]
    return [cells[choose([cell.sign * cell.validated for cell in cells])] for cells in some]


def _keys(catalog: Catalog) -> Iterator[tuple[str, Key]]:
    yield "backbone", lambda cell: (cell.model, (cell.record.case.adaptation, place(cell, catalog)))
    yield "decoder", lambda cell: _decoder(cell, catalog)
    yield "block", lambda cell: _block(cell, catalog)
    yield "tuning", _tuning
    yield "tuning of lightms, 100 %", _tuning_of_lightms


def place(cell: TrainedCell, catalog: Catalog) -> str:
    """Return what a cell reads, named as for twelve blocks, so that models of any depth share the names."""
    depth = depth_of(cell.model, catalog)
    places = {f"block{scaled_block(block, depth):02d}": f"block{block:02d} of {DEPTH}" for block in SINGLE_BLOCKS}
    return places.get(cell.layer, cell.layer)


def plain(cell: TrainedCell) -> bool:
    """Whether a cell has no variant and reads the usual blocks."""
    return not cell.adaptation.variant and not cell.adaptation.blocks and cell.layer != CHOSEN


def _decoder(cell: TrainedCell, catalog: Catalog) -> tuple[str, Hashable] | None:
    return (decoder(cell, catalog), (cell.model, cell.adaptation.tuning, cell.fraction)) if plain(cell) else None


def decoder(cell: TrainedCell, catalog: Catalog) -> str:
    """Return the name of a decoder as a level: ``lightms``, ``single on block05 of 12``."""
    head = cell.adaptation.head
    return f"{head} on {place(cell, catalog)}" if head.startswith("single") else head


def _block(cell: TrainedCell, catalog: Catalog) -> tuple[str, Hashable] | None:
    single = cell.adaptation.head.startswith("single")
    return (place(cell, catalog), (cell.model, cell.adaptation.slug)) if plain(cell) and single else None


def _tuning(cell: TrainedCell) -> tuple[str, Hashable] | None:
    adaptation = cell.adaptation
    if not plain(cell) or adaptation.tuning not in ("frozen", "full"):
        return None
    return adaptation.tuning, (cell.model, adaptation.head, cell.fraction, cell.layer)


def _tuning_of_lightms(cell: TrainedCell) -> tuple[str, Hashable] | None:
    adaptation = cell.adaptation
    fits = plain(cell) and adaptation.head == "lightms" and adaptation.fraction == 1
    return (adaptation.tuning, cell.model) if fits else None


def _complete(cases: TrainedCases, key: Key) -> tuple[dict[str, list[TrainedCell]], tuple[str, ...]]:
    """Cells by level, of the combinations that all levels have, in the same order; and the levels left out."""
    found: defaultdict[str, dict[Hashable, TrainedCell]] = defaultdict(dict)
    for cell in cases.candidates:
        level = key(cell)
        if level is not None:
            found[level[0]][level[1]] = cell
    # Levels are removed one by one, so that most cells can be compared, and the best stage is taken; ties go by name.
    # Scores play no part.
    stages = [sorted(found)]
    while len(stages[-1]) > 2:
        fewer = [[name for name in stages[-1] if name != gone] for gone in stages[-1]]
        stages.append(max(fewer, key=lambda some: _cells(found, some)))
    kept = max(stages, key=lambda some: _cells(found, some))
    common = _common(found, kept)
    left_out = tuple(sorted(set(found) - set(kept)))
    return {name: [found[name][shared] for shared in common] for name in kept} if common else {}, left_out


def _cells(found: Mapping[str, Mapping[Hashable, TrainedCell]], kept: Sequence[str]) -> tuple[int, int]:
    """Number of cells that some levels are compared on, then number of levels."""
    return len(kept) * len(_common(found, kept)), len(kept)


def _common(found: Mapping[str, Mapping[Hashable, TrainedCell]], kept: Sequence[str]) -> list[Hashable]:
    first = found[kept[0]] if kept else {}
    return sorted((shared for shared in first if all(shared in found[name] for name in kept)), key=str)


def _levels(found: dict[str, list[TrainedCell]], pairs: Pairs) -> tuple[Level, ...]:
    names = sorted(found)
    means = {name: _mean([c.sign * c.validated for c in found[name]]) for name in names}
    best = names[choose(list(means.values()))]
    order = sorted(names, key=lambda name: (name != best, -means[name], name))
    first = found[best]
    return tuple(
        Level(
            name,
            tuple(found[name]),
            name == order[0],
            _mean([cell.score.value for cell in found[name]]),
            mean_difference(list(zip(found[name], first, strict=True)), pairs),
        )
        for name in order
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
