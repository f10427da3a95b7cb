"""Simulated power and false regressions of the gate: primary families compared with one Holm over all taps.

A run has one or twelve backbones with changed weights. Every cell (tap and label fraction) has 1,000 test samples, a
given proportion of which changes between correct and wrong, independently in each cell. In the first backbone,
``final`` has the true drop at all labels; all other cells have no true difference. Three rules are compared:

- *one large Holm*: all 14 taps at three label fractions of all backbones are tested together, and a mean over taps and
  backbones may be called a regression too, each at 5 %;
- *primary, per family*: ``final`` and the chosen tap at all labels, Holm within each family;
- *primary, per run*: the same cells, Holm over all families (``--family run``).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from geofm_eval.compare import chance_of_finding, standard_error, verdict_on_difference
from geofm_eval.compare.verdicts import REACH
from geofm_eval.metric import POINT
from geofm_eval.report.formats import markdown_grid
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import holm, p_value
from geofm_eval.stats.scores import paired_interval

ITEMS, SIMULATIONS = 1000, 2000
TAPS, FRACTIONS, PRIMARY = 14, 3, 2
FAMILIES = (1, 12)
DROPS, CHANGED = (0.01, 0.02, 0.03), (0.04, 0.1)
"""True drops, and proportions of samples that change between correct and wrong."""


@dataclass(frozen=True)
class Simulated:
    """One simulated run.

    Args:
        cells: differences per family; the first one of the first family is ``final`` with the true drop.
        full: number of leading cells per family at the largest label fraction.
    """

    cells: list[list[Difference]]
    full: int


Rule = Callable[[Simulated], list[bool]]
"""Returns whether each family of a run is called a regression."""


def one_large_holm(run: Simulated) -> list[bool]:
    """Test all cells of all families together, and their mean at the largest label fraction."""
    found = _regressions(run.cells, [[place for place, _ in enumerate(run.cells)]])
    every = [cell for family in run.cells for cell in family[: run.full]]
    variance = sum((standard_error(cell) or 0.0) ** 2 for cell in every) / len(every) ** 2
    value, half = mean(cell.value for cell in every), REACH * math.sqrt(variance)
    pooled = Difference(value, value - half, value + half)
    worse = verdict_on_difference(pooled, p_value(pooled), POINT) == "regression"
    return [worse or one for one in found]


def per_family(run: Simulated) -> list[bool]:
    """Test primary cells, with Holm within each family."""
    return _regressions([family[:PRIMARY] for family in run.cells], [[place] for place, _ in enumerate(run.cells)])


def per_run(run: Simulated) -> list[bool]:
    """Test primary cells, with Holm over all families."""
    return _regressions([family[:PRIMARY] for family in run.cells], [[place for place, _ in enumerate(run.cells)]])


def _regressions(cells: list[list[Difference]], groups: list[list[int]]) -> list[bool]:
    """Whether each family has a regression, after Holm over each group of families."""
    found = [False] * len(cells)
    for group in groups:
        members = [(place, cell) for place in group for cell in cells[place]]
        values = [p for _, cell in members if (p := p_value(cell)) is not None]
        for (place, cell), p in zip(members, holm(values), strict=True):
            found[place] |= verdict_on_difference(cell, p, POINT) == "regression"
    return found


@functools.cache
def difference(lost: int, gained: int) -> Difference:
    """Return the difference of one cell with ``lost`` and ``gained`` samples, with the suite's interval."""
    old = np.arange(ITEMS) < ITEMS // 2
    new = np.concatenate(
        [old[lost : ITEMS // 2], np.zeros(lost, bool), old[ITEMS // 2 + gained :], np.ones(gained, bool)]
    )
    return Difference.within((gained - lost) / ITEMS, paired_interval(new, old))


def simulate(drop: float, changed: float, families: int) -> list[Simulated]:
    """Draw runs; ``final`` of the first family has the true drop.

    Args:
        drop: true drop, as a proportion of the samples.
        changed: proportion of the samples that change between correct and wrong.
        families: number of backbones with changed weights.
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
    """Return the proportion of runs in which the first family is called a regression."""
    return mean(rule(run)[0] for run in runs)


def power_table() -> str:
    """Return Markdown: percentage of runs in which a true drop at ``final`` is called a regression."""
    header = ["samples that change", "drop at final (points)", "one large Holm: 1 backbone", "12 backbones",
              "primary, per family (predicted)", "primary, per run: 12 families (predicted)"]  # fmt: skip
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
    """Return the power that the formula behind *smallest drop found* predicts, adjusted for ``tests`` cases."""
    error = math.sqrt((changed - drop**2) / ITEMS)
    return f"{100 * chance_of_finding(drop, error, math.inf, POINT, tests):.1f} %"


def alarm_table() -> str:
    """Return Markdown: percentage of runs with a false regression, and false regressions per run."""
    header = ["samples that change", "backbones", "one large Holm", "primary, per family", "primary, per run"]
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
