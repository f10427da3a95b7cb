"""The difference of two runs in every case and label fraction, with verdicts after Holm over the cases of a task."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.catalog import Catalog
from geofm_eval.compare.matching import CaseKey
from geofm_eval.compare.verdicts import Verdict, decide
from geofm_eval.findings.finding import in_points
from geofm_eval.holm import holm, p_value
from geofm_eval.records import Record, Score
from geofm_eval.report.choice import Difference, Pairs, sign

NOTHING = Difference(0.0, 0.0, 0.0)
"""The difference of two records that no item tells apart."""


@dataclass(frozen=True)
class Cell:
    """One case at one label fraction.

    Args:
        fraction: label fraction, as records name it.
        old: score in the baseline, in the metric's own unit.
        new: score now.
        difference: new minus old, turned so that more is better.
        points: the same in points; of an RMSE in percent of the old one.
        p: Holm-adjusted p of no difference; None without an interval, and where no item tells the runs apart.
        verdict: by the rule of :func:`geofm_eval.compare.verdicts.decide`.
    """

    fraction: str
    old: float
    new: float
    difference: Difference
    points: float
    p: float | None
    verdict: Verdict


@dataclass(frozen=True)
class CaseVerdict:
    """One case of both runs.

    Args:
        old: its record in the baseline.
        new: its record now.
        delta: difference that matters, in the metric's own unit.
        cells: one per label fraction, ascending.
        identical: no score and no item's outcome differs.
        why: why there is no interval; empty where there is one.
    """

    old: Record
    new: Record
    delta: float
    cells: tuple[Cell, ...]
    identical: bool
    why: str = ""

    @property
    def key(self) -> CaseKey:
        """Kind and id."""
        return self.new.case.kind, self.new.case.id

    @property
    def paired(self) -> bool:
        """Whether its outcomes can be set against each other item by item."""
        return not (self.why or _missing_outcomes(self.old, self.new))

    @property
    def full(self) -> Cell:
        """At the largest label fraction: what is pooled over the cases of a task."""
        return self.cells[-1]

    @property
    def telling(self) -> Cell:
        """The cell that decides: the worst regression where there is one, else the largest label fraction."""
        worse = [cell for cell in self.cells if cell.verdict == "regression"]
        return min(worse, key=lambda cell: cell.difference.value, default=self.full)

    @property
    def verdict(self) -> Verdict:
        """A regression at any label fraction is one of the case; all else is said at the largest."""
        return self.telling.verdict

    @property
    def score(self) -> Score:
        """At the largest label fraction, for metric, direction and n."""
        return self.new.scores[self.full.fraction]


def case_verdicts(
    matched: Mapping[CaseKey, tuple[Record, Record]], pairs: Pairs, catalog: Catalog
) -> tuple[list[CaseVerdict], dict[CaseKey, str]]:
    """Compare every matched case.

    Args:
        matched: old and new record by kind and id.
        pairs: reads outcomes, the new run's first.
        catalog: says which difference matters.

    Returns:
        Verdicts in the order of ``matched``; and why cases have none, which the catalog does not say what matters for.
    """
    found, unknown = [], {}
    for key, (old, new) in matched.items():
        task, metric = catalog.tasks.get(new.case.task), next(iter(new.scores.values())).metric
        delta = None if task is None else task.delta_of(metric)
        if delta is None:
            unknown[key] = (
                f"the catalog does not say what difference in {metric} matters: "
                f"give [tasks.{new.case.task}] a delta, in the target's unit"
                if task is not None
                else f"task {new.case.task} is not in the catalog: give its file with --catalog"
            )
        else:
            found.append(_compared(old, new, delta, pairs))
    return _adjusted(found), unknown


def _compared(old: Record, new: Record, delta: float, pairs: Pairs) -> CaseVerdict:
    """A case whose p-values are not adjusted yet."""
    identical = _identical(old, new)
    why = "" if identical else _missing_outcomes(old, new)
    cells = []
    for fraction in sorted(new.scores, key=float):
        if identical:
            difference = NOTHING
        elif why:
            difference = Difference(new.scores[fraction].value - old.scores[fraction].value)
        else:
            difference = NOTHING if pairs.alike(new, old, fraction) else pairs.difference(new, old, fraction)
        cells.append(_cell(old.scores[fraction], new.scores[fraction], fraction, difference, delta))
    if not why and any(cell.difference.low is None for cell in cells):
        why = "its per-item outcomes give no interval: see the problems; without one, they are too few or of one group"
    return CaseVerdict(old, new, delta, tuple(cells), identical, why)


def _cell(old: Score, new: Score, fraction: str, raw: Difference, delta: float) -> Cell:
    points = in_points(raw, new, old).value + 0.0
    difference = turned(raw, new)
    p = None if raw == NOTHING else p_value(difference)
    verdict = "equivalent" if raw == NOTHING else decide(difference, p, delta)
    return Cell(fraction, old.value, new.value, difference, points, p, verdict)


def turned(difference: Difference, score: Score) -> Difference:
    """A difference turned so that more is better."""
    side = sign(score)
    value = side * difference.value + 0.0  # without the sign of a negative zero
    if difference.low is None or difference.high is None:
        return Difference(value)
    low, high = sorted((side * difference.low, side * difference.high))
    return Difference(value, low, high, difference.freedom)


def _identical(old: Record, new: Record) -> bool:
    """Whether not a single outcome differs: the same hash of them, or the same scores of the same computation."""
    if old.scores != new.scores:
        return False
    if old.outcomes_sha256 is not None and new.outcomes_sha256 is not None:
        return old.outcomes_sha256 == new.outcomes_sha256
    return old.content_key is not None and old.content_key == new.content_key


def _missing_outcomes(old: Record, new: Record) -> str:
    where = [name for name, record in (("the baseline", old), ("the new run", new)) if record.outcomes_sha256 is None]
    return f"no per-item outcomes in {' and '.join(where)}: run it again there" if where else ""


def _adjusted(cases: Sequence[CaseVerdict]) -> list[CaseVerdict]:
    """Holm over all cells of a task that are tested: those that no item tells apart need no test."""
    families: defaultdict[str, list[float]] = defaultdict(list)
    for case in cases:
        families[case.new.case.task] += [cell.p for cell in case.cells if cell.p is not None]
    adjusted = {task: iter(holm(values)) for task, values in families.items()}
    found = []
    for case in cases:
        own = adjusted[case.new.case.task]
        cells = tuple(cell if cell.p is None else _with_p(cell, next(own), case.delta) for cell in case.cells)
        found.append(replace(case, cells=cells))
    return found


def _with_p(cell: Cell, p: float, delta: float) -> Cell:
    return replace(cell, p=p, verdict=decide(cell.difference, p, delta))
