"""A comparison as Markdown, short enough for a comment on a pull request: details are folded."""

from collections.abc import Sequence

from geofm_eval.compare import CaseChange, CaseVerdict, FailOn, Moved, PooledVerdict, RunComparison
from geofm_eval.plurals import counted
from geofm_eval.report.formats import markdown_grid
from geofm_eval.report.gate.sentences import (
    RULE,
    chance_sentence,
    difference_text,
    drop_sentence,
    gain_unit,
    headline,
    levels_text,
    moved_sentence,
    no_checksum_sentences,
    other_sentences,
    pooled_text,
    reason_sentences,
    refusal_sentences,
    tally,
)
from geofm_eval.report.gate.tables import primary_table
from geofm_eval.report.gate.text import untested
from geofm_eval.results.units import UNKNOWN

MOST_CASES, MOST_LINES = 60, 30
"""Rows of every table, and lines of every list: a comment takes 65,536 characters."""


def markdown_of(found: RunComparison, fail_on: FailOn = "regression", require_all: bool = False) -> str:
    """Headline and one row per primary case that differs; exploratory and missing cases are folded."""
    matches, roles = found.matches, found.roles
    lines = [f"**{headline(found, fail_on, require_all)}**", ""]
    lines += _primary(found)
    lines += _list("Cases that no longer have a score", reason_sentences(matches.broken, roles), folded=False)
    lines += _list("Fell without an interval", [drop_sentence(drop) for drop in found.fell], folded=False)
    lines += _exploratory(found)
    lines += _moved(found.moved)
    lines += _list("Not comparable", refusal_sentences(matches.refused, roles))
    lines += _list("Not tested", reason_sentences(untested(found), roles))
    lines += _list("Not compared", other_sentences(found))
    lines += _list("Records without a checksum", no_checksum_sentences(found))
    lines += _list("Problems", found.problems)
    return "\n".join(lines).rstrip() + "\n"


POOLED_HEADER = ("mean of", "verdict", "difference [95 %]", "mean over", "smallest drop of the mean found (80 %)")


def _primary(found: RunComparison) -> list[str]:
    """Primary cases that differ, regressions first, then by loss; identical ones are counted."""
    table, same = primary_table(found), sum(case.identical for case in found.primary)
    ranked = table.grid[: len(table.rows) - same]
    rows = [[f"`{case}`", role, _marked(verdict), *rest] for case, role, verdict, *rest in ranked[:MOST_CASES]]
    lines, rest = markdown_grid(table.header, rows) if rows else [], len(ranked) - MOST_CASES
    notes = [
        *([f"and {rest} more with smaller losses"] if rest > 0 else []),
        *([f"identical: {same} of {counted(len(found.primary), 'primary case')}"] if same else []),
        *([chance] if (chance := chance_sentence(found)) else []),
        RULE,
    ]
    return [*lines, *([""] if lines else []), f"<sub>{'; '.join(notes)}</sub>", ""]


def _marked(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "regression" else verdict


def _exploratory(found: RunComparison) -> list[str]:
    """Cases that never fail the gate; unfolded if any is worse."""
    changed = [mean for mean in found.pooled if not mean.identical]
    if not changed:
        return []
    worse = found.exploratory
    lines = markdown_grid(POOLED_HEADER, [_pooled_row(mean) for mean in changed[:MOST_CASES]])
    if worse:
        rows = [_cell_row(case, cell) for case, cell in worse[:MOST_CASES]]
        lines += ["", *markdown_grid(("worse at", "difference [95 %]", "old -> new", "p (Holm)"), rows)]
    rest = len(worse) - MOST_CASES
    more = ["", f"and {rest} more with smaller losses"] if rest > 0 else []
    alarm = f"{len(worse)} worse; " if worse else ""
    title = f"Exploratory (never fails the gate): {alarm}all cases, largest label fractions: {tally(found.cases)}"
    return _folded(title, [*lines, *more], bool(worse))


def _pooled_row(mean: PooledVerdict) -> list[str]:
    gain = gain_unit(mean.score.metric, mean.target_unit)
    return [
        mean.name,
        _marked(mean.verdict),
        f"{gain.difference(mean.difference)} {gain.symbol}",
        pooled_text(mean),
        gain.value(mean.smallest),
    ]


def _cell_row(case: CaseVerdict, cell: CaseChange) -> list[str]:
    p = UNKNOWN if cell.p is None else f"{cell.p:.2g}"
    return [f"`{case.new.case.id}`", difference_text(case, cell), levels_text(case, cell), p]


def _moved(moved: Sequence[Moved]) -> list[str]:
    if not moved:
        return []
    known = [one for one in moved if not one.absent]
    taps = list(dict.fromkeys(tap for one in known for tap in one.taps))
    lines = []
    if known:
        header = ["1 - CKA", *(f"{one.model}, {', '.join(one.tasks)}" for one in known)]
        lines = markdown_grid(header, [[tap, *(_value(one, tap) for one in known)] for tap in taps])
    absent = [f"- {moved_sentence(one)}" for one in moved if one.absent]
    return _folded("Feature changes by tap", [*lines, *([""] if lines and absent else []), *absent])


def _value(one: Moved, tap: str) -> str:
    value = one.taps.get(tap)
    text = UNKNOWN if value is None else f"{value + 0.0:.3f}"
    return f"**{text}**" if tap == one.most else text


def _list(title: str, sentences: Sequence[str], folded: bool = True) -> list[str]:
    if not sentences:
        return []
    lines = [f"- {sentence}" for sentence in sentences[:MOST_LINES]]
    if len(sentences) > MOST_LINES:
        lines.append(f"- and {len(sentences) - MOST_LINES} more")
    return _folded(title, lines) if folded else [f"{title}:", "", *lines, ""]


def _folded(title: str, lines: Sequence[str], opened: bool = False) -> list[str]:
    return [f"<details{' open' if opened else ''}><summary>{title}</summary>", "", *lines, "", "</details>", ""]
