"""Mean difference over the taps and adaptations of one backbone on one task, for information only.

The mean is less noisy than a single tap, but hides what happens there: a drop at one of 14 taps has to be 14 times as
large to change the mean as much. So it is shown, and the primary cases decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from geofm_eval.compare.cases import NOTHING, CaseVerdict
from geofm_eval.compare.verdicts import Verdict, smallest_found, standard_error, verdict_on_difference
from geofm_eval.records import Score
from geofm_eval.results.comparison import split_records
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import sign
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import holm, p_value


@dataclass(frozen=True)
class PooledVerdict:
    """The cases of one model, task and kind, pooled at their largest label fractions.

    ``name`` is numbered if cases of a kind were tested on different samples. ``pooled`` are the cases with paired
    outcomes; ``old`` and ``new`` are their mean scores, in the metric's own unit, and ``difference`` is new minus old
    with its sign set so that more is better. ``p`` is Holm-adjusted over all pooled verdicts. ``smallest`` is the
    smallest drop of the mean that is found with 80 % probability; both are None without an interval.
    """

    name: str
    model: str
    task: str
    kind: str
    cases: tuple[CaseVerdict, ...]
    pooled: tuple[CaseVerdict, ...]
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
        """Any of the scores, for metric, direction and n."""
        return self.cases[0].score

    @property
    def identical(self) -> bool:
        """Whether no case differs at all."""
        return all(case.identical for case in self.cases)

    @property
    def left_out(self) -> int:
        """Number of cases without paired outcomes, which are not in the mean."""
        return len(self.cases) - len(self.pooled)


def pooled_verdicts(cases: Sequence[CaseVerdict], pairs: Pairs) -> list[PooledVerdict]:
    """Pool the cases of every model, task and kind; the means are tested together."""
    groups: dict[tuple[str, str, str], list[CaseVerdict]] = {}
    for case in cases:
        groups.setdefault((case.new.case.model, case.new.case.task, case.new.case.kind), []).append(case)
    found = []
    for (model, task, kind), own in sorted(groups.items()):
        parts = split_records([case.new for case in own])
        for number, part in enumerate(parts, start=1):
            ids = {record.case.id for record in part}
            name = f"{model}, {task}, {kind}" + (f", part {number}" if len(parts) > 1 else "")
            found.append(_pooled(name, [case for case in own if case.new.case.id in ids], pairs))
    return _adjusted(found)


def _pooled(name: str, cases: list[CaseVerdict], pairs: Pairs) -> PooledVerdict:
    changed = not all(case.identical for case in cases)
    pooled = [case for case in cases if case.paired and _readable(case, pairs)] if changed else cases
    difference = NOTHING
    if changed and pooled:
        raw = pairs.mean_difference([(case.new, case.old, case.full.fraction) for case in pooled])
        difference = raw.times(sign(pooled[0].score))
    elif changed:
        difference = Difference(sum(case.full.difference.value for case in cases) / len(cases))
    shown, first = pooled or cases, cases[0]
    return PooledVerdict(
        name=name,
        model=first.new.case.model,
        task=first.new.case.task,
        kind=first.new.case.kind,
        cases=tuple(cases),
        pooled=tuple(pooled),
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
    """False if the outcomes of an identical case are damaged; those of others were read before."""
    return not case.identical or pairs.same_outcomes(case.new, case.old, case.full.fraction)


def _adjusted(means: Sequence[PooledVerdict]) -> list[PooledVerdict]:
    values = [mean.p for mean in means if mean.p is not None]
    adjusted = iter(holm(values))
    return [mean if mean.p is None else _decided(mean, next(adjusted), len(values)) for mean in means]


def _decided(mean: PooledVerdict, p: float, tests: int) -> PooledVerdict:
    error = standard_error(mean.difference)
    smallest = None if error is None else smallest_found(error, mean.difference.freedom, mean.delta, tests)
    return replace(mean, p=p, verdict=verdict_on_difference(mean.difference, p, mean.delta), smallest=smallest)
