"""Power and false regressions of the gate, simulated: primary families against one Holm over all taps.

A run has one or twelve backbones whose weights changed. Every cell (tap and label fraction) tests 1,000 items, and a
given proportion of them turns from right to wrong or back, each cell independently. In the first backbone ``final``
loses the drop at all labels; everything else has no true difference. Compared are

- *one large Holm*: all 14 taps at three label fractions of all backbones are tested together, and a mean over taps and
  backbones may call a regression too, each at 5 %;
- *primary, per family*: ``final`` and the chosen tap at all labels, Holm within each family;
- *primary, per run*: the same cells, Holm over all families (``--family run``).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from geofm_eval.catalog.tasks import POINT
from geofm_eval.compare import chance_of_finding, decide, standard_error
from geofm_eval.compare.verdicts import REACH
from geofm_eval.report.formats import markdown_grid
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import holm, p_value
from geofm_eval.stats.scores import paired_interval

ITEMS, SIMULATIONS = 1000, 2000
TAPS, FRACTIONS, PRIMARY = 14, 3, 2
FAMILIES = (1, 12)
DROPS, CHANGED = (0.01, 0.02, 0.03), (0.04, 0.1)
"""True drops, and proportions of the items that the new weights turn from right to wrong or back."""


@dataclass(frozen=True)
class Simulated:
    """One simulated run.

    Args:
        cells: per family its differences; the first one of the first family is ``final``, which loses the drop.
        full: number of leading cells per family that are at the largest label fraction.
    """

    cells: list[list[Difference]]
    full: int


Rule = Callable[[Simulated], list[bool]]
"""Which families of a run are called a regression."""


def one_large_holm(run: Simulated) -> list[bool]:
    """All cells of all families together, and their mean at the largest label fraction."""
    found = _regressions(run.cells, [[place for place, _ in enumerate(run.cells)]])
    every = [cell for family in run.cells for cell in family[: run.full]]
    variance = sum((standard_error(cell) or 0.0) ** 2 for cell in every) / len(every) ** 2
    value, half = mean(cell.value for cell in every), REACH * math.sqrt(variance)
    pooled = Difference(value, value - half, value + half)
    worse = decide(pooled, p_value(pooled), POINT) == "regression"
    return [worse or one for one in found]


def per_family(run: Simulated) -> list[bool]:
    """Primary cells, Holm within each family."""
    return _regressions([family[:PRIMARY] for family in run.cells], [[place] for place, _ in enumerate(run.cells)])


def per_run(run: Simulated) -> list[bool]:
    """Primary cells, Holm over all families."""
    return _regressions([family[:PRIMARY] for family in run.cells], [[place for place, _ in enumerate(run.cells)]])


def _regressions(cells: list[list[Difference]], groups: list[list[int]]) -> list[bool]:
    """Whether any cell of each family is a regression, after Holm over each group of families."""
    found = [False] * len(cells)
    for group in groups:
        members = [(place, cell) for place in group for cell in cells[place]]
        values = [p for _, cell in members if (p := p_value(cell)) is not None]
        for (place, cell), p in zip(members, holm(values), strict=True):
            found[place] |= decide(cell, p, POINT) == "regression"
    return found


@functools.cache
def difference(lost: int, gained: int) -> Difference:
    """Difference of one cell of which so many items became wrong, and so many right, with the suite's own interval."""
    old = np.arange(ITEMS) < ITEMS // 2
    new = np.concatenate(
        [old[lost : ITEMS // 2], np.zeros(lost, bool), old[ITEMS // 2 + gained :], np.ones(gained, bool)]
    )
    return Difference.within((gained - lost) / ITEMS, paired_interval(new, old))


def simulate(drop: float, changed: float, families: int) -> list[Simulated]:
    """Draw runs of so many families; ``final`` of the first one loses the drop.

    Args:
        drop: true drop, as a proportion of the items.
        changed: proportion of the items that the new weights turn from right to wrong or back.
        families: backbones whose weights changed.
    """
    rng = np.random.default_rng([round(1000 * drop), round(1000 * changed), families])
    size = SIMULATIONS, families, TAPS * FRACTIONS
    counts = rng.multinomial(ITEMS, [changed / 2, changed / 2, 1 - changed], size)
    counts[:, 0, 0] = rng.multinomial(ITEMS, [(changed + drop) / 2, (changed - drop) / 2, 1 - changed], SIMULATIONS)
    return [
        Simulated([[difference(int(lost), int(gained)) for lost, gained, _ in family] for family in run], TAPS)
        for run in counts
    ]


def found_in_first(rule: Rule, runs: Sequence[Simulated]) -> float:
    """Proportion of runs in which the family that lost the drop is called a regression."""
    return mean(rule(run)[0] for run in runs)


def power_table() -> str:
    """Markdown: how often a true drop at ``final`` is called a regression, in percent."""
    header = ["items that change", "drop at final (points)", "one large Holm: 1 backbone", "12 backbones",
              "primary, per family (promised)", "primary, per run: 12 families (promised)"]  # fmt: skip
    rows = []
    for changed in CHANGED:
        for drop in DROPS:
            one, twelve = (simulate(drop, changed, count) for count in FAMILIES)
            rows.append(
                [
                    f"{100 * changed:g} %",
                    f"{100 * drop:g}",
                    f"{100 * found_in_first(one_large_holm, one):.1f} %",
                    f"{100 * found_in_first(one_large_holm, twelve):.1f} %",
                    f"{100 * found_in_first(per_family, one):.1f} % ({promised(drop, changed, PRIMARY)})",
                    f"{100 * found_in_first(per_run, twelve):.1f} % ({promised(drop, changed, PRIMARY * 12)})",
                ]
            )
    return "\n".join(markdown_grid(header, rows))


def promised(drop: float, changed: float, tests: int) -> str:
    """What the formula behind *smallest drop found* gives for one primary case among so many."""
    error = math.sqrt((changed - drop**2) / ITEMS)
    return f"{100 * chance_of_finding(drop, error, math.inf, POINT, tests):.1f} %"


def alarm_table() -> str:
    """Markdown: runs with a false regression, in percent, and false regressions per run."""
    header = ["items that change", "backbones", "one large Holm", "primary, per family", "primary, per run"]
    rows = []
    for changed in CHANGED:
        for count in FAMILIES:
            runs = simulate(0.0, changed, count)
            cells = []
            for rule in (one_large_holm, per_family, per_run):
                found = [sum(rule(run)) for run in runs]
                cells.append(f"{100 * mean(one > 0 for one in found):.1f} % ({mean(found):.3f})")
            rows.append([f"{100 * changed:g} %", str(count), *cells])
    return "\n".join(markdown_grid(header, rows))
