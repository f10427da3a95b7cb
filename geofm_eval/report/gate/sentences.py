"""Sentences about a comparison of two runs that text and Markdown share."""

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence

from geofm_eval.compare import (
    CaseChange,
    CaseVerdict,
    FailOn,
    Moved,
    PooledVerdict,
    RawDrop,
    Refusal,
    RunComparison,
    chance_of_false,
    expected_false,
)
from geofm_eval.compare.matching import CaseKey
from geofm_eval.metric import METRICS
from geofm_eval.plurals import counted
from geofm_eval.report.wording import unsealed_sentence
from geofm_eval.results.units import MetricFormat, of_labels, unit_named

RULE = (
    "plus is better; primary cases decide: the tap that the baseline's validation chose, and final, at the largest "
    "label fraction; regression: clearly below 0 (95 %, Holm), with a loss of at least the margin; equivalent: the "
    "interval is within +-margin; all other cases are exploratory"
)

MOST_NAMES = 12
"""Exploratory cases that are named per reason; the others are counted."""

PRIMARY = " (primary): "
"""Marks the sentences of :func:`reason_sentences` that name primary cases."""

NO_MOVE = 0.001
"""1 - CKA below which a tap is not said to have moved."""


def gain_unit(metric: str, target: str | None) -> MetricFormat:
    """How differences are shown: in points of accuracy, IoU and R2; of an RMSE in the target's unit."""
    if METRICS[metric].in_target_unit:
        return MetricFormat("", target or "in the target's unit", 1.0, 2)
    return MetricFormat("", "points", 100.0, 1)


def headline(found: RunComparison, fail_on: FailOn, require_all: bool = False) -> str:
    """Say whether the gate holds, and how many cases are worse."""
    word = "gate holds" if found.primary else "gate holds, but no primary case was compared"
    if found.failures(fail_on, require_all):
        word = "GATE FAILS"
    explored = len(found.exploratory) + sum(mean.verdict == "regression" for mean in found.pooled)
    parts = [
        f"{len(found.regressions)} of {counted(len(found.primary), 'primary case')} "
        f"{_be(len(found.regressions))} worse",
        *_counted(len(found.matches.broken), "a score", "no longer has", "no longer have"),
        *_counted(len(found.fell), "without an interval", "fell", "fell"),
        *_counted(len(found.untested), "not tested", "was", "were"),
        *([f"{explored} exploratory {'result is' if explored == 1 else 'results are'} worse"] if explored else []),
    ]
    how = [*([fail_on] if fail_on != "regression" else []), *(["anything absent"] if require_all else [])]
    also = f" (fails on {' and '.join(how)})" if how else ""
    return f"{word}{also}: {found.new.name} against {found.old.name}: {', '.join(parts)}"


def _counted(count: int, what: str, one: str, many: str) -> list[str]:
    return [f"{counted(count, 'case')} {one if count == 1 else many} {what}"] if count else []


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def chance_sentence(found: RunComparison) -> str:
    """Say how many false regressions to expect in this run; empty if no difference was tested."""
    count = found.tested
    if not count:
        return ""
    expected, one = expected_false(count, found.together), chance_of_false(count, found.together)
    families, at_least = "1 family" if count == 1 else f"{count} families", ""
    if found.together == "run":
        how = f"Holm over all primary cases of {families}"
    elif count == 1:
        how = f"{families} tested at 2.5 %"
    else:
        how = f"{families} tested at 2.5 % each; --family run tests them together"
        at_least = f", and one or more in at most {100 * one:.0f} % of runs"
    return f"false regressions expected by chance in this run: at most {expected:.3g}{at_least} ({how})"


def primary_sentence(case: CaseVerdict) -> str:
    """Verdict on a primary case with its evidence and the smallest drop that would have been found."""
    name = f"{case.new.case.id} ({role_text(case)})"
    if case.identical:
        return f"{name}: identical"
    gain, p = _gain(case), case.full.p
    adjusted = "" if p is None else f" (p {p:.2g} after Holm)"
    text = f"{name}: {case.verdict}, {difference_text(case, case.full)}{adjusted}, {levels_text(case, case.full)}"
    if case.full.smallest is None:
        return f"{text}{f': {case.why}' if case.why else ''}"
    smallest = f"smallest drop found with 80 % probability: {gain.value(case.full.smallest)} {gain.symbol}"
    return f"{text}; {smallest} (margin {gain.value(case.delta)})"


def role_text(case: CaseVerdict) -> str:
    """Why a case is primary: ``chosen by validation``."""
    return "chosen by validation" if case.role == "chosen" else str(case.role)


def difference_text(case: CaseVerdict, cell: CaseChange) -> str:
    """Return the difference with its interval: ``-2.3 [-3.3, -1.2] points``."""
    gain = _gain(case)
    text = f"{gain.difference(cell.difference)} {gain.symbol}"
    return text if cell.difference.low is not None else f"{text} without an interval"


def levels_text(case: CaseVerdict, cell: CaseChange) -> str:
    """Return the scores before and after: ``80.0 -> 78.0 % at 100 % of the labels``."""
    unit = unit_named(case.score.metric, case.new.provenance.target_unit)
    symbol = f" {unit.symbol}" if unit.symbol else ""
    return f"{unit.value(cell.old)} -> {unit.value(cell.new)}{symbol} at {of_labels(case.new.scores, cell.fraction)}"


def _gain(case: CaseVerdict) -> MetricFormat:
    return gain_unit(case.score.metric, case.new.provenance.target_unit)


