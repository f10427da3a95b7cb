"""Differences of two runs in every case and label fraction: primary cells are tested by family, the others apart."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geofm_eval.catalog import Catalog
from geofm_eval.compare.families import Role, Together, family_of
from geofm_eval.compare.matching import CaseKey
from geofm_eval.compare.verdicts import Verdict, beyond, smallest_found, standard_error, verdict_on_difference
from geofm_eval.errors import DataError
from geofm_eval.records import Record, Score, read_outcomes
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import sign
from geofm_eval.results.units import in_points
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import holm, p_value

NOTHING = Difference(0.0, 0.0, 0.0)
"""The difference of two records with equal outcomes."""


@dataclass(frozen=True)
class CaseChange:
    """One case at one label fraction, with scores in the metric's own unit.

    ``difference`` is new minus old with its sign set so that more is better, and ``points`` the same in points (for
    RMSE in percent of the old one). ``p`` is the Holm-adjusted p of no difference; None without an interval and for
    equal outcomes. ``smallest`` is the smallest drop found with 80 % probability, for primary cells with an interval.
    """

    fraction: str
    old: float
    new: float
    difference: Difference
    points: float
    p: float | None
    verdict: Verdict
    smallest: float | None = None


@dataclass(frozen=True)
class CaseVerdict:
    """One case of both runs, with a cell per label fraction, ascending.

    ``delta`` is the difference that matters, in the metric's own unit. ``identical``: no score and no sample's outcome
    differs. ``role`` is None for exploratory cases. ``why`` gives the reason for a missing interval; ``excused``: only
    the baseline lacks per-sample outcomes, as archives do at most taps.
    """

    old: Record
    new: Record
    delta: float
    cells: tuple[CaseChange, ...]
    identical: bool
    role: Role | None = None
    why: str = ""
    excused: bool = False

    @property
    def key(self) -> CaseKey:
        """Kind and id."""
        return self.new.case.kind, self.new.case.id

    @property
    def paired(self) -> bool:
        """Whether its outcomes can be paired sample by sample."""
        return not (self.why or _missing_outcomes(self.old, self.new))

    @property
    def full(self) -> CaseChange:
        """The cell at the largest label fraction, which decides a primary case and is pooled over taps."""
        return self.cells[-1]

    @property
    def verdict(self) -> Verdict:
        """Verdict at the largest label fraction."""
        return self.full.verdict

    @property
    def exploratory(self) -> tuple[CaseChange, ...]:
        """Cells that never decide: all of an exploratory case, and the smaller label fractions of a primary one."""
        return self.cells if self.role is None else self.cells[:-1]

    @property
    def doubtful(self) -> bool:
        """Whether a primary case is undecided with an estimate beyond the margin."""
        return self.role is not None and self.verdict == "undecided" and beyond(self.full.difference.value, self.delta)

    @property
    def fell(self) -> bool:
        """Whether its score fell by the margin or more, without an interval."""
        blind = bool(self.why) and self.full.difference.low is None and not (self.excused and self.role is None)
        return blind and beyond(self.full.difference.value, self.delta)

    @property
    def score(self) -> Score:
        """The score at the largest label fraction, for metric, direction and n."""
        return self.new.scores[self.full.fraction]


class Comparer:
    """Compares cases of two runs.

    Args:
        pairs: reads outcomes, the new run's first.
        folders: of the baseline and of the new run.
        catalog: says which difference matters.
        roles: of the primary cases.
    """

    def __init__(
        self, pairs: Pairs, folders: tuple[Path, Path], catalog: Catalog, roles: Mapping[CaseKey, Role]
    ) -> None:
        self._pairs = pairs
        self._folders = folders
        self._catalog = catalog
        self._roles = roles

    def verdicts(
        self, matched: Mapping[CaseKey, tuple[Record, Record]], together: Together
    ) -> tuple[list[CaseVerdict], dict[CaseKey, str]]:
        """Compare every matched case (old and new record by kind and id); primary cells are adjusted over ``together``.

        Returns:
            Verdicts in the order of ``matched``; and why cases have none: the catalog does not say what matters.
        """
        found, unknown = [], {}
        for key, (old, new) in matched.items():
            delta = margin_of(new, self._catalog)
            if isinstance(delta, str):
                unknown[key] = delta
            else:
                found.append(self._compared(old, new, delta))
        return _adjusted(found, together), unknown

    def _compared(self, old: Record, new: Record, delta: float) -> CaseVerdict:
        """Compare a case, without adjusting its p-values."""
        identical = _identical(old, new)
        why = "" if identical else _missing_outcomes(old, new)
        cells = []
        for fraction in sorted(new.scores, key=float):
            if identical:
                difference = NOTHING
            elif why:
                difference = Difference(new.scores[fraction].value - old.scores[fraction].value)
            elif self._pairs.same_outcomes(new, old, fraction):
                difference = NOTHING
            else:
                difference = self._pairs.difference(new, old, fraction)
            cells.append(_cell(old.scores[fraction], new.scores[fraction], fraction, difference, delta))
        if not why and any(cell.difference.low is None for cell in cells):
            why = "its outcomes give no interval: too few samples or a single group, unless a problem is listed"
        role = self._roles.get((new.case.kind, new.case.id))
        excused = bool(why) and not _readable(self._folders[0], old) and _readable(self._folders[1], new)
        return CaseVerdict(old, new, delta, tuple(cells), identical, role, why, excused)


def margin_of(record: Record, catalog: Catalog) -> float | str:
    """Return the difference that matters, in the metric's own unit, or the reason why it is unknown."""
    slug, metric = record.case.task, next(iter(record.scores.values())).metric
    task = catalog.tasks.get(slug)
    if task is None:
        return f"task {slug} is not in the catalog; give its file with --catalog"
    delta = task.delta_of(metric)
    if delta is not None:
        return delta
    return f"the catalog has no margin for {metric} of {slug}; add a delta to [tasks.{slug}], in the target's unit"


