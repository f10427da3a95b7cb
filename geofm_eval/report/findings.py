"""Findings as a page to read, as rows of numbers, and in a few lines for a terminal."""

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

from geofm_eval.findings.finding import Finding, FindingCell, mean_of, spread
from geofm_eval.findings.most import FEWEST_BACKBONES, FEWEST_DATA_SETS
from geofm_eval.report.formats import Column, Row, Table, attributes, listed, to_markdown
from geofm_eval.report.pages import Page, links
from geofm_eval.results.run import Run
from geofm_eval.results.units import SIMULATED
from geofm_eval.stats.difference import Difference

SLUG = "findings"
MANUAL = "docs/findings.md"
WIDTH = 140
SENTENCES = 2
"""Reasons that are given in a terminal; the page has all."""

ON = {
    "published": "real data, published splits",
    "sample": "a sample, custom split",
    "own": "own data",
    "simulated": SIMULATED,
}
"""Evidence classes in words."""

ONLY_SIMULATED = "On simulated data a verdict shows what the tool can detect; it says nothing about published models."


def headline(finding: Finding) -> str:
    """Return claim, verdict, effect: ``finding 4, a claim: undecided (SIMULATED DATA), +1.1 [-1.1, +3.2] points``."""
    claim = f"finding {finding.number}, {finding.title}: {finding.verdict} ({ON[finding.evidence]})"
    return claim if finding.effect is None else f"{claim}, {_effect(finding)}"


def worth_showing(found: Sequence[Finding], run: Run) -> list[Finding]:
    """Leave out findings without enough records if the run has too few models or tasks for a verdict on most cells."""

    def enough(evidence: str) -> bool:
        cases = [record.case for record in run.of_evidence(evidence).scored if not record.case.is_control]
        models, tasks = len({case.model for case in cases}), len({case.task for case in cases})
        return models >= FEWEST_BACKBONES and tasks >= FEWEST_DATA_SETS

    return [one for one in found if one.verdict != "not enough records" or enough(one.evidence)]


def findings_pages(found: Sequence[Finding]) -> list[Page]:
    """Verdicts with their reasons, groups of cells, and the cells that verdicts rest on, on one page."""
    if not found:
        return []
    tables: list[Table[Any]] = [_verdicts(found), _groups(found), *map(_cells, found)]
    files = [(SLUG, f"{SLUG}.md"), ("CSV of cells", f"{SLUG}.csv")]
    return [
        Page(
            lines=[links(files), *map(headline, found)],
            text=text_of_findings(found),
            csv={SLUG: partial(_rows, found)},
            markdown={SLUG: "\n".join(to_markdown(table) for table in tables if table.rows)},
        )
    ]


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


def _rows(found: Sequence[Finding]) -> list[Row]:
    """One row of numbers per cell, including cells that do not count."""
    return [
        {
            **attributes(finding, finding="number", claim="title", evidence="evidence", verdict="verdict", unit="unit"),
            **attributes(cell, cell="id", group="group", counts="counts", contrast="contrast", estimate="estimate"),
            **attributes(cell, "low high", holm_p="p", p_above="p_above", p_below="p_below"),
            "ceiling": cell.ceiling,
        }
        for finding in found
        for own in finding.groups.values()
        for cell in own
    ]


def _simulated(found: Sequence[Finding]) -> bool:
    return any(finding.evidence == "simulated" for finding in found)


def _effect(finding: Finding) -> str | None:
    if finding.effect is None:
        return None
    return f"{spread(Difference(finding.effect, finding.low, finding.high), finding.unit)} {finding.unit}"


def _verdicts(found: Sequence[Finding]) -> Table[Finding]:
    only = all(finding.evidence == "simulated" for finding in found)
    columns: list[Column[Finding]] = [
        Column("finding", lambda one: one.number),
        Column("claim", lambda one: one.title),
        Column("on", lambda one: ON[one.evidence]),
        Column("verdict", lambda one: one.verdict),
        Column("effect [interval]", _effect),
        Column("cells", lambda one: sum(cell.counts for cell in one.cells)),
    ]
    return Table(
        slug=SLUG,
        title=f"{SIMULATED}: findings" if only else "Findings",
        columns=columns,
        rows=found,
        notes=(
            *(f"Finding {one.number}, {one.title} ({ON[one.evidence]}): {' '.join(one.why)}" for one in found),
            "A point is one hundredth of accuracy, IoU or R2; for RMSE it is one percent of the RMSE compared with. "
            f"{MANUAL} explains the verdicts.",
            *([ONLY_SIMULATED] if _simulated(found) else []),
        ),
    )


def _groups(found: Sequence[Finding]) -> Table[Sequence[Any]]:
    rows = [
        (
            finding.number,
            finding.title,
            ON[finding.evidence],
            group,
            any(cell.counts for cell in own),
            len(own),
            sum(cell.low is not None for cell in own),
            sum(cell.above for cell in own),
            sum(cell.below for cell in own),
            spread(finding.means.get(group) or mean_of(own), finding.unit),
        )
        for finding in found
        for group, own in finding.groups.items()
    ]
    header = ("finding", "claim", "on", "group", "counts", "cells", "with an interval", "above 0 after Holm",
              "below 0 after Holm", "mean [interval]")  # fmt: skip
    return Table(f"{SLUG}-groups", "Groups of cells", listed(*header), rows)


def _cells(finding: Finding) -> Table[FindingCell]:
    columns: list[Column[FindingCell]] = [
        Column("cell", lambda cell: cell.id),
        Column("group", lambda cell: cell.group),
        Column("contrast", lambda cell: f"{cell.contrast} (ceiling)" if cell.ceiling else cell.contrast),
        Column(
            f"{finding.unit} [interval]",
            lambda cell: spread(Difference(cell.estimate, cell.low, cell.high), finding.unit),
        ),
        Column("p of support", lambda cell: cell.p_above),
        Column("p against", lambda cell: cell.p_below),
        Column("p after Holm", lambda cell: cell.p),
    ]
    return Table(
        slug=f"{SLUG}-cells",
        title=f"Cells of finding {finding.number}, {finding.title} ({ON[finding.evidence]})",
        columns=columns,
        rows=[cell for cell in finding.cells if cell.counts],
        notes=(
            "Null hypotheses: p of support: no effect in this cell, or a loss of one or more if the claim is to be as "
            "good (one-sided); p against: an effect of at least the margin (one-sided); p after Holm: no difference "
            "(two-sided, adjusted over these cells).",
        ),
    )