def pooled_sentence(mean: PooledVerdict) -> str:
    """The mean over taps and adaptations, such as ``m_one, eurosat_sim, probe: -0.1 points, equivalent``."""
    gain, unit = gain_unit(mean.score.metric, mean.target_unit), unit_named(mean.score.metric, mean.target_unit)
    interval = "" if mean.difference.low is not None else " without an interval"
    adjusted = "" if mean.p is None else f" (p {mean.p:.2g} after Holm)"
    words = " ".join(word for word in (unit.symbol, unit.name) if word)
    levels = f"{unit.value(mean.old)} -> {unit.value(mean.new)} {words}"
    text = f"{gain.difference(mean.difference)} {gain.symbol}{interval}, {mean.verdict}{adjusted}"
    smallest = ""
    if mean.smallest is not None:
        smallest = (
            f"; smallest drop of this mean found with 80 % probability: {gain.value(mean.smallest)} {gain.symbol}"
        )
    return f"{mean.name}: {text}: {levels}, mean over {pooled_text(mean)}{smallest}"


def pooled_text(mean: PooledVerdict) -> str:
    """What the mean is over, such as ``28 cases``."""
    if not mean.pooled:
        return f"{counted(len(mean.cases), 'case')}, none with an interval"
    more = f" ({mean.left_out} more without paired outcomes)" if mean.left_out else ""
    return f"{counted(len(mean.pooled), 'case')}{more}"


def cell_sentence(case: CaseVerdict, cell: CaseChange) -> str:
    """Return the sentence of a cell: ``<case id>: -2.4 [-3.9, -1.0] points, 61.0 -> 58.6 % at 10 % of the labels``."""
    return f"{case.new.case.id}: {difference_text(case, cell)}, {levels_text(case, cell)}"


def drop_sentence(drop: RawDrop) -> str:
    """Return: ``<case id>: -20.0 points, 80.0 -> 60.0 % at 100 % of the labels, without an interval: ...``."""
    metric, target = drop.new.scores[drop.fraction].metric, drop.new.provenance.target_unit
    gain, unit = gain_unit(metric, target), unit_named(metric, target)
    before, after = (unit.value(record.scores[drop.fraction].value) for record in (drop.old, drop.new))
    symbol = f" {unit.symbol}" if unit.symbol else ""
    return (
        f"{drop.key[1]}: {gain.value(drop.value)} {gain.symbol}, {before} -> {after}{symbol} at "
        f"{of_labels(drop.new.scores, drop.fraction)}, without an interval: {drop.why}"
    )


def tally(cases: Sequence[CaseVerdict]) -> str:
    """Count the verdicts: ``26 equivalent (12 of them identical), 2 undecided``."""
    counts: Counter[str] = Counter(case.verdict for case in cases)
    same = sum(case.identical for case in cases)
    words = {"equivalent": f" ({same} of them identical)" if same else ""}
    order = ("regression", "undecided", "equivalent", "improvement")
    return ", ".join(f"{counts[word]} {word}{words.get(word, '')}" for word in order if counts[word])


def moved_sentence(one: Moved) -> str:
    """Where the features of a model moved, tap by tap."""
    where = f"{one.model} on {named(one.tasks)}"
    if one.absent:
        return f"{where}: {one.absent}"
    most = max((value for value in one.taps.values() if value is not None), default=None)
    if most is None:
        return f"{where}: constant features at every tap"
    if most < NO_MOVE:
        return f"{where}: unchanged, 1 - CKA below {NO_MOVE:g} at every tap"
    values = " ".join("-" if value is None else f"{value + 0.0:.3f}" for value in one.taps.values())
    first, *_, last = one.taps
    return f"{where}: most at {one.most} (1 - CKA {most:.3f}); {first} to {last}: {values}"


def refusal_sentences(refused: Sequence[Refusal], primary: Container[CaseKey] = ()) -> list[str]:
    """Cases that are not comparable, grouped by what differs."""
    texts = {one.case: "; ".join(f"{k}: {old} before, {new} now" for k, (old, new) in one.differing.items())
             for one in refused}  # fmt: skip
    return reason_sentences(texts, primary)


def reason_sentences(reasons: Mapping[CaseKey, str], primary: Container[CaseKey] = ()) -> list[str]:
    """Cases grouped by reason; primary cases come first and are all named."""
    alike: defaultdict[tuple[bool, str], list[str]] = defaultdict(list)
    for key, reason in reasons.items():
        alike[key not in primary, reason].append(key[1])
    return [
        f"{named(cases, MOST_NAMES)}: {reason}" if exploratory else f"{named(cases, len(cases))}{PRIMARY}{reason}"
        for (exploratory, reason), cases in sorted(alike.items(), key=lambda item: item[0][0])
    ]


def other_sentences(found: RunComparison) -> list[str]:
    """Cases without a counterpart in the other run, or without a score."""
    sentences = []
    for why in dict.fromkeys(one.why for one in found.unselected):
        names = [f"{one.name} ({counted(one.cases, 'case')})" for one in found.unselected if one.why == why]
        sentences.append(f"{why}: {', '.join(names)}")
    if found.matches.only_new:
        sentences.append(f"only in {found.new.name}: {named([case_id for _, case_id in found.matches.only_new])}")
    if found.matches.not_compared:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.matches.not_compared.items())
        sentences.append(f"records without a score: {kinds}")
    return sentences


def no_checksum_sentences(found: RunComparison) -> list[str]:
    """How many records of each run have no checksum."""
    both = {"baseline": found.old, "run": found.new}
    return [f"{role} {run.name}: {unsealed_sentence(run)}" for role, run in both.items() if run.unsealed]


def named(names: Sequence[str], most: int = 4) -> str:
    """The first names and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
