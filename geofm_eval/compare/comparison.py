"""Two runs compared: verdicts per task and case, what could not be compared, and whether the gate holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.compare.cases import CaseVerdict, case_verdicts
from geofm_eval.compare.matching import CaseKey, Matches, match
from geofm_eval.compare.moved import Moved, moved
from geofm_eval.compare.tasks import TaskVerdict, task_verdicts
from geofm_eval.errors import DataError
from geofm_eval.report.choice import Pairs
from geofm_eval.report.run import RunContent, read_content

FailOn = Literal["regression", "undecided"]
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)
"""What the gate fails on; ``undecided`` fails on regressions too."""


@dataclass(frozen=True)
class RunComparison:
    """A run against its baseline.

    Args:
        old: the baseline.
        new: the run that is judged.
        tasks: pooled verdicts.
        cases: verdict on every case that could be compared.
        matches: which cases could, and which not.
        unknown: cases that the catalog does not say what matters for, with the reason.
        moved: where in depth features moved.
        problems: files that could not be read or paired, one sentence each.
    """

    old: RunContent
    new: RunContent
    tasks: tuple[TaskVerdict, ...]
    cases: tuple[CaseVerdict, ...]
    matches: Matches
    unknown: dict[CaseKey, str]
    moved: tuple[Moved, ...]
    problems: tuple[str, ...]

    @property
    def regressions(self) -> list[CaseVerdict]:
        """Cases that regressed, the worst first: by what is surely lost, in differences that matter."""
        worse = [case for case in self.cases if case.verdict == "regression"]
        return sorted(worse, key=_surely_lost)

    @property
    def untested(self) -> dict[CaseKey, str]:
        """Cases of the new run, or meant to be, that cannot be shown to be no worse, with the reason."""
        refused = {r.case: f"not comparable: {', '.join(r.differing)} differ" for r in self.matches.refused}
        blind = {case.key: case.why for case in self.cases if case.why}
        return {**refused, **self.matches.unscored, **self.unknown, **blind}

    def failures(self, fail_on: FailOn = "regression") -> dict[str, str]:
        """Why the gate fails: names of tasks and ids of cases with the reason; empty where it holds.

        A regression of a task or a case fails it, and a case that had scores and has none. With ``undecided`` also a
        task without a clear verdict, and every case that could not be tested.
        """
        found: dict[str, str] = {task.name: task.verdict for task in self.tasks if _fails(task, fail_on)}
        found |= {case_id: f"had a score and has none: {why}" for (_, case_id), why in self.matches.broken.items()}
        found |= {case.new.case.id: case.verdict for case in self.regressions}
        if fail_on == "undecided":
            found |= {case_id: f"not tested: {why}" for (_, case_id), why in self.untested.items()}
        return found


def _surely_lost(case: CaseVerdict) -> tuple[float, CaseKey]:
    high = case.telling.difference.high
    return (0.0 if high is None else high) / case.delta, case.key


def _fails(task: TaskVerdict, fail_on: FailOn) -> bool:
    return task.verdict == "regression" or (fail_on == "undecided" and task.verdict == "undecided")


def compare(old: RunContent | Path, new: RunContent | Path, catalog: Catalog | None = None) -> RunComparison:
    """Compare a run with its baseline, case by case and item by item.

    Args:
        old: the baseline, or its folder.
        new: the run that is judged, or its folder.
        catalog: says which difference matters; None takes the package's own.

    Raises:
        DataError: a folder that is no run, a run compared with itself, or not a single case that may be compared.
    """
    before, after = (one if isinstance(one, RunContent) else read_content(one) for one in (old, new))
    if before.folder.resolve() == after.folder.resolve():
        raise DataError(f"{after.folder}: a run cannot be its own baseline: name an earlier run, or an archive of one")
    matches = match(before, after)
    if not (matches.pairs or matches.broken):
        raise DataError(_nothing(before, after, matches))
    pairs = Pairs(after.folder, before.folder)
    cases, unknown = case_verdicts(matches.pairs, pairs, load_catalog() if catalog is None else catalog)
    if not (cases or matches.broken):
        raise DataError(f"{after.folder}: nothing can be compared: {next(iter(unknown.values()))}")
    tasks = task_verdicts(cases, pairs)
    problems = (*before.problems, *after.problems, *pairs.problems)
    depth = moved(matches.pairs.values())
    return RunComparison(before, after, tuple(tasks), tuple(cases), matches, unknown, tuple(depth), problems)


def _nothing(old: RunContent, new: RunContent, matches: Matches) -> str:
    """Why no case can be compared."""
    found = f"{new.folder} and its baseline {old.folder} have no case that may be compared"
    if matches.refused:
        first = matches.refused[0]
        differing = "; ".join(f"{name}: {a} before, {b} now" for name, (a, b) in first.differing.items())
        return f"{found}: {len(matches.refused)} have other conditions, such as {first.case[1]} ({differing})"
    if matches.unscored:
        case, reason = next(iter(matches.unscored.items()))
        return f"{found}: {len(matches.unscored)} have no score, such as {case[1]} ({reason})"
    return (
        f"{found}: {len(matches.only_old)} cases are in the baseline alone and {len(matches.only_new)} in the new run "
        "alone: run the same models, tasks and adaptations"
    )
