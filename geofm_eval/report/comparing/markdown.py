"""A comparison as Markdown, short enough for a comment on a pull request: details are folded."""

from collections.abc import Sequence

from geofm_eval.compare import CaseVerdict, FailOn, Moved, RunComparison, TaskVerdict
from geofm_eval.report.comparing.sentences import (
    RULE,
    gain_unit,
    headline,
    level,
    moved_sentence,
    other_sentences,
    pooled_text,
    reason_sentences,
    refusal_sentences,
    tally,
)
from geofm_eval.report.formats import markdown_grid
from geofm_eval.report.wording import UNKNOWN, share_of_labels, unit_named

MOST_CASES, MOST_LINES = 60, 30
"""Rows of the table of cases, and lines of every other list: a comment takes 65,536 characters."""


def markdown_of(found: RunComparison, fail_on: FailOn = "regression") -> str:
    """Headline, one row per task, and folded below: cases, the depth profile of what moved, what is missing."""
    lines = [f"**{headline(found, fail_on)}**", ""]
    if found.tasks:
        lines += markdown_grid(TASK_HEADER, [_task_row(task) for task in found.tasks])
        lines += ["", f"<sub>{RULE}</sub>", ""]
    lines += _list("Cases that have no score any more", reason_sentences(found.matches.broken), folded=False)
    lines += _cases(found)
    lines += _moved(found.moved)
    lines += _list("Not comparable", refusal_sentences(found.matches.refused))
    refused = {one.case for one in found.matches.refused}
    untested = {key: reason for key, reason in found.untested.items() if key not in refused}
    lines += _list("Not tested", reason_sentences(untested))
    lines += _list("Not compared", other_sentences(found))
    lines += _list("Problems", found.problems)
    return "\n".join(lines).rstrip() + "\n"


TASK_HEADER = (
    "task",
    "verdict",
    "difference [95 %]",
    "margin",
    "old -> new",
    "mean over",
    "smallest drop found (80 %)",
)


def _task_row(task: TaskVerdict) -> list[str]:
    gain = gain_unit(task.score.metric, task.target_unit)
    if task.identical:
        return [
            task.name,
            "identical",
            UNKNOWN,
            gain.value(task.delta),
            level(task),
            f"{len(task.cases)} cases",
            UNKNOWN,
        ]
    return [
        task.name,
        _marked(task.verdict),
        f"{gain.difference(task.difference)} {gain.symbol}",
        gain.value(task.delta),
        level(task),
        pooled_text(task),
        gain.value(task.smallest),
    ]


def _marked(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "regression" else verdict


def _cases(found: RunComparison) -> list[str]:
    """Cases that differ, regressions first, then by how much they lost."""
    changed = [case for case in found.cases if not case.identical]
    if not changed:
        return []
    others = [case for case in changed if case.verdict != "regression"]
    ranked = [*found.regressions, *sorted(others, key=lambda case: case.telling.difference.value / case.delta)]
    rows = [_case_row(case) for case in ranked[:MOST_CASES]]
    lines = markdown_grid(("case", "verdict", "difference [95 %]", "old -> new", "labels", "p (Holm)"), rows)
    rest = len(ranked) - MOST_CASES
    more = ["", f"and {rest} more, that lost less"] if rest > 0 else []
    return _folded(f"Cases: {tally(found.cases)}", [*lines, *more])


def _case_row(case: CaseVerdict) -> list[str]:
    cell, target = case.telling, case.new.provenance.target_unit
    gain, unit = gain_unit(case.score.metric, target), unit_named(case.score.metric, target)
    return [
        f"`{case.new.case.id}`",
        _marked(case.verdict),
        f"{gain.difference(cell.difference)} {gain.symbol}",
        f"{unit.value(cell.old)} -> {unit.value(cell.new)}",
        share_of_labels(case.new.scores, cell.fraction),
        UNKNOWN if cell.p is None else f"{cell.p:.2g}",
    ]


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
    return _folded("Where in depth features moved", [*lines, *([""] if lines and absent else []), *absent])


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


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]
