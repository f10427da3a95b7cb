"""The answer on one task in sentences, each decided by records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.advice.reading import verdict
from geofm_eval.answer import Candidate, ModelDifference, TaskAnswer
from geofm_eval.answer.open_question import MOST, Needed
from geofm_eval.plurals import counted
from geofm_eval.report.answer.threats import threat_sentences
from geofm_eval.results.comparison import LAST
from geofm_eval.results.reselected import runs
from geofm_eval.results.taps import sign
from geofm_eval.results.units import MetricFormat, of_labels, unit_named
from geofm_eval.stats.difference import Difference

NAMED = 3
"""Models that a sentence names."""

NO_CONTROL = "No control was measured, so that the benefit of pretraining is unknown."

THREATS = 6
"""Number of the last question."""

READ = 2
"""Models whose tap and tuning are described."""


@dataclass(frozen=True)
class Sentence:
    """One sentence: ``question`` is its number, from 1 (controls) to 6 (threats); 7 is about new weights."""

    question: int
    text: str


def sentences(answer: TaskAnswer) -> list[Sentence]:
    """Return the answer on a task, in the order of the questions."""
    parts = (_controls, _best, _taps, _tunings, _open, threat_sentences)
    return [Sentence(number, text) for number, part in enumerate(parts, start=1) for text in part(answer)]


def unit_of_answer(answer: TaskAnswer) -> MetricFormat:
    """How scores of the task are written."""
    return unit_named(answer.setting.score.metric, answer.setting.record.provenance.target_unit)


def amount(difference: Difference, unit: MetricFormat) -> str:
    """A difference that is better where positive, with its interval: ``3.1 points [1.0, 5.2]``."""
    low, high = difference.low, difference.high
    symbol = " points" if unit.symbol == "%" else f" {unit.symbol}" if unit.symbol else ""
    text = f"{unit.value(difference.value)}{symbol}"
    return text if low is None or high is None else f"{text} [{unit.value(low)}, {unit.value(high)}]"


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """Join names: ``a, b and c``; ``a, b, c and 4 more``."""
    shown, more = list(names[:most]), len(names) - most
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _controls(answer: TaskAnswer) -> Iterator[str]:
    setting, unit = answer.setting, unit_of_answer(answer)
    backbones = len(answer.backbones)
    if not backbones:
        yield "No backbone takes part in the comparison, so there is nothing to choose."
        return
    if setting.control is None:
        yield NO_CONTROL
        return
    control = f"the best control, {setting.control} ({unit.value(setting.by_model[setting.control].score.value)})"
    better = [one for one in answer.over_control if one.shows == "better"]
    first = answer.over_control[0]
    if better:
        names, by = listed([one.model for one in better]), amount(better[0].difference, unit)
        which = f"{names} beats" if backbones == 1 else f"{len(better)} of {backbones} beat"
        most = f": {names}" if backbones > 1 else ""
        difference = f"by {by}" if len(better) == 1 else f"the first by {by}"
        yield f"{which} {control}{most}, {difference}."
        return
    what = "The backbone" if backbones == 1 else f"None of {backbones} backbones"
    verb = "is not shown to beat" if backbones == 1 else "is shown to beat"
    yield f"{what} {verb} {control}; {_closest(first, unit)}."


def _closest(first: ModelDifference, unit: MetricFormat) -> str:
    words = {
        "worse": "is worse by",
        "equivalent": "is equivalent within the margin, with a difference of",
        "open": "differs by",
        "unknown": "differs, without an interval, by",
    }[first.shows]
    difference = first.difference.times(-1) if first.shows == "worse" else first.difference
    return f"the best of them, {first.model}, {words} {amount(difference, unit)}"


def _best(answer: TaskAnswer) -> Iterator[str]:
    unit, choices, count = unit_of_answer(answer), answer.choices, len(answer.backbones)
    if count < 2:
        return
    if answer.leader is not None:
        second = next(one for one in answer.between if one.model == answer.leader)
        by = amount(second.difference, unit)
        yield f"{_priced(choices[0])} leads {counted(count, 'backbone')}; {second.other} follows, {by} below."
        return
    names = listed([_priced(one) for one in choices])
    which = f"The {count} backbones cannot be distinguished"
    if len(choices) < count:
        which = f"{len(choices)} of {count} backbones cannot be distinguished from the best"
    yield f"{which}; the smallest first: {names}."


def _priced(choice: Candidate) -> str:
    parts = [] if choice.megabytes is None else [f"{choice.megabytes:.3g} MB"]
    parts += [] if not choice.images_per_second else [f"{choice.images_per_second:.0f} images/s"]
    return f"{choice.model} ({', '.join(parts)})" if parts else choice.model


def _taps(answer: TaskAnswer) -> Iterator[str]:
    unit = unit_of_answer(answer)
    deep = [one for one in answer.choices if one.row is not None and len(one.row.subject.taps) > 1]
    for choice in deep[:READ]:
        assert choice.row is not None
        row, tap = choice.row, choice.row.chosen.words
        again = row.again
        near = ""
        if again is not None and len(again.near) > 1:
            near = f" (within one standard error: {runs(again.near, again.taps)})"
        yield f"Read {choice.model} at {tap}{near}{_final(choice, unit)}."


def _final(choice: Candidate, unit: MetricFormat) -> str:
    """What the final tap would cost."""
    row = choice.row
    assert row is not None
    if row.gain is None or row.chosen.record is row.subject.taps.get(LAST):
        return ""
    gain = row.gain.times(sign(row.chosen.score))
    shows = verdict(gain)
    if shows == "better":
        return f"; {LAST} would cost {amount(gain, unit)}"
    if shows == "worse":
        return f"; {LAST} is better by {amount(gain.times(-1), unit)} on the test split"
    return f"; that {LAST} costs anything is not shown ({amount(gain, unit)})"


def _tunings(answer: TaskAnswer) -> Iterator[str]:
    unit = unit_of_answer(answer)
    for choice in [one for one in answer.choices if one.tuning is not None][:READ]:
        tuning = choice.tuning
        assert tuning is not None
        chosen, where = tuning.chosen, f"{tuning.head}, {counted(tuning.seeds, 'seed')}"
        if tuning.fraction < 1:
            where += f", {of_labels({}, str(tuning.fraction))}"
        own = unit_named(chosen.test.metric, answer.setting.record.provenance.target_unit) if chosen else unit
        gain = None if chosen.over_frozen is None else chosen.over_frozen.times(sign(chosen.test))
        if gain is None or chosen.shows == "worse":
            yield f"Leave {choice.model} frozen: no tuning is better on validation ({where})."
        elif chosen.shows == "better":
            yield f"Tune {choice.model} ({chosen.tuning}): {amount(gain, own)} better than frozen ({where})."
        else:
            yield (
                f"Whether to tune {choice.model} is open: {chosen.tuning} differs from frozen by {amount(gain, own)} "
                f"({where})."
            )


def _open(answer: TaskAnswer) -> Iterator[str]:
    found = answer.open
    if found is None:
        return
    first, second = found.between.model, found.between.other
    yield f"Open: whether {first} is better than {second}. {_settled(found)}."


def _settled(found: Needed) -> str:
    if found.more is None:
        return f"More than {MOST} times as many test samples would be needed to settle it"
    groups = f" in new groups ({counted(found.groups, 'group')} now)" if found.groups else ""
    more = f"About {rounded(found.more):,} more test samples{groups}"
    return f"{more} would settle it, if the difference stays as measured ({found.n:,} now)"


def rounded(count: int) -> int:
    """Two leading digits, rounded up: 715 -> 720."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
