"""What a score outside its expected range says to a stranger: first whether a near-tie explains it, then what to do."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.expected.admissible import from_text
from geofm_eval.expected.architecture import ends_text
from geofm_eval.expected.ranges import Key, Range
from geofm_eval.records import Choice, ExpectedRange, Record
from geofm_eval.results.units import of_labels, unit_named

OUTSIDE = "its expected range"
"""Words in the reason of a case that failed by a score outside its range alone."""

TIE = 1e-5
"""A lead below this share of the validation loss is a near-tie. Last-digit noise on features moves the difference of
two losses at their exact optima by about 1e-6 nats: this is ten times as much, for processors nobody has measured."""

WORTH = 0.03
"""The most that one draw may move by a near-tie. Turned choices moved 0 to 15 of 1,000 test samples, half of them 3 or
less: a score that is farther away has another cause, even if a choice turned as well."""

_RESTS_ON = {"seeds": "{n} seeds, for a mean over {seeds}", "published": "published, with a wide tolerance"}


@dataclass(frozen=True)
class Turned:
    """Choices of label draws whose penalty is not one that the range admits, the smallest lead first.

    Where the range does not say which penalties it admits (``known`` is False), they are the draws with a near-tie.
    """

    draws: tuple[Choice, ...]
    known: bool = True

    @property
    def near(self) -> bool:
        """True where rounding may have turned the choice of every one of them."""
        return bool(self.draws) and all(map(_near, self.draws))

    @property
    def names(self) -> str:
        """Name some draws: ``draws 2, 4 and others``."""
        numbers = [str(one.draw) for one in sorted(self.draws, key=lambda one: one.draw)]
        more = " and others" if len(numbers) > 3 else ""
        return f"draw{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:3])}{more}"

    @property
    def lead(self) -> str:
        """The largest lead among them, such as ``1e-05``."""
        known = [one.runner_up_gap for one in self.draws if one.runner_up_gap is not None]
        return f"{max(known):.0e}" if known else "an unknown amount"


def _near(choice: Choice) -> bool:
    scale = 1.0 if choice.val_loss is None else abs(choice.val_loss)
    return choice.runner_up_gap is not None and choice.runner_up_gap <= TIE * scale


def turned(record: Record, fraction: str, found: Range) -> Turned:
    """Which draws chose another penalty than the range admits; see :class:`Turned`."""
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
    """The sentences for a score outside its range, 400 characters at most."""
    score = record.scores[key.fraction]
    head = _head(record, key, expected, side)
    better = (side == "above") == (score.direction == "higher")
    if found.rule != "numeric":
        rests = _RESTS_ON[found.rule].format(n=expected.n, seeds=expected.seeds)
        why = textwrap.shorten(expected.why, 60, placeholder="...")
        return f"{head} (rule {found.rule}: {rests}; why: {why}). {_advice(better)}"
    differing = turned(record, key.fraction, found)
    away = max(expected.low - score.value, score.value - expected.high)
    if differing.near and away * len(score.per_draw) <= WORTH * len(differing.draws):
        what = "is not one that the range admits" if differing.known else "is nearly tied"
        return (
            f"{head}. A near-tie explains it: the penalty of {differing.names} {what}, and its validation loss is "
            f"lower by only {differing.lead}. Rounding decides such a choice. It is no sign of a leak and no reason to "
            "loosen the range: report it with the processor and the version of torch."
        )
    return f"{head}. {_no_tie(record, differing)} {_advice(better)}"


def _head(record: Record, key: Key, expected: ExpectedRange, side: str) -> str:
    score = record.scores[key.fraction]
    unit = unit_named(score.metric)
    value, low, high = ends_text(score, expected)
    symbol = f" {unit.symbol}" if unit.symbol == "%" else ""
    labels = of_labels(record.scores, key.fraction)
    return f"{unit.name} {value}{symbol} at {labels} is {side} {OUTSIDE} [{low}, {high}]"


def _no_tie(record: Record, differing: Turned) -> str:
    if record.selection is None or not record.selection.candidates:
        return "No near-tie explains it: there is no penalty, and the range admits votes that nearly tie."
    if differing.near:
        return (
            f"No near-tie explains it: a penalty of {differing.names} is nearly tied, but that cannot move the score "
            "so far."
        )
    if differing.draws:
        return (
            f"No near-tie explains it: {differing.names} chose another penalty, whose validation loss is lower by "
            f"{differing.lead}."
        )
    return "No near-tie explains it: the penalties are those that the range admits."


def _advice(better: bool) -> str:
    look = (
        "Better than expected fails too: look for test samples among the training samples, or a changed split."
        if better
        else "It is worse: look for a change of inputs, code or libraries."
    )
    return f"{look} If the change is intended, accept it with geofm-eval expect RUN --why TEXT."
