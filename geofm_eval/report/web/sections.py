"""Sections of the page between the answer and the models: the answer on one model, and the verdicts of the gate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geofm_eval.answer import FocusedAnswer
from geofm_eval.compare import RunComparison
from geofm_eval.plurals import counted
from geofm_eval.report.answer.focus import focus_by_evidence, focus_table
from geofm_eval.report.formats import Table
from geofm_eval.report.gate.judged import Judged
from geofm_eval.report.gate.sentences import primary_sentence
from geofm_eval.report.gate.tables import moved_table, primary_table
from geofm_eval.report.gate.text import Line, further_lines
from geofm_eval.results.units import SIMULATED


@dataclass(frozen=True)
class PageSection:
    """A section with a headline, tables and a list of lines; ``id`` is its anchor."""

    id: str
    title: str
    headline: Line
    lines: Sequence[Line]
    tables: Sequence[Table[Any]]


def focus_section(found: Sequence[FocusedAnswer], baseline: RunComparison | None) -> PageSection:
    """One table per evidence class with one line per task about a model."""
    tables = [focus_table(own, baseline) for own in focus_by_evidence(found).values()]
    note = "Differences are score minus score, plus is better, with intervals adjusted for all models of a task."
    return PageSection("focus", f"{found[0].model} by task", Line(note), (), tables)


def gate_section(judged: Judged) -> PageSection:
    """The headline, regressions, a table of all primary cases, where features moved, and what was not judged."""
    found, moved = judged.found, moved_table(judged.found)
    worse = [Line(primary_sentence(case), alarm=True) for case in found.regressions]
    lines = [*_simulated(found), *worse, *further_lines(found, judged.fail_on, judged.require_all)]
    tables = (primary_table(found), *((moved,) if moved.rows else ()))
    return PageSection("gate", f"Gate: {found.new.name} against {found.old.name}", Line(judged.headline, judged.fails),
                       lines, tables)  # fmt: skip


def _simulated(found: RunComparison) -> Iterator[Line]:
    """How many of the primary cases are about stand-ins."""
    if count := sum(case.new.evidence == "simulated" for case in found.primary):
        yield Line(
            f"{SIMULATED} in {count} of {counted(len(found.primary), 'primary case')}: their verdicts concern only "
            "abilities that simulated scenes need"
        )
