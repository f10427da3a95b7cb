"""What a finding says: its verdict, its size with an interval, and the cells that it rests on."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from geofm_eval.holm import ALPHA, holm, p_value
from geofm_eval.records import Score
from geofm_eval.report.choice import Difference
from geofm_eval.report.run import RunContent
from geofm_eval.report.wording import Unit

Verdict = Literal["supported", "refuted", "undecided", "not enough records"]

POINTS = "points"
"""Unit of most effects: hundredths of accuracy, IoU and R2, of an RMSE percents of what it is compared with."""

MARGIN = 1.0
"""Points below which a gain is too small to matter."""


@dataclass(frozen=True)
class Cell:
    """One difference that a finding rests on, or that is shown beside it.

    Args:
        id: ``model-task-adaptation``, or what takes its place.
        group: what it is reported with, such as ``linear``.
        contrast: such as ``block04 - final``.
        estimate: in the finding's unit, turned so that more is better.
        low: lower end of its 95 % interval; None where none can be given.
        high: upper end.
        p: Holm-adjusted p of no difference, over the cells that it was tested with; None without an interval.
        p_margin: the same of a difference of ``MARGIN``.
        counts: the verdict rests on it.
        data: cells with equal ``data`` were tested on the same items.
    """

    id: str
    group: str
    contrast: str
    estimate: float
    low: float | None
    high: float | None
    p: float | None
    p_margin: float | None
    counts: bool
    data: str = ""

    @property
    def above(self) -> bool:
        """Clearly above zero, after Holm."""
        return self.p is not None and self.p <= ALPHA and self.estimate > 0

    @property
    def below(self) -> bool:
        """Clearly below zero, after Holm."""
        return self.p is not None and self.p <= ALPHA and self.estimate < 0

    @property
    def small(self) -> bool:
        """Clearly below the margin, after Holm."""
        return self.p_margin is not None and self.p_margin <= ALPHA and self.estimate < MARGIN


@dataclass(frozen=True)
class Finding:
    """What the records of one evidence class say about one claim.

    Args:
        number: of the claim; claims of several parts share it.
        title: what is claimed, in a few words.
        verdict: whether the records bear it out.
        effect: mean over the cells that count; None without enough of them.
        low: lower end of its 95 % interval.
        high: upper end.
        unit: of effect and cells.
        cells: what it rests on, and what is shown beside it.
        evidence: ``published``, ``sample`` or ``simulated``.
        why: sentences that give the reasons, the most important first.
        means: of groups whose cells have a narrower interval together than :func:`mean_of` can give.
    """

    number: int
    title: str
    verdict: Verdict
    effect: float | None
    low: float | None
    high: float | None
    unit: str
    cells: tuple[Cell, ...]
    evidence: str
    why: tuple[str, ...]
    means: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, list[Cell]]:
        """Cells by group, groups that count first."""
        found: defaultdict[str, list[Cell]] = defaultdict(list)
        for cell in sorted(self.cells, key=lambda cell: not cell.counts):
            found[cell.group].append(cell)
        return dict(found)


def points_per_unit(score: Score, base: Score) -> float:
    """What a difference of two scores is multiplied by to be in points, negative where less is better."""
    factor = 100.0 if score.direction == "higher" else -100.0
    bounded = score.metric in ("accuracy", "miou", "iou", "r2")
    return factor if bounded or base.value == 0 else factor / abs(base.value)


def in_points(difference: Difference, score: Score, base: Score) -> Difference:
    """A difference of two scores in points, turned so that more is better.

    Args:
        difference: in the metric's own unit.
        score: for metric and direction.
        base: what it is a difference to: errors are given in percents of it.
    """
    return difference.times(points_per_unit(score, base))


def cell_of(name: str, group: str, contrast: str, difference: Difference, counts: bool, data: str = "") -> Cell:
    """A cell whose p-values are not adjusted yet.

    Args:
        name: becomes its id.
        group: what it is reported with.
        contrast: what is set against what.
        difference: in the finding's unit.
        counts: the verdict rests on it.
        data: equal for what was tested on the same items.
    """
    low, high = difference.low, difference.high
    p, p_margin = p_value(difference), p_value(difference, MARGIN)
    # Adding zero turns -0.0, which a difference of nothing may be after a change of direction, into 0.0.
    return Cell(name, group, contrast, difference.value + 0.0, low, high, p, p_margin, counts, data)


def adjusted(cells: Sequence[Cell]) -> list[Cell]:
    """Adjust the p-values of cells that are tested together; cells without an interval are in no test."""
    above = iter(holm([cell.p for cell in cells if cell.p is not None]))
    margin = iter(holm([cell.p_margin for cell in cells if cell.p_margin is not None]))
    return [
        replace(c, p=None if c.p is None else next(above), p_margin=None if c.p_margin is None else next(margin))
        for c in cells
    ]


def mean_of(cells: Sequence[Cell]) -> Difference:
    """Mean of cells with a conservative interval; without one where a cell has none."""
    return joint([(1 / len(cells), Difference(cell.estimate, cell.low, cell.high), cell.data) for cell in cells])


def joint(parts: Sequence[tuple[float, Difference, str]]) -> Difference:
    """Weighted sum with a conservative interval.

    Errors of parts that were tested on the same items are taken to move together (half widths are added), which is the
    most that they can; those of different items are independent (squares of half widths are added).

    Args:
        parts: weight, difference, and what is equal for the same items.
    """
    value = sum(weight * part.value for weight, part, _ in parts)
    below: defaultdict[str, float] = defaultdict(float)
    over: defaultdict[str, float] = defaultdict(float)
    for weight, part, data in parts:
        if part.low is None or part.high is None:
            return Difference(value)
        below[data] += weight * (part.value - part.low)
        over[data] += weight * (part.high - part.value)
    return Difference(value, value - math.hypot(*below.values()), value + math.hypot(*over.values()))


def decide(cells: Sequence[Cell], mean: Difference) -> Verdict:
    """Whether most cells gain.

    Supported: more than half are clearly above zero, after Holm. Refuted: at least half are clearly below the margin,
    after Holm; or the upper end of the mean's interval is below it, while at most half of the estimates reach it.
    """
    half = len(cells) / 2
    if sum(cell.above for cell in cells) > half:
        return "supported"
    small_mean = mean.high is not None and mean.high < MARGIN and sum(c.estimate >= MARGIN for c in cells) <= half
    return "refuted" if small_mean or sum(cell.small for cell in cells) >= half else "undecided"


def decided(
    number: int,
    title: str,
    verdict: Verdict,
    mean: Difference,
    cells: Sequence[Cell],
    content: RunContent,
    why: tuple[str, ...],
    means: Mapping[str, Difference] | None = None,
) -> Finding:
    """A finding in points; arguments as those of :class:`Finding`, ``mean`` being its effect."""
    effect = mean.value, mean.low, mean.high
    return Finding(number, title, verdict, *effect, POINTS, tuple(cells), _evidence(content), why, means or {})


def undecidable(number: int, title: str, cells: Sequence[Cell], content: RunContent, why: str) -> Finding:
    """A finding that there are not enough records for; ``why`` says what is missing."""
    nothing = (None, None, None)
    return Finding(number, title, "not enough records", *nothing, POINTS, tuple(cells), _evidence(content), (why,))


def tally(cells: Sequence[Cell]) -> str:
    """Such as ``2 of 5 above 0, 1 below``."""
    below = sum(cell.below for cell in cells)
    return f"{sum(cell.above for cell in cells)} of {len(cells)} above 0" + (f", {below} below" if below else "")


def spread(mean: Difference, unit: str = POINTS) -> str:
    """Such as ``+1.2 [-0.3, +2.7]``; units finer than points get three decimals."""
    return Unit("", "", 1.0, 1 if unit == POINTS else 3).difference(mean)


def _evidence(content: RunContent) -> str:
    """The evidence class that all records share."""
    return str(content.scored[0].evidence)
