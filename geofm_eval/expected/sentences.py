"""Messages on scores outside their expected range: first whether a near-tie explains the score, then what to do."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from geofm_eval.expected.admissible import from_text
from geofm_eval.expected.ranges import Key, Range
from geofm_eval.records import Choice, ExpectedRange, Record, Score
from geofm_eval.results.units import of_labels, unit_named

OUTSIDE = "its expected range"
"""Words in the reason of a case that failed only because a score is outside its range."""

UNVERIFIED = "range not verified on this architecture"
"""Name of such scores in reasons and in the summary of a session."""

TIE = 1e-5
"""A lead below this proportion of the validation loss is a near-tie. Last-digit noise on features moves the difference
of two losses at their exact optima by about 1e-6 nats; this is ten times as much, for processors not measured yet."""

WORTH = 0.03
"""Largest change of a draw's score that a near-tie explains. Choices that changed moved 0 to 15 of 1,000 test samples,
half of them at most 3. A score that is farther outside has another cause, even if a choice changed too."""

_RESTS_ON = {"seeds": "{n} seeds, for a mean over {seeds}", "published": "published, with a wide tolerance"}


@dataclass(frozen=True)
class Turned:
    """Choices of label draws whose penalty the range does not admit, the smallest lead first.

    If the range does not say which penalties it admits (``known`` is False), they are the draws with a near-tie.
    """

    draws: tuple[Choice, ...]
    known: bool = True

    @property
    def near(self) -> bool:
        """Whether rounding may have turned the choice of every one of them."""
        return bool(self.draws) and all(map(_near, self.draws))

    @property
    def names(self) -> str:
        """Some of the draws: ``draws 2, 4 and others``."""
        numbers = [str(one.draw) for one in sorted(self.draws, key=lambda one: one.draw)]
        more = " and others" if len(numbers) > 3 else ""
        return f"draw{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:3])}{more}"

    @property
    def lead(self) -> str:
        """The largest lead, for example ``1e-05``."""
        known = [one.runner_up_gap for one in self.draws if one.runner_up_gap is not None]
        return f"{max(known):.0e}" if known else "an unknown amount"


def _near(choice: Choice) -> bool:
    scale = 1.0 if choice.val_loss is None else abs(choice.val_loss)
    return choice.runner_up_gap is not None and choice.runner_up_gap <= TIE * scale


def _turned(record: Record, fraction: str, found: Range) -> Turned:
    selection = record.selection
    own = [] if selection is None else [one for one in selection.choices if one.fraction == float(fraction)]
    own.sort(key=lambda one: one.draw)
    if found.choices is None:
        return Turned(tuple(one for one in own if _near(one)), known=False)
    candidates: Sequence[float] = () if selection is None else selection.candidates
    places = [candidates.index(one.chosen) if one.chosen in candidates else -1 for one in own]
    pairs = zip(own, places, from_text(found.choices), strict=False)
    differing = [choice for choice, place, admitted in pairs if place not in admitted]
    return Turned(tuple(sorted(differing, key=lambda one: one.runner_up_gap or 0.0)))


def outside(record: Record, key: Key, found: Range, expected: ExpectedRange, side: str) -> str:
    """Return the message on a score outside its range, at most 400 characters."""
    score = record.scores[key.fraction]
    head = _head(record, key, expected, side)
    better = (side == "above") == (score.direction == "higher")
    if found.rule != "numeric":
        rests = _RESTS_ON[found.rule].format(n=expected.n, seeds=expected.seeds)
        why = textwrap.shorten(expected.why, 60, placeholder="...")
        return f"{head} (rule {found.rule}: {rests}; why: {why}). {_advice(better)}"
    differing = _turned(record, key.fraction, found)
    away = max(expected.low - score.value, score.value - expected.high)
    if differing.near and away * len(score.per_draw) <= WORTH * len(differing.draws):
        what = "is not admitted by the range" if differing.known else "is nearly tied"
        return (
            f"{head}. A near-tie explains it: the penalty of {differing.names} {what}, and its validation loss is "
            f"lower by only {differing.lead}. Rounding decides such a choice. It does not indicate a leak: do not "
            "loosen the range, and report the processor and the torch version."
        )
    return f"{head}. {_no_tie(record, differing)} {_advice(better)}"


def unverified_sentence(record: Record, fraction: str, expected: ExpectedRange, own: str, found: Range) -> str:
    """Return the message on a score outside a range that was set on other architectures than ``own``."""
    label = unit_named(record.scores[fraction].metric).label
    value, low, high = _ends_text(record.scores[fraction], expected)
    return (
        f"{UNVERIFIED.capitalize()}: it was set on {' and '.join(found.origin.architectures)}, and this is {own}. "
        f"{label} is {value} at {of_labels(record.scores, fraction)}, outside [{low}, {high}]. "
        "To judge it, compare with an earlier run on this machine: --baseline RUN."
    )


def _ends_text(score: Score, expected: ExpectedRange) -> tuple[str, str, str]:
    """A score and the ends of its range, with one more decimal than tables, because ranges can be that narrow."""
    unit = unit_named(score.metric)
    shown = replace(unit, decimals=unit.decimals + 1)
    return shown.value(score.value), shown.value(expected.low), shown.value(expected.high)


def _head(record: Record, key: Key, expected: ExpectedRange, side: str) -> str:
    score = record.scores[key.fraction]
    unit = unit_named(score.metric)
    value, low, high = _ends_text(score, expected)
    symbol = f" {unit.symbol}" if unit.symbol == "%" else ""
    labels = of_labels(record.scores, key.fraction)
    return f"{unit.name} {value}{symbol} at {labels} is {side} {OUTSIDE} [{low}, {high}]"


def _no_tie(record: Record, differing: Turned) -> str:
    if record.selection is None or not record.selection.candidates:
        why = "kNN has no penalty, and the range already allows for votes that nearly tie."
    elif differing.near:
        why = f"a penalty of {differing.names} is nearly tied, but that cannot move the score so far."
    elif differing.draws:
        why = f"{differing.names} chose another penalty, whose validation loss is lower by {differing.lead}."
    else:
        why = "the range admits all chosen penalties."
    return f"No near-tie explains it: {why}"


def _advice(better: bool) -> str:
    look = (
        "Scores above expectation fail too: look for test samples among the training samples, or a changed split."
        if better
        else "It is worse: look for a change of inputs, code or libraries."
    )
    return f"{look} If the change is intended, accept it with geofm-eval expect RUN --why TEXT."
