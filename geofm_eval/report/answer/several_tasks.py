"""The answers on several tasks of one evidence class: counts over tasks, and one line per task."""

from collections import Counter
from collections.abc import Iterator, Sequence

from geofm_eval.advice.reading import verdict
from geofm_eval.answer import TaskAnswer
from geofm_eval.plurals import counted
from geofm_eval.report.answer.one_task import THREATS, Sentence, listed, rounded, sentences, unit_of_answer
from geofm_eval.report.findings import ON
from geofm_eval.report.formats import Column, Table
from geofm_eval.results.comparison import LAST
from geofm_eval.results.taps import sign


def overall(found: Sequence[TaskAnswer]) -> list[Sentence]:
    """Sentences on all tasks of one evidence class; on a single task, those of the task itself."""
    if len(found) == 1:
        return sentences(found[0])
    parts = (_controls, _best, _taps, _tunings, _open, _threats)
    return [Sentence(number, text) for number, part in enumerate(parts, start=1) for text in part(found)]


def by_evidence(found: Sequence[TaskAnswer]) -> dict[str, list[TaskAnswer]]:
    """Answers by evidence class, in the order in which they are read."""
    return {
        evidence: own for evidence in ON if (own := [one for one in found if one.setting.record.evidence == evidence])
    }


def task_table(found: Sequence[TaskAnswer]) -> Table[TaskAnswer]:
    """One line per task: the best control, how many backbones are at the top, and the smallest of these."""
    columns: list[Column[TaskAnswer]] = [
        Column("task", lambda one: one.setting.task, short="task"),
        Column("metric", lambda one: unit_of_answer(one).label, short="metric"),
        Column("best control", _control, short="best control"),
        Column("beaten by", _beaten, short="beaten by", right=True),
        Column("at the top", lambda one: f"{len(one.choices)} of {len(one.backbones)}", short="at the top", right=True),
        Column(
            "smallest of these", lambda one: one.choices[0].model if one.choices else None, short="smallest of these"
        ),
        Column("tap", lambda one: one.choices[0].entry.record.case.layer if one.choices else None, short="tap"),
        Column("score", _score, short="score"),
    ]
    return Table("answer", "The answer by task", columns, found)


def _control(one: TaskAnswer) -> str | None:
    entry = one.setting.by_model.get(one.setting.control or "")
    return None if entry is None else f"{entry.model} {unit_of_answer(one).value(entry.score.value)}"


def _beaten(one: TaskAnswer) -> str | None:
    if not one.over_control:
        return None
    return f"{sum(pair.shows == 'better' for pair in one.over_control)} of {len(one.over_control)}"


def _score(one: TaskAnswer) -> str | None:
    return unit_of_answer(one).score(one.choices[0].entry.score) if one.choices else None


def _controls(found: Sequence[TaskAnswer]) -> Iterator[str]:
    known = [one for one in found if one.over_control]
    beaten = [one for one in known if any(pair.shows == "better" for pair in one.over_control)]
    if known:
        yield f"On {len(beaten)} of {counted(len(known), 'task')}, a backbone is shown to beat the best control."
    behind = [one for one in known if all(pair.shows == "worse" for pair in one.over_control)]
    if behind:
        yield f"On {counted(len(behind), 'task')}, the best control is clearly better than every backbone."
    if without := len(found) - len(known):
        yield f"On {counted(without, 'task')}, no control or no backbone was measured."


def _best(found: Sequence[TaskAnswer]) -> Iterator[str]:
    compared = [one for one in found if len(one.backbones) > 1]
    if not compared:
        return
    tops = Counter(choice.model for one in compared for choice in one.choices)
    sizes = {choice.model: choice.megabytes or 0.0 for one in compared for choice in one.choices}
    ordered = sorted(tops, key=lambda model: (-tops[model], sizes[model], model))
    names = listed([f"{model} on {tops[model]}" for model in ordered])
    yield f"Cannot be distinguished from the best, of {counted(len(compared), 'task')}: {names}."
    leaders = [f"{one.leader} on {one.setting.task}" for one in compared if one.leader is not None]
    if leaders:
        yield f"Leads alone: {listed(leaders)}."


def _taps(found: Sequence[TaskAnswer]) -> Iterator[str]:
    rows = [c.row for one in found for c in one.choices if c.row is not None and c.row.gain is not None]
    deep = [row for row in rows if row.chosen.record is not row.subject.taps.get(LAST)]
    if not rows:
        return
    costs = [row for row in deep if row.gain is not None and verdict(row.gain, sign(row.chosen.score)) == "better"]
    yield (
        f"Of {counted(len(rows), 'choice')} of a tap, {len(deep)} are not {LAST}; in {len(costs)}, "
        f"{LAST} would clearly cost."
    )


def _tunings(found: Sequence[TaskAnswer]) -> Iterator[str]:
    chosen = [c.tuning.chosen for one in found for c in one.choices if c.tuning is not None]
    if chosen:
        better = sum(one.shows == "better" for one in chosen)
        yield f"Tuning is better than a frozen backbone in {better} of {counted(len(chosen), 'comparison')}."


def _open(found: Sequence[TaskAnswer]) -> Iterator[str]:
    unsettled = [one for one in found if one.open is not None]
    near = [(one.open.more, one) for one in unsettled if one.open is not None and one.open.more is not None]
    if not unsettled:
        return
    text = f"Open on {counted(len(unsettled), 'task')}"
    if near:
        more, one = min(near, key=lambda entry: (entry[0], entry[1].setting.task))
        assert one.open is not None
        text += (
            f"; nearest to being settled: {one.open.between.model} against {one.open.between.other} on "
            f"{one.setting.task}, with about {rounded(more):,} more test samples"
        )
    yield f"{text}."


def _threats(found: Sequence[TaskAnswer]) -> Iterator[str]:
    """What limits some of the answers, equal sentences once, with the number of tasks."""
    texts = Counter(one.text for answer in found for one in sentences(answer) if one.question == THREATS)
    for text, tasks in texts.items():
        yield text if tasks == len(found) else f"{text.rstrip('.')} (on {counted(tasks, 'task')})."
