"""Claims that one thing is as good as another: not clearly worse by the margin, which no difference of 0 can show."""

from collections.abc import Sequence
from dataclasses import replace

from geofm_eval.findings.finding import MARGIN, Cell, Verdict, cell_of
from geofm_eval.holm import ALPHA, p_value
from geofm_eval.report.choice import Difference


def cell_within(name: str, group: str, contrast: str, difference: Difference, counts: bool, data: str) -> Cell:
    """A cell whose ``p_margin`` is that of a loss of ``MARGIN``; arguments as of :func:`cell_of`."""
    cell = cell_of(name, group, contrast, difference, counts, data)
    return replace(cell, p_margin=p_value(difference, -MARGIN))


def as_good(cell: Cell) -> bool:
    """Clearly less than the margin worse, after Holm."""
    return cell.p_margin is not None and cell.p_margin <= ALPHA and cell.estimate > -MARGIN


def worse(cell: Cell) -> bool:
    """Clearly more than the margin worse, after Holm."""
    return cell.p_margin is not None and cell.p_margin <= ALPHA and cell.estimate < -MARGIN


def decide_as_good(cells: Sequence[Cell]) -> Verdict:
    """Supported: more than half are clearly as good within the margin; refuted: more than half clearly are not."""
    half = len(cells) / 2
    if sum(map(as_good, cells)) > half:
        return "supported"
    return "refuted" if sum(map(worse, cells)) > half else "undecided"


def tally_as_good(cells: Sequence[Cell]) -> str:
    """Such as ``3 of 4 clearly within a point, 1 clearly beyond``."""
    beyond = sum(map(worse, cells))
    text = f"{sum(map(as_good, cells))} of {len(cells)} clearly within a point"
    return f"{text}, {beyond} clearly beyond" if beyond else text
