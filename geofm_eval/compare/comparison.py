"""Comparison of two runs: verdicts on primary cases, cases that cannot be compared, and whether the gate holds."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.compare.cases import CaseChange, CaseVerdict, Comparer, margin_of
from geofm_eval.compare.drops import RawDrop, raw_drop
from geofm_eval.compare.families import Role, Together, family_of, primary_roles
from geofm_eval.compare.feature_change import Moved, moved
from geofm_eval.compare.matching import CaseKey, CaseSelection, Matches, match, scored
from geofm_eval.compare.pooled import PooledVerdict, pooled_verdicts
from geofm_eval.errors import DataError
from geofm_eval.plurals import counted
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import Run, read_run

FailOn = Literal["regression", "undecided"]
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)
"""Verdicts on which the gate fails; ``undecided`` includes regressions."""


@dataclass(frozen=True)
class Unselected:
    """A model or task of the baseline that the new run did not select, and whether the catalog still has it."""

    name: str
    cases: int
    known: bool

    @property
    def why(self) -> str:
        """The reason why it is not judged."""
        return "not selected by the new run" if self.known else "no longer in the catalog"


@dataclass(frozen=True)
class RunComparison:
    """A run and its baseline (``old``).

    ``cases`` are verdicts on every comparable case, ``pooled`` mean differences per model, task and kind, ``roles``
    those of all primary cases of the baseline, compared or not. ``unknown`` cases have no margin in the catalog. Scores
    in ``fell`` lost the margin or more, without an interval. ``unselected`` are models and tasks that only the baseline
    selected. Holm adjusts primary cases over ``together``. ``problems`` are files that could not be read or paired.
    """

    old: Run
    new: Run
    cases: tuple[CaseVerdict, ...]
    pooled: tuple[PooledVerdict, ...]
    roles: dict[CaseKey, Role]
    matches: Matches
    unknown: dict[CaseKey, str]
    fell: tuple[RawDrop, ...]
    unselected: tuple[Unselected, ...]
    together: Together
    moved: tuple[Moved, ...]
    problems: tuple[str, ...]

    @property
    def primary(self) -> list[CaseVerdict]:
        """The cases that decide, in the order of families."""
        found = {case.key: case for case in self.cases}
        return [found[key] for key in self.roles if key in found]

    @property
    def tested(self) -> int:
        """Number of primary families with a tested difference, in which a false regression is possible."""
        return len({family_of(case.new) for case in self.primary if case.full.p is not None})

    @property
    def regressions(self) -> list[CaseVerdict]:
        """Primary cases that regressed, the worst first: by the upper end of the interval, in margins."""
        worse = [case for case in self.primary if case.verdict == "regression"]
        return sorted(worse, key=lambda case: _surely_lost(case, case.full))

    @property
    def exploratory(self) -> list[tuple[CaseVerdict, CaseChange]]:
        """Regressions at other taps and label fractions, the worst first. They never fail the gate."""
        cells = [(case, cell) for case in self.cases for cell in case.exploratory if cell.verdict == "regression"]
        return sorted(cells, key=lambda one: _surely_lost(*one))

    @property
    def untested(self) -> dict[CaseKey, str]:
        """Untested cases of the models and tasks of the new run, with the reason."""
        refused = {r.case: f"not comparable: {', '.join(r.differing)} differ" for r in self.matches.refused}
        blind = {case.key: case.why for case in self.cases if case.why}
        absent = dict.fromkeys(self.matches.absent, "absent from the new run, although it selected model and task")
        return {**refused, **self.matches.unscored, **absent, **self.unknown, **blind}

    def failures(self, fail_on: FailOn = "regression", require_all: bool = False) -> dict[str, str]:
        """Return why the gate fails, by ids of cases and names of models; empty if it holds.

        Args:
            fail_on: ``regression`` fails on a primary case that regressed, a case that had a score and broke, and a
                score that fell by the margin without an interval. ``undecided`` also fails on a primary case that is
                undecided with an estimate beyond the margin, and on every case that could not be tested.
            require_all: also fail where anything of the baseline has no counterpart: a case that was skipped or left
                out, and a model or task that the new run did not select.
        """
        found = {case.new.case.id: "regression" for case in self.regressions}
        found |= {case_id: f"no longer has a score: {why}" for (_, case_id), why in self.matches.broken.items()}
        found |= {drop.key[1]: drop.reason for drop in self.fell}
        untested = {case_id: f"not tested: {why}" for (_, case_id), why in self.untested.items()}
        if fail_on == "undecided":
            reason = "undecided, with an estimate beyond the margin"
            found |= {case.new.case.id: reason for case in self.primary if case.doubtful and not case.fell}
            found = {**untested, **found}
        if require_all:
            gone = {case_id for _, case_id in (*self.matches.absent, *self.matches.unscored)}
            found = {**{case_id: why for case_id, why in untested.items() if case_id in gone}, **found}
            found |= {one.name: f"not judged: {one.why}" for one in self.unselected}
        return found


def _surely_lost(case: CaseVerdict, cell: CaseChange) -> tuple[float, CaseKey]:
    high = cell.difference.high
    return (0.0 if high is None else high) / case.delta, case.key


def compare(
    old: Run | Path, new: Run | Path, catalog: Catalog | None = None, together: Together = "family"
) -> RunComparison:
    """Compare a run with its baseline, case by case and item by item.

    Args:
        old: the baseline, or its folder.
        new: the run that is judged, or its folder.
        catalog: says which difference matters; None takes the package's own.
        together: over what Holm adjusts primary cases: each family on its own, or all of the run.

    Raises:
        DataError: a folder that is not a run, a run compared with itself, or not a single case that may be compared.
    """
    before, after = (one if isinstance(one, Run) else read_run(one) for one in (old, new))
    if before.folder.resolve() == after.folder.resolve():
        raise DataError(f"{after.folder}: a run cannot be its own baseline; name an earlier run, or an archive of one")
    matches = match(before, after)
    if not (matches.pairs or matches.broken):
        raise DataError(_nothing(before, after, matches))
    known = load_catalog() if catalog is None else catalog
    pairs = Pairs(after.folder, before.folder)
    roles = {key: role for key, role in primary_roles(scored(before).values()).items() if key not in matches.unselected}
    comparer = Comparer(pairs, (before.folder, after.folder), known, roles)
    cases, unknown = comparer.verdicts(matches.pairs, together)
    if not (cases or matches.broken):
        raise DataError(f"{after.folder}: nothing can be compared: {next(iter(unknown.values()))}")
    return RunComparison(
        old=before,
        new=after,
        cases=tuple(cases),
        pooled=tuple(pooled_verdicts(cases, pairs)),
        roles=roles,
        matches=matches,
        unknown=unknown,
        fell=_fallen(cases, matches, known),
        unselected=_unselected(matches, CaseSelection.of(after), known),
        together=together,
        moved=tuple(moved(matches.pairs.values())),
        problems=(*before.problems, *after.problems, *pairs.problems),
    )


def _fallen(cases: list[CaseVerdict], matches: Matches, catalog: Catalog) -> tuple[RawDrop, ...]:
    """Scores that fell without an interval: those of cases without outcomes, or that are not comparable."""
    found = [raw_drop(case.old, case.new, case.delta, case.why) for case in cases if case.fell]
    for one in matches.refused:
        delta = margin_of(one.new, catalog)
        if not isinstance(delta, str):
            found.append(raw_drop(one.old, one.new, delta, f"not comparable: {', '.join(one.differing)} differ"))
    return tuple(sorted((drop for drop in found if drop is not None), key=lambda drop: drop.value / drop.delta))


def _unselected(matches: Matches, inside: CaseSelection, catalog: Catalog) -> tuple[Unselected, ...]:
    models: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for _, case_id in matches.unselected:
        model, task, *_ = case_id.split("-")
        if model in inside.models:
            tasks[task] += 1
        else:
            models[model] += 1
    return (
        *(Unselected(name, count, name in catalog.models) for name, count in models.items()),
        *(Unselected(name, count, name in catalog.tasks) for name, count in tasks.items()),
    )


def _nothing(old: Run, new: Run, matches: Matches) -> str:
    found = f"{new.folder} and its baseline {old.folder} have no comparable case"
    if matches.refused:
        first = matches.refused[0]
        differing = "; ".join(f"{name}: {a} before, {b} now" for name, (a, b) in first.differing.items())
        return (
            f"{found}: different conditions in {counted(len(matches.refused), 'case')}, for example {first.case[1]} "
            f"({differing}); measure both in one way"
        )
    if matches.unscored:
        case, reason = next(iter(matches.unscored.items()))
        return (
            f"{found}: no score in {counted(len(matches.unscored), 'case')}, for example {case[1]} ({reason}); measure "
            "these cases again"
        )
    counts = (
        f"{found}: {counted(len(matches.absent) + len(matches.unselected), 'case')} only in the baseline and "
        f"{len(matches.only_new)} only in the new run"
    )
    shared = {record.case.model for record in old.scored} & {record.case.model for record in new.scored}
    if not shared and old.scored and new.scored:
        return (
            f"{counts}, of other models. Measure another checkpoint of a model with --weights MODEL=FILE; measure two "
            "models in one run, and read their differences on its page"
        )
    return f"{counts}; run the same models, tasks and adaptations"
