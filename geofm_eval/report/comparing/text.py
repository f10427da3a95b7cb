"""A comparison as plain text: verdicts per task first, then the worst cases by name, then where features moved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.compare import FailOn, RunComparison
from geofm_eval.report.comparing.sentences import (
    RULE,
    case_sentence,
    headline,
    moved_sentence,
    other_sentences,
    reason_sentences,
    refusal_sentences,
    smallest_sentence,
    tally,
    task_sentence,
)

MOST = 12
"""At most so many lines per list; the rest is counted in one more."""


@dataclass(frozen=True)
class Line:
    """A line of text; ``alarm`` is set where it tells of a regression or of what has no score any more."""

    text: str
    alarm: bool = False


def lines_of(found: RunComparison, fail_on: FailOn = "regression") -> list[Line]:
    """All lines of a comparison."""
    return [
        Line(headline(found, fail_on), bool(found.failures(fail_on))),
        *_tasks(found),
        *_cases(found),
        *_listed("features moved", [moved_sentence(one) for one in found.moved]),
        *_listed("not comparable", refusal_sentences(found.matches.refused)),
        *_listed("not tested", reason_sentences(_untested(found))),
        *_listed("not compared", other_sentences(found)),
        *_listed("problem", found.problems),
        Line(RULE),
    ]


def _tasks(found: RunComparison) -> Iterator[Line]:
    for task in found.tasks:
        yield Line(f"  {task_sentence(task)}", task.verdict == "regression")
        if smallest := smallest_sentence(task):
            yield Line(f"    {smallest}")


def _cases(found: RunComparison) -> Iterator[Line]:
    if found.cases:
        yield Line(f"cases: {tally(found.cases)}")
    yield from _listed("lost", reason_sentences(found.matches.broken), alarm=True)
    yield from _listed("worse", [case_sentence(case) for case in found.regressions], alarm=True)


def _untested(found: RunComparison) -> dict[tuple[str, str], str]:
    """What cannot be shown to be no worse, but for cases under other conditions, which have lines of their own."""
    refused = {one.case for one in found.matches.refused}
    return {key: reason for key, reason in found.untested.items() if key not in refused}


def _listed(word: str, sentences: Sequence[str], alarm: bool = False) -> Iterator[Line]:
    for sentence in sentences[:MOST]:
        yield Line(f"{word}: {sentence}", alarm)
    if len(sentences) > MOST:
        yield Line(f"{word}: and {len(sentences) - MOST} more", alarm)
