"""A comparison as plain text: primary cases first, then what fell, what is exploratory, and where features moved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.compare import FailOn, RunComparison
from geofm_eval.plurals import counted
from geofm_eval.report.gate.sentences import (
    PRIMARY,
    RULE,
    cell_sentence,
    chance_sentence,
    drop_sentence,
    headline,
    moved_sentence,
    no_checksum_sentences,
    other_sentences,
    pooled_sentence,
    primary_sentence,
    reason_sentences,
    refusal_sentences,
    tally,
)

MOST = 12
"""Lines per list about exploratory cases; one more gives the number of the others. Primary cases are never cut."""


@dataclass(frozen=True)
class Line:
    """A line of text; ``alarm`` marks regressions, lost scores and other reasons to look."""

    text: str
    alarm: bool = False


def lines_of(found: RunComparison, fail_on: FailOn = "regression", require_all: bool = False) -> list[Line]:
    """All lines of a comparison."""
    return [
        Line(headline(found, fail_on, require_all), bool(found.failures(fail_on, require_all))),
        *_primary(found, fail_on == "undecided"),
        *further_lines(found, fail_on, require_all),
    ]


def further_lines(found: RunComparison, fail_on: FailOn = "regression", require_all: bool = False) -> list[Line]:
    """The lines below the verdicts on primary cases: chance, what fell, exploratory and missing cases, and the rule."""
    matches, roles, chance = found.matches, found.roles, chance_sentence(found)
    strict = fail_on == "undecided"
    return [
        *([Line(chance)] if chance else []),
        *_reasons("lost", reason_sentences(matches.broken, roles), alarm=True),
        *_fallen(found),
        *_exploratory(found),
        *_listed("features moved", [moved_sentence(one) for one in found.moved]),
        *_reasons("not comparable", refusal_sentences(matches.refused, roles), strict),
        *_reasons("not tested", reason_sentences(untested(found), roles), strict),
        *_listed("not compared", other_sentences(found), require_all and bool(found.unselected)),
        *_listed("no checksum", no_checksum_sentences(found)),
        *_listed("problem", found.problems),
        Line(RULE),
    ]


def _primary(found: RunComparison, strict: bool) -> Iterator[Line]:
    """Primary cases that differ, one per line; identical ones are counted."""
    for case in found.primary:
        if not case.identical:
            alarm = case.verdict == "regression" or case.fell or (strict and case.doubtful)
            yield Line(f"  {primary_sentence(case)}", alarm)
    if same := [case for case in found.primary if case.identical]:
        yield Line(f"  identical: {len(same)} of {counted(len(found.primary), 'primary case')}")


def _fallen(found: RunComparison) -> Iterator[Line]:
    """Scores that fell without an interval, of primary cases first."""
    drops = sorted(found.fell, key=lambda drop: drop.key not in found.roles)
    kept = sum(drop.key in found.roles for drop in drops)
    yield from _listed("fell", [drop_sentence(drop) for drop in drops], alarm=True, kept=kept)


def _exploratory(found: RunComparison) -> Iterator[Line]:
    """Cases that never fail the gate; regressions among them are marked, because somebody should look."""
    for mean in found.pooled:
        if not mean.identical:
            yield Line(f"exploratory, mean of {pooled_sentence(mean)}", mean.verdict == "regression")
    worse = [cell_sentence(case, cell) for case, cell in found.exploratory]
    yield from _listed("exploratory, worse", worse, alarm=True)
    if found.cases:
        yield Line(f"all cases at their largest label fractions: {tally(found.cases)}")


def untested(found: RunComparison) -> dict[tuple[str, str], str]:
    """Untested cases with the reason, without cases that are not comparable, which have lines of their own."""
    refused = {one.case for one in found.matches.refused}
    return {key: reason for key, reason in found.untested.items() if key not in refused}


def _reasons(word: str, sentences: Sequence[str], alarm: bool = False) -> Iterator[Line]:
    yield from _listed(word, sentences, alarm, kept=sum(PRIMARY in sentence for sentence in sentences))


def _listed(word: str, sentences: Sequence[str], alarm: bool = False, kept: int = 0) -> Iterator[Line]:
    """A line per sentence, at most ``MOST``; the first ``kept`` are about primary cases, and all are listed."""
    shown = max(MOST, kept)
    for sentence in sentences[:shown]:
        yield Line(f"{word}: {sentence}", alarm)
    if len(sentences) > shown:
        yield Line(f"{word}: and {len(sentences) - shown} more", alarm)
