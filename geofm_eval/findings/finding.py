"""Findings: verdict, effect with its interval, and the cells that they are based on."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from geofm_eval.results.run import Run
from geofm_eval.results.units import MetricFormat
from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import joint_freedom, t_quantile
from geofm_eval.stats.p_values import ALPHA, holm, p_above, p_below, p_value

Verdict = Literal["supported", "refuted", "undecided", "not enough records"]

POINTS = "points"
"""Unit of most effects: hundredths of accuracy, IoU and R2; percent of the RMSE compared with."""

MARGIN = 1.0
"""Points below which a gain is too small to matter."""


@dataclass(frozen=True)
class Claim:
    """A claim about an effect, in the finding's unit.

    Most cells above ``above`` support it if the mean over cells is at least ``worth``; most cells below ``below``
    refute it.
    """

    above: float
    below: float
    worth: float


GAIN = Claim(above=0.0, below=MARGIN, worth=MARGIN)
"""Something is better than something else."""

AS_GOOD = Claim(above=-MARGIN, below=-MARGIN, worth=-MARGIN)
"""Something is as good as something else, up to a margin; a difference of 0 cannot be shown."""


@dataclass(frozen=True)
class FindingCell:
    """One difference that a verdict is based on (``counts``), or that is only reported, with its 95 % interval.

    Args:
        id: ``model-task-adaptation``, or similar.
        group: what it is reported with, for example ``linear``.
        contrast: for example ``block04 - final``.
        estimate: in the finding's unit, more is better.
        p: two-sided p of no difference, Holm-adjusted over the cells shown together; None without an interval.
        p_above: one-sided p of an effect that is not above the claim's ``above``; not adjusted.
        p_below: one-sided p of an effect that is not below the claim's ``below``; not adjusted.
        data: equal for cells on the same test samples.
        ceiling: both scores are so near to the best possible that neither can lead by a margin.
    """

    id: str
    group: str
    contrast: str
    estimate: float
    low: float | None
    high: float | None
    p: float | None
    p_above: float | None
    p_below: float | None
    counts: bool
    data: str = ""
    ceiling: bool = False

    @property
    def above(self) -> bool:
        """Whether it is clearly above zero on its own, after Holm."""
        return self.p is not None and self.p <= ALPHA and self.estimate > 0

    @property
    def below(self) -> bool:
        """Whether it is clearly below zero on its own, after Holm."""
        return self.p is not None and self.p <= ALPHA and self.estimate < 0


@dataclass(frozen=True)
class Finding:
    """Verdict on one claim from the records of one evidence class.

    Claims of several parts share a ``number``. ``effect`` is the mean over the cells that count, with its 95 %
    interval; None without enough of them. ``why`` gives the reasons, the most important first. ``means`` are those of
    groups with a joint interval, which :func:`mean_of` can only bound.
    """

    number: int
    title: str
    verdict: Verdict
    effect: float | None
    low: float | None
    high: float | None
    unit: str
    cells: tuple[FindingCell, ...]
    evidence: str
    why: tuple[str, ...]
    means: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, list[FindingCell]]:
        """Cells by group, groups that count first."""
        found: defaultdict[str, list[FindingCell]] = defaultdict(list)
        for cell in sorted(self.cells, key=lambda cell: not cell.counts):
            found[cell.group].append(cell)
        return dict(found)


def cell_of(
    name: str,
    group: str,
    contrast: str,
    difference: Difference,
    counts: bool,
    data: str = "",
    claim: Claim = GAIN,
) -> FindingCell:
    """Make a cell whose two-sided p is not adjusted yet.

    ``difference`` is in the finding's unit, ``data`` is equal for what was tested on the same items, and the one-sided
    p-values are about ``claim``.
    """
    one_sided = p_above(difference, claim.above), p_below(difference, claim.below)
    # Adding zero turns -0.0, which a difference of nothing may be after a change of direction, into 0.0.
    value, low, high = difference.value + 0.0, difference.low, difference.high
    return FindingCell(name, group, contrast, value, low, high, p_value(difference), *one_sided, counts, data)


def adjusted(cells: Sequence[FindingCell]) -> list[FindingCell]:
    """Adjust the two-sided p-values of cells that are shown together; cells without an interval are in no test."""
    found = iter(holm([cell.p for cell in cells if cell.p is not None]))
    return [replace(cell, p=None if cell.p is None else next(found)) for cell in cells]


def mean_of(cells: Sequence[FindingCell]) -> Difference:
    """Mean of cells of which no more than their intervals is known; see :func:`joint`."""
    return joint([(1 / len(cells), Difference(cell.estimate, cell.low, cell.high), cell.data) for cell in cells])


def joint(parts: Sequence[tuple[float, Difference, str]]) -> Difference:
    """Weighted sum of (weight, difference, data) of which no more than the intervals of its parts is known.

    Errors of parts with equal ``data``, tested on the same items, are taken to move together (half widths are added),
    which is the most that they can: an upper bound. Those of different items are independent: variances are added, with
    degrees of freedom after Satterthwaite, each end by itself.
    """
    value = sum(weight * part.value for weight, part, _ in parts)
    below: defaultdict[str, float] = defaultdict(float)
    over: defaultdict[str, float] = defaultdict(float)
    freedom: defaultdict[str, float] = defaultdict(lambda: math.inf)
    for weight, part, data in parts:
        if part.low is None or part.high is None:
            return Difference(value)
        below[data] += weight * (part.value - part.low)
        over[data] += weight * (part.high - part.value)
        freedom[data] = min(freedom[data], part.freedom)
    (low, one), (high, other) = _added(below, freedom), _added(over, freedom)
    return Difference(value, value - low, value + high, min(one, other))


def _added(halves: Mapping[str, float], freedom: Mapping[str, float]) -> tuple[float, float]:
    """Half width of a sum of independent parts with these half widths, and its degrees of freedom."""
    tail = (1 + LEVEL) / 2
    variances = [((half / t_quantile(tail, freedom[data])) ** 2, freedom[data]) for data, half in halves.items()]
    together = joint_freedom(variances)
    return t_quantile(tail, together) * math.sqrt(sum(variance for variance, _ in variances)), together


def decided(
    number: int,
    title: str,
    verdict: Verdict,
    mean: Difference,
    cells: Sequence[FindingCell],
    run: Run,
    why: tuple[str, ...],
    means: Mapping[str, Difference] | None = None,
) -> Finding:
    """A finding in points; arguments as those of :class:`Finding`, ``mean`` being its effect."""
    effect = mean.value, mean.low, mean.high
    return Finding(number, title, verdict, *effect, POINTS, tuple(cells), _evidence(run), why, means or {})


def undecidable(
    number: int,
    title: str,
    cells: Sequence[FindingCell],
    run: Run,
    why: str,
    means: Mapping[str, Difference] | None = None,
) -> Finding:
    """A finding that there are not enough records for; ``why`` says what is missing."""
    nothing, evidence = (None, None, None), _evidence(run)
    return Finding(number, title, "not enough records", *nothing, POINTS, tuple(cells), evidence, (why,), means or {})


def tally(cells: Sequence[FindingCell]) -> str:
    """Count single cells after Holm: ``2 of 5 clearly above 0, 1 clearly below``."""
    above, below = sum(cell.above for cell in cells), sum(cell.below for cell in cells)
    return f"{above} of {len(cells)} clearly above 0" + (f", {below} clearly below" if below else "")


def spread(mean: Difference, unit: str = POINTS) -> str:
    """Format a mean with its interval: ``+1.2 [-0.3, +2.7]``; units finer than points get three decimals."""
    return MetricFormat("", "", 1.0, 1 if unit == POINTS else 3).difference(mean)


def _evidence(run: Run) -> str:
    return str(run.scored[0].evidence)
