"""Which backbone, which decoder, which block, which adaptation: levels of a factor on the cells that all of them have.

The level to take is chosen by validation scores; test scores say what it is worth, and how far the others are behind.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.catalog.dense import CHOSEN
from geofm_eval.report.choice import Difference, Pairs
from geofm_eval.report.dense.cells import CaseStudy, Cell
from geofm_eval.report.dense.effects import mean_difference

Key = Callable[[Cell], tuple[str, Hashable] | None]
"""From a cell to its level of a factor and to what it shares with cells of the other levels; None for other cells."""


@dataclass(frozen=True)
class Level:
    """One level of a factor.

    Args:
        factor: such as ``decoder``.
        name: such as ``lightms``.
        cells: its cells, one for each combination that all levels of the factor have.
        chosen: its mean validation score is the best of the factor's levels.
        test: mean test score.
        behind: mean test score minus that of the chosen level, with its paired interval.
    """

    factor: str
    name: str
    cells: tuple[Cell, ...]
    chosen: bool
    test: float
    behind: Difference

    @property
    def validated(self) -> float:
        """Mean validation score, in the metric."""
        return _mean([cell.validated for cell in self.cells])


def levels(study: CaseStudy, pairs: Pairs) -> list[Level]:
    """Levels of every factor that has two or more, best by validation first."""
    return [level for factor, key in _factors() for level in _levels(factor, _complete(study, key), pairs)]


def has_levels(study: CaseStudy) -> bool:
    """True where some factor has two levels."""
    return any(len(_complete(study, key)) > 1 for _, key in _factors())


def best_cases(study: CaseStudy) -> list[Cell]:
    """The trained case that validation would choose, once per label fraction, fewest labels first."""
    fractions = sorted({cell.adaptation.fraction for cell in study.candidates})
    return [
        max((c for c in study.candidates if c.adaptation.fraction == fraction), key=lambda c: c.sign * c.validated)
        for fraction in fractions
    ]


def _factors() -> Iterator[tuple[str, Key]]:
    yield "backbone", lambda cell: (cell.model, (cell.record.case.adaptation, cell.layer))
    yield "decoder", _decoder
    yield "block", _block
    yield "tuning", _tuning
    yield "tuning of lightms, 100 %", _tuning_of_lightms


def _plain(cell: Cell) -> bool:
    """True for cells of the factorial and their like: no variant, the usual blocks."""
    return not cell.adaptation.variant and not cell.adaptation.blocks and cell.layer != CHOSEN


def _decoder(cell: Cell) -> tuple[str, Hashable] | None:
    adaptation = cell.adaptation
    if not _plain(cell) or adaptation.head == "tokenlinear":  # which is frozen, at all labels, alone
        return None
    name = f"{adaptation.head} on {cell.layer}" if adaptation.single else adaptation.head
    return name, (cell.model, adaptation.tuning, cell.fraction)


def _block(cell: Cell) -> tuple[str, Hashable] | None:
    single = cell.adaptation.head.startswith("single")
    return (cell.layer, (cell.model, cell.adaptation.slug)) if _plain(cell) and single else None


def _tuning(cell: Cell) -> tuple[str, Hashable] | None:
    adaptation = cell.adaptation
    if not _plain(cell) or adaptation.tuning not in ("frozen", "full"):
        return None
    return adaptation.tuning, (cell.model, adaptation.head, cell.fraction, cell.layer)


def _tuning_of_lightms(cell: Cell) -> tuple[str, Hashable] | None:
    adaptation = cell.adaptation
    fits = _plain(cell) and adaptation.head == "lightms" and adaptation.fraction == 1
    return (adaptation.tuning, cell.model) if fits else None


def _complete(study: CaseStudy, key: Key) -> dict[str, list[Cell]]:
    """Cells by level; of every level those combinations that all levels have, in the same order."""
    found: defaultdict[str, dict[Hashable, Cell]] = defaultdict(dict)
    for cell in study.candidates:
        level = key(cell)
        if level is not None:
            found[level[0]][level[1]] = cell
    common = [shared for shared in next(iter(found.values()), {}) if all(shared in own for own in found.values())]
    return {name: [own[shared] for shared in common] for name, own in found.items()} if common else {}


def _levels(factor: str, found: dict[str, list[Cell]], pairs: Pairs) -> list[Level]:
    if len(found) < 2:
        return []
    order = sorted(found, key=lambda name: (-_mean([c.sign * c.validated for c in found[name]]), name))
    first = found[order[0]]
    return [
        Level(
            factor,
            name,
            tuple(found[name]),
            name == order[0],
            _mean([cell.score.value for cell in found[name]]),
            mean_difference(list(zip(found[name], first, strict=True)), pairs),
        )
        for name in order
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
