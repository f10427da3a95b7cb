"""What a comparison of two runs says, in sentences that text and Markdown share."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from geofm_eval.compare import CaseVerdict, FailOn, Moved, Refusal, RunComparison, TaskVerdict
from geofm_eval.compare.matching import CaseKey
from geofm_eval.report.wording import Unit, of_labels, unit_named

RULE = (
    "plus is better; means are over the cases of the models that differ, each at its largest label fraction; "
    "regression: clearly below 0 (95 %, Holm) and at least the margin lost; equivalent: the interval is within +-margin"
)


NO_MOVE = 0.001
"""1 - CKA below which a tap is not said to have moved."""


def gain_unit(metric: str, target: str | None) -> Unit:
    """How differences are shown: in points of accuracy, IoU and R2; of an RMSE in the target's unit."""
    if metric == "rmse":
        return Unit("", target or "in the target's unit", 1.0, 2)
    return Unit("", "points", 100.0, 1)


def headline(found: RunComparison, fail_on: FailOn) -> str:
    """One sentence: does the gate hold, and what of how many is worse."""
    failures = found.failures(fail_on)
    word = "GATE FAILS" if failures else "gate holds"
    worse = sum(task.verdict == "regression" for task in found.tasks)
    parts = [
        f"{worse} of {len(found.tasks)} tasks and {len(found.regressions)} of {len(found.cases)} cases are worse",
        *([f"{len(found.matches.broken)} cases have no score any more"] if found.matches.broken else []),
        *([f"{len(found.matches.refused)} cases are not comparable"] if found.matches.refused else []),
    ]
    also = f" (fails on {fail_on})" if fail_on != "regression" else ""
    return f"{word}{also}: {found.new.name} against {found.old.name}: {', '.join(parts)}"


def task_sentence(task: TaskVerdict) -> str:
    """The verdict on a task with its evidence, such as ``eurosat_sim, probe: regression, -2.3 points [-3.3, -1.2]``."""
    if task.identical:
        return f"{task.name}: identical, all {len(task.cases)} cases"
    gain = gain_unit(task.score.metric, task.target_unit)
    verdict = f"{task.verdict}, {difference_text(gain, task)}{_p_text(task)}"
    return f"{task.name}: {verdict}: {level(task)}, mean over {pooled_text(task)}"


def difference_text(gain: Unit, task: TaskVerdict) -> str:
    """Such as ``-2.3 [-3.3, -1.2] points``."""
    text = f"{gain.difference(task.difference)} {gain.symbol}"
    return text if task.difference.low is not None else f"{text} without an interval"


def _p_text(task: TaskVerdict) -> str:
    return "" if task.p is None else f" (p {task.p:.2g} after Holm)"


def level(task: TaskVerdict) -> str:
    """Mean scores, such as ``61.2 -> 58.9 % accuracy``."""
    unit = unit_named(task.score.metric, task.target_unit)
    words = " ".join(word for word in (unit.symbol, unit.name) if word)
    return f"{unit.value(task.old)} -> {unit.value(task.new)} {words}"


def pooled_text(task: TaskVerdict) -> str:
    """What the mean is over, such as ``28 cases of pocket_mae``."""
    if not task.pooled:
        return f"{_cases(len(task.cases))} of {named(task.models)}, none of them with an interval"
    more = f" ({task.left_out} more have no outcomes to pair)" if task.left_out else ""
    return f"{_cases(len(task.pooled))} of {named(task.models)}{more}"


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def smallest_sentence(task: TaskVerdict) -> str:
    """How small a drop would have been found; empty where nothing differs or no interval is known."""
    if task.smallest is None:
        return ""
    gain = gain_unit(task.score.metric, task.target_unit)
    return (
        f"smallest drop found with 80 % probability here: {gain.value(task.smallest)} {gain.symbol} "
        f"(margin {gain.value(task.delta)})"
    )


def case_sentence(case: CaseVerdict) -> str:
    """Such as ``<case id>: -2.4 [-3.9, -1.0] points, 61.0 -> 58.6 % at 100 % of the labels``."""
    cell, source = case.telling, case.new.provenance
    gain, unit = gain_unit(case.score.metric, source.target_unit), unit_named(case.score.metric, source.target_unit)
    levels = f"{unit.value(cell.old)} -> {unit.value(cell.new)}{' ' + unit.symbol if unit.symbol else ''}"
    return (
        f"{case.new.case.id}: {gain.difference(cell.difference)} {gain.symbol}, {levels} "
        f"at {of_labels(case.new.scores, cell.fraction)}"
    )


def tally(cases: Sequence[CaseVerdict]) -> str:
    """Such as ``26 equivalent (12 of them identical), 2 undecided``."""
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
        return f"{where}: no tap has features that vary"
    if most < NO_MOVE:
        return f"{where}: nowhere, 1 - CKA is below {NO_MOVE:g} at every tap"
    values = " ".join("-" if value is None else f"{value + 0.0:.3f}" for value in one.taps.values())
    first, *_, last = one.taps
    return f"{where}: most at {one.most}, 1 - CKA {most:.3f}; from {first} to {last}: {values}"


def refusal_sentences(refused: Sequence[Refusal]) -> list[str]:
    """Cases that are not comparable, those that differ alike together."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for one in refused:
        alike["; ".join(f"{name}: {old} before, {new} now" for name, (old, new) in one.differing.items())].append(
            one.case[1]
        )
    return [f"{named(cases)}: {text}" for text, cases in alike.items()]


def reason_sentences(reasons: Mapping[CaseKey, str]) -> list[str]:
    """Cases with their reasons, those of one reason together."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for (_, case_id), reason in reasons.items():
        alike[reason].append(case_id)
    return [f"{named(cases)}: {reason}" for reason, cases in alike.items()]


def other_sentences(found: RunComparison) -> list[str]:
    """What has no counterpart in the other run, or no score."""
    sentences = []
    for cases, where in ((found.matches.only_old, found.old.name), (found.matches.only_new, found.new.name)):
        if cases:
            sentences.append(f"only in {where}: {named([case_id for _, case_id in cases])}")
    if found.matches.not_compared:
        kinds = ", ".join(f"{count} of {kind}" for kind, count in found.matches.not_compared.items())
        sentences.append(f"records without a score: {kinds}")
    return sentences


def named(names: Sequence[str], most: int = 4) -> str:
    """The first names and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
