"""One verdict per task: the mean difference over its cases, with an interval for all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from geofm_eval.compare.cases import NOTHING, CaseVerdict, turned
from geofm_eval.compare.verdicts import Verdict, decide, smallest_found, standard_error
from geofm_eval.holm import holm, p_value
from geofm_eval.records import Score
from geofm_eval.report.choice import Difference, Pairs
from geofm_eval.report.comparison import split_records


@dataclass(frozen=True)
class TaskVerdict:
    """The cases of one task and kind, pooled at their largest label fractions.

    Pooled are all cases of the models of which anything differs: those that were not touched would only dilute it.

    Args:
        name: the task, its kind, and a number where cases of a kind were tested on other items than the rest.
        task: slug.
        kind: of the cases.
        cases: all of them, of models that differ or not.
        pooled: those that are in the mean.
        models: of the pooled cases.
        old: mean score of the pooled cases in the baseline, in the metric's own unit.
        new: mean score now.
        difference: new minus old, turned so that more is better.
        delta: difference that matters.
        p: Holm-adjusted p of no difference, over the tasks; None without an interval.
        verdict: by the rule of :func:`geofm_eval.compare.verdicts.decide`.
        smallest: smallest drop that is found with 80 % probability; None without an interval.
        target_unit: unit of an RMSE.
    """

    name: str
    task: str
    kind: str
    cases: tuple[CaseVerdict, ...]
    pooled: tuple[CaseVerdict, ...]
    models: tuple[str, ...]
    old: float
    new: float
    difference: Difference
    delta: float
    p: float | None
    verdict: Verdict
    smallest: float | None
    target_unit: str | None

    @property
    def score(self) -> Score:
        """One of the scores, for what all share: metric, direction, n."""
        return self.cases[0].score

    @property
    def identical(self) -> bool:
        """Whether no case differs at all."""
        return all(case.identical for case in self.cases)

    @property
    def left_out(self) -> int:
        """Cases of these models that are not in the mean, because their outcomes cannot be paired item by item."""
        return sum(case.new.case.model in self.models for case in self.cases) - len(self.pooled)


def task_verdicts(cases: Sequence[CaseVerdict], pairs: Pairs) -> list[TaskVerdict]:
    """Pool the cases of every task and kind; tasks are tested together."""
    found = []
    for task, kind in sorted({(case.new.case.task, case.new.case.kind) for case in cases}):
        own = [case for case in cases if (case.new.case.task, case.new.case.kind) == (task, kind)]
        parts = split_records([case.new for case in own])
        for number, part in enumerate(parts, start=1):
            ids = {record.case.id for record in part}
            name = f"{task}, {kind}" + (f", part {number}" if len(parts) > 1 else "")
            found.append(_pooled(name, [case for case in own if case.new.case.id in ids], pairs))
    return _adjusted(found)


def _pooled(name: str, cases: list[CaseVerdict], pairs: Pairs) -> TaskVerdict:
    """A task whose p-value is not adjusted yet."""
    changed = {case.new.case.model for case in cases if not case.identical}
    of_changed = [case for case in cases if case.new.case.model in changed]
    pooled = [case for case in of_changed if case.paired and _readable(case, pairs)]
    difference = NOTHING
    if pooled:
        raw = pairs.mean_difference([(case.new, case.old, case.full.fraction) for case in pooled])
        difference = turned(raw, pooled[0].score)
    elif of_changed:
        difference = Difference(sum(case.full.difference.value for case in of_changed) / len(of_changed))
    shown, first = pooled or of_changed or cases, cases[0]
    return TaskVerdict(
        name=name,
        task=first.new.case.task,
        kind=first.new.case.kind,
        cases=tuple(cases),
        pooled=tuple(pooled),
        models=tuple(sorted(changed)),
        old=sum(case.full.old for case in shown) / len(shown),
        new=sum(case.full.new for case in shown) / len(shown),
        difference=difference,
        delta=first.delta,
        p=p_value(difference) if changed else None,
        verdict="undecided" if changed else "equivalent",
        smallest=None,
        target_unit=first.new.provenance.target_unit,
    )


def _readable(case: CaseVerdict, pairs: Pairs) -> bool:
    """False where the outcomes of an identical case are damaged: others are read before they count as paired."""
    return not case.identical or pairs.alike(case.new, case.old, case.full.fraction)


def _adjusted(tasks: Sequence[TaskVerdict]) -> list[TaskVerdict]:
    """Verdicts after Holm over the tasks in which anything differs."""
    values = [task.p for task in tasks if task.p is not None]
    adjusted = iter(holm(values))
    return [task if task.p is None else _decided(task, next(adjusted), len(values)) for task in tasks]


def _decided(task: TaskVerdict, p: float, tests: int) -> TaskVerdict:
    error = standard_error(task.difference)
    smallest = None if error is None else smallest_found(error, task.difference.freedom, task.delta, tests)
    return replace(task, p=p, verdict=decide(task.difference, p, task.delta), smallest=smallest)