def _readable(folder: Path, record: Record) -> bool:
    try:
        return read_outcomes(folder, record) is not None
    except DataError:
        return False


def _cell(old: Score, new: Score, fraction: str, raw: Difference, delta: float) -> CaseChange:
    points = in_points(raw, new, old).value + 0.0
    difference = raw.times(sign(new))
    p = None if raw == NOTHING else p_value(difference)
    verdict = "equivalent" if raw == NOTHING else verdict_on_difference(difference, p, delta)
    return CaseChange(fraction, old.value, new.value, difference, points, p, verdict)


def _identical(old: Record, new: Record) -> bool:
    if old.scores != new.scores:
        return False
    if old.outcomes_sha256 is not None and new.outcomes_sha256 is not None:
        return old.outcomes_sha256 == new.outcomes_sha256
    return old.content_key is not None and old.content_key == new.content_key


def _missing_outcomes(old: Record, new: Record) -> str:
    where = [name for name, record in (("the baseline", old), ("the new run", new)) if record.outcomes_sha256 is None]
    return f"no per-sample outcomes in {' and '.join(where)}; run it again there" if where else ""


def _adjusted(cases: Sequence[CaseVerdict], together: Together) -> list[CaseVerdict]:
    """Adjust p-values (Holm) over the tested cells of every group; cells with equal outcomes need no test.

    Groups are the primary cells of a family, or of the run, and the exploratory cells of a model and task.
    """
    groups: defaultdict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for place, case in enumerate(cases):
        for index, cell in enumerate(case.cells):
            if cell.p is not None:
                groups[_group(case, index, together)].append((place, index))
    cells = [list(case.cells) for case in cases]
    for members in groups.values():
        values = [p for place, index in members if (p := cells[place][index].p) is not None]
        for (place, index), p in zip(members, holm(values), strict=True):
            primary = cases[place].role is not None and index == len(cells[place]) - 1
            cells[place][index] = _with_p(cells[place][index], p, cases[place].delta, len(members) if primary else 0)
    return [replace(case, cells=tuple(own)) for case, own in zip(cases, cells, strict=True)]


def _group(case: CaseVerdict, index: int, together: Together) -> tuple[str, ...]:
    if case.role is not None and index == len(case.cells) - 1:
        return ("primary", family_of(case.new)) if together == "family" else ("primary",)
    return "exploratory", case.new.case.model, case.new.case.task


def _with_p(cell: CaseChange, p: float, delta: float, tests: int) -> CaseChange:
    """Complete a cell after Holm; for primary cells with the smallest drop found, as one of ``tests`` tests."""
    error = standard_error(cell.difference)
    smallest = None if error is None or not tests else smallest_found(error, cell.difference.freedom, delta, tests)
    return replace(cell, p=p, verdict=verdict_on_difference(cell.difference, p, delta), smallest=smallest)
