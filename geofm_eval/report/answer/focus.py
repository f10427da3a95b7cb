"""The answer on one model in sentences, for its author; differences to other models first, then its tap."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from geofm_eval.answer import FocusedAnswer, ModelDifference, Shows
from geofm_eval.compare import RunComparison
from geofm_eval.plurals import counted
from geofm_eval.records import marks
from geofm_eval.report.answer.one_task import (
    NAMED,
    NO_CONTROL,
    Sentence,
    amount,
    listed,
    unit_of_answer,
)
from geofm_eval.report.answer.several_tasks import by_evidence, overall
from geofm_eval.report.answer.terminal import TASKS, WIDTH
from geofm_eval.report.findings import ON
from geofm_eval.report.formats import Column, Table
from geofm_eval.report.gate.changes import change_sentences, changed_cases, tally_of_changes
from geofm_eval.results.units import MetricFormat

CHANGE = 7
"""Number of the question what new weights changed, which comes first if there is a baseline."""

OWN = 3
"""First question whose sentences are those of the usual answer, with the model as the only choice."""


def focused_sentences(found: Sequence[FocusedAnswer], baseline: RunComparison | None) -> list[Sentence]:
    """Return the answer on a model, on tasks of one evidence class.

    Args:
        found: one or several tasks; several are counted.
        baseline: comparison with old weights; None without.
    """
    model, tasks = found[0].model, [one.task for one in found]
    own = [] if baseline is None else [Sentence(CHANGE, text) for text in change_sentences(baseline, model, tasks)]
    parts = (_controls, _others) if len(found) > 1 else (_control, _rank)
    own += [Sentence(number, text) for number, part in enumerate(parts, start=1) for text in part(found)]
    return own + [one for one in overall([each.answer for each in found]) if one.question >= OWN]


def focus_by_evidence(found: Sequence[FocusedAnswer]) -> dict[str, list[FocusedAnswer]]:
    """Answers on a model by evidence class, in the order in which they are read."""
    own = {id(one.answer): one for one in found}
    return {
        evidence: [own[id(answer)] for answer in answers]
        for evidence, answers in by_evidence([one.answer for one in found]).items()
    }


def text_of_focus(found: Sequence[FocusedAnswer], baseline: RunComparison | None) -> str:
    """Sentences, then a line per task, by evidence class."""
    parts = []
    for evidence, own in focus_by_evidence(found).items():
        lines = [f"Answer for {own[0].model} ({ON[evidence]})"]
        for one in focused_sentences(own, baseline):
            lines += wrap(one.text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
        parts.append("\n".join([*lines, *focus_table(own, baseline).lines(TASKS)]))
    return "\n\n".join(parts)


def focus_table(found: Sequence[FocusedAnswer], baseline: RunComparison | None) -> Table[FocusedAnswer]:
    """One line per task of an evidence class: score, tap, group, differences, and what new weights changed."""
    columns: list[Column[FocusedAnswer]] = [
        Column("task", lambda one: one.task, short="task"),
        Column("metric", lambda one: unit_of_answer(one.answer).label),
        Column("score", lambda one: unit_of_answer(one.answer).score(one.candidate.entry.score), short="score"),
        Column("tap", lambda one: one.candidate.entry.record.case.layer, short="tap"),
        Column("group", lambda one: None if one.standing is None else one.standing.group, short="group"),
        Column("minus best control", lambda one: _cell(one, one.over_control), short="minus control"),
        Column("minus random twin", lambda one: _cell(one, one.over_twin)),
        Column("best other backbone", lambda one: one.over_others[0].other if one.over_others else None),
        Column("minus that", lambda one: _cell(one, _first(one)), short="minus best other"),
    ]
    if baseline is not None:
        known = baseline
        columns.append(Column(f"against {known.old.name}", lambda one: _tally(known, one), short="new weights"))
    evidence = str(found[0].answer.setting.record.evidence)
    return Table(f"focus-{evidence}", f"{found[0].model} by task ({ON[evidence]})", columns, found)


def _cell(one: FocusedAnswer, difference: ModelDifference | None) -> str | None:
    return None if difference is None else unit_of_answer(one.answer).difference(difference.difference)


def _first(one: FocusedAnswer) -> ModelDifference | None:
    return one.over_others[0] if one.over_others else None


def _tally(baseline: RunComparison, one: FocusedAnswer) -> str | None:
    return tally_of_changes(changed_cases(baseline, one.model, [one.task])) or None


def _control(found: Sequence[FocusedAnswer]) -> Iterator[str]:
    """Differences to the best control and to the random twin, on one task."""
    (one,) = found
    setting, unit = one.answer.setting, unit_of_answer(one.answer)
    if reasons := marks(one.candidate.entry.record):
        yield f"{one.model} is not compared with other models: {' and '.join(reasons)}."
        return
    twin = one.over_twin.other if one.over_twin is not None else None
    if setting.control is None:
        yield NO_CONTROL
    elif one.over_control is not None:
        both = " and random twin" if setting.control == twin else ""
        score = unit.value(setting.by_model[setting.control].score.value)
        yield f"{one.model} {_against(one.over_control, f'the best control{both}, {setting.control} ({score})', unit)}."
    if twin is None:
        yield "Its random twin was not measured."
    elif one.over_twin is not None and twin != setting.control:
        score = unit.value(setting.by_model[twin].score.value)
        yield f"{one.model} {_against(one.over_twin, f'its random twin, {twin} ({score})', unit)}."


def _against(pair: ModelDifference, other: str, unit: MetricFormat) -> str:
    """A difference in words: ``beats a by 3.1 points [1.0, 5.2]``."""
    difference = pair.difference.times(-1) if pair.shows == "worse" else pair.difference
    by = amount(difference, unit)
    words: dict[Shows, str] = {
        "better": f"beats {other} by {by}",
        "worse": f"is worse than {other} by {by}",
        "equivalent": f"is equivalent to {other} within the margin: difference {by}",
        "open": f"cannot be distinguished from {other}: difference {by}",
        "unknown": f"differs from {other} by {by}, without an interval",
    }
    return words[pair.shows]


def _rank(found: Sequence[FocusedAnswer]) -> Iterator[str]:
    """Rank and group, and differences to the best other backbones, on one task."""
    (one,) = found
    unit, entry, standing = unit_of_answer(one.answer), one.candidate.entry, one.standing
    rank = f"rank {one.answer.setting.rank(entry)} of {counted(len(one.answer.setting.entries), 'model')}"
    group = "its group is unknown"
    if standing is not None:
        low, high = standing.clear
        also = f"{low} to {high}" if low < high else f"only {low}"
        group = f"group {standing.group} (ranks that clear differences leave open: {also})"
    yield f"{one.model} scores {unit.score(entry.score)}: {rank}, {group}."
    if not one.over_others:
        return
    ahead, behind = len(_showing(one, "worse")), len(_showing(one, "better"))
    are = "is" if ahead == 1 else "are"
    yield f"{ahead} of {counted(len(one.over_others), 'other backbone')} {are} clearly better, {behind} clearly worse."
    best = "; ".join(_against(pair, pair.other, unit) for pair in one.over_others[:NAMED])
    yield f"Against the best of them, {one.model} {best}."


def _showing(one: FocusedAnswer, shows: Shows) -> list[ModelDifference]:
    return [pair for pair in one.over_others if pair.shows == shows]


def _controls(found: Sequence[FocusedAnswer]) -> Iterator[str]:
    """On how many tasks the model beats the best control and its random twin."""
    kinds = {
        "the best control": [one.over_control for one in found],
        "its random twin": [one.over_twin for one in found],
    }
    for what, pairs in kinds.items():
        known = [pair for pair in pairs if pair is not None]
        if known:
            better, worse = (sum(pair.shows == shows for pair in known) for shows in ("better", "worse"))
            behind = f", and is clearly worse on {worse}" if worse else ""
            yield f"{found[0].model} is shown to beat {what} on {better} of {counted(len(known), 'task')}{behind}."
        else:
            yield f"No difference to {what} is known."
    if excluded := [one.task for one in found if marks(one.candidate.entry.record)]:
        yield f"It is not compared with other models on {listed(excluded)}."


def _others(found: Sequence[FocusedAnswer]) -> Iterator[str]:
    """On how many tasks no other backbone is clearly better, and where one is."""
    known = [one for one in found if one.over_others]
    if not known:
        return
    behind = [f"{one.task} ({_showing(one, 'worse')[0].other})" for one in known if _showing(one, "worse")]
    top = len(known) - len(behind)
    yield f"No other backbone is clearly better on {top} of {counted(len(known), 'task')}."
    if behind:
        yield f"Another one is clearly better on {listed(behind)}."
