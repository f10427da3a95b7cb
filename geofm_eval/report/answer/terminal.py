"""The answer in a few lines, for the end of a run."""

from collections.abc import Sequence
from textwrap import wrap

from geofm_eval.answer import TaskAnswer
from geofm_eval.report.answer.several_tasks import by_evidence, overall, task_table
from geofm_eval.report.findings import ON

WIDTH = 118
"""Characters of a line."""

TASKS = 14
"""Tasks that are listed; the tables have all of them."""


def text_of_answers(found: Sequence[TaskAnswer]) -> str:
    """Sentences, then a line per task, by evidence class; empty without a score."""
    parts = []
    for evidence, own in by_evidence(found).items():
        lines = [f"Answer ({ON[evidence]})"]
        for one in overall(own):
            lines += wrap(one.text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
        parts.append("\n".join([*lines, *task_table(own).lines(TASKS)]))
    return "\n\n".join(parts)
