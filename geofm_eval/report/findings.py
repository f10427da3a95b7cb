"""Findings as a page to read, as rows of numbers, and in a few lines for a terminal."""

import textwrap
from collections.abc import Sequence

from geofm_eval.findings.finding import Finding, FindingCell, mean_of, spread
from geofm_eval.report.formats import Row, Table, to_markdown
from geofm_eval.results.units import SIMULATED, UNKNOWN
from geofm_eval.stats.difference import Difference

SLUG = "findings"
MANUAL = "docs/findings.md"
WIDTH = 140
SENTENCES = 2
"""Of the reasons so many are given in a terminal; the page has all."""

ON = {
    "published": "real data, published splits",
    "sample": "a sample or own data, a split of its own",
    "simulated": SIMULATED,
}
"""Evidence classes in words."""

ONLY_SIMULATED = "On simulated data a verdict says what the tool can tell apart, and nothing about published models."


def headline(finding: Finding) -> str:
    """Such as ``finding 4, a claim: undecided (SIMULATED DATA), +1.1 [-1.1, +3.2] points``."""
    claim = f"finding {finding.number}, {finding.title}: {finding.verdict} ({ON[finding.evidence]})"
    return claim if finding.effect is None else f"{claim}, {_effect(finding)} {finding.unit}"


def text_of_findings(found: Sequence[Finding]) -> str:
    """Every verdict with its main reasons; empty without any."""
    if not found:
        return ""
    lines = [f"Findings (what the verdicts mean: {MANUAL})"]
    for finding in found:
        lines.append(f"  {headline(finding)}")
        why = " ".join(finding.why[:SENTENCES])
        lines += textwrap.wrap(why, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([*lines, *([f"  {ONLY_SIMULATED}"] if _simulated(found) else [])])


def lines_of_findings(found: Sequence[Finding]) -> list[str]:
    """For the index page: the links, then every verdict."""
    links = [f"[{SLUG}]({SLUG}.md), [CSV of cells]({SLUG}.csv)"] if found else []
    return [*links, *(headline(finding) for finding in found)]


def page_of_findings(found: Sequence[Finding]) -> str:
    """Markdown of verdicts with their reasons, of groups of cells, and of the cells that verdicts rest on."""
    tables = (_verdicts(found), _groups(found), *(_cells(finding) for finding in found))
    return "\n".join(to_markdown(table) for table in tables if table.rows)


def finding_rows(found: Sequence[Finding]) -> list[Row]:
    """One row of numbers per cell, those beside a verdict too; one without a cell for a finding that has none."""
    rows: list[Row] = []
    for finding in found:
        head: Row = {
            "finding": finding.number,
            "claim": finding.title,
            "evidence": finding.evidence,
            "verdict": finding.verdict,
            "unit": finding.unit,
        }
        rows += [
            {
                **head,
                "cell": cell.id,
                "group": cell.group,
                "counts": cell.counts,
                "contrast": cell.contrast,
                "estimate": cell.estimate,
                "low": cell.low,
                "high": cell.high,
                "holm_p": cell.p,
                "p_above": cell.p_above,
                "p_below": cell.p_below,
                "ceiling": cell.ceiling,
            }
            for own in finding.groups.values()
            for cell in own
        ]
    return rows


def _simulated(found: Sequence[Finding]) -> bool:
    return any(finding.evidence == "simulated" for finding in found)


def _effect(finding: Finding) -> str:
    assert finding.effect is not None
    return spread(Difference(finding.effect, finding.low, finding.high), finding.unit)


def _verdicts(found: Sequence[Finding]) -> Table:
    only = all(finding.evidence == "simulated" for finding in found)
    rows = [
        (
            str(finding.number),
            finding.title,
            ON[finding.evidence],
            finding.verdict,
            UNKNOWN if finding.effect is None else f"{_effect(finding)} {finding.unit}",
            str(sum(cell.counts for cell in finding.cells)),
        )
        for finding in found
    ]
    return Table(
        slug=SLUG,
        title=f"{SIMULATED}: findings" if only else "Findings",
        header=("finding", "claim", "on", "verdict", "effect [interval]", "cells"),
        rows=tuple(rows),
        notes=(
            *(f"Finding {one.number}, {one.title} ({ON[one.evidence]}): {' '.join(one.why)}" for one in found),
            "Points: hundredths of accuracy, IoU and R2; of an RMSE percents of what it is compared with. What "
            f"verdicts mean and rest on: {MANUAL}.",
            *([ONLY_SIMULATED] if _simulated(found) else []),
        ),
    )


def _groups(found: Sequence[Finding]) -> Table:
    rows = [
        (
            str(finding.number),
            finding.title,
            ON[finding.evidence],
            group,
            "yes" if any(cell.counts for cell in own) else "",
            str(len(own)),
            str(sum(cell.low is not None for cell in own)),
            str(sum(cell.above for cell in own)),
            str(sum(cell.below for cell in own)),
            spread(finding.means.get(group) or mean_of(own), finding.unit),
        )
        for finding in found
        for group, own in finding.groups.items()
    ]
    return Table(
        slug=f"{SLUG}-groups",
        title="Groups of cells",
        header=("finding", "claim", "on", "group", "counts", "cells", "with an interval", "above 0 after Holm",
                "below 0 after Holm", "mean [interval]"),
        rows=tuple(rows),
    )  # fmt: skip


def _cells(finding: Finding) -> Table:
    rows = [
        (
            cell.id,
            cell.group,
            f"{cell.contrast} (ceiling)" if cell.ceiling else cell.contrast,
            _size(cell, finding.unit),
            *(UNKNOWN if p is None else f"{p:.3f}" for p in (cell.p_above, cell.p_below, cell.p)),
        )
        for cell in finding.cells
        if cell.counts
    ]
    return Table(
        slug=f"{SLUG}-cells",
        title=f"Cells of finding {finding.number}, {finding.title} ({ON[finding.evidence]})",
        header=("cell", "group", "contrast", f"{finding.unit} [interval]", "p of support", "p against", "p after Holm"),
        rows=tuple(rows),
        notes=(
            "p of support: one-sided, of no effect in this cell (of a loss of one or more, where the claim is to be as "
            "good). p against: one-sided, of an effect of at least the margin. p after Holm: two-sided, of no "
            "difference, adjusted over these cells.",
        ),
    )


def _size(cell: FindingCell, unit: str) -> str:
    return spread(Difference(cell.estimate, cell.low, cell.high), unit)
