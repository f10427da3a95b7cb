"""Scores of probes under every admissible penalty, from solves with noise in the last digits of the features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofm_eval.data.split import ALL
from geofm_eval.expected.admissible import Admitted, Choices, choices
from geofm_eval.measure.dense_noise import admitted_dense
from geofm_eval.measure.noise import UNPERTURBED, ByScore, Perturbation, PerturbedSolve, described, job_of, solved
from geofm_eval.probes.job import ProbeJob
from geofm_eval.probes.problem import Holdout
from geofm_eval.records import Record, fraction_key
from geofm_eval.workspace import Workspace


def admitted_scores(workspace: Workspace, records: Sequence[Record]) -> dict[str, ByScore]:
    """Return the scores of probes under admissible choices; solve what the cache lacks.

    Args:
        workspace: workspace with the recipe and device of the records.
        records: probe cases of one model and adaptation on the same features, at any taps and targets.

    Returns:
        Scores by task, then by tap and label fraction.

    Raises:
        DataError: the feature blocks are not in the cache, or data, weights or probe differ from those of the records.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    own = {record.case.task: record for record in records}
    if workspace.catalog.task(next(iter(own))).dense:
        return {task: admitted_dense(workspace, record) for task, record in own.items()}
    jobs = {task: job_of(workspace, record) for task, record in own.items()}
    solves = solved(workspace, jobs, described(records[0]))
    return {task: by_score(jobs[task], found) for task, found in solves.items()}


def by_score(job: ProbeJob, solves: Mapping[Perturbation, PerturbedSolve]) -> ByScore:
    """Return the scores under admissible choices by tap and label fraction, from all solves of a target."""
    problem = job.problem
    found: ByScore = {}
    places = [(tap, subset) for tap in problem.taps for subset in problem.subsets]
    for tap in problem.taps:
        for fraction in dict.fromkeys(subset.fraction for subset in problem.subsets):
            own = [number for number, (name, subset) in enumerate(places) if (name, subset.fraction) == (tap, fraction)]
            own.sort(key=lambda number: places[number][1].draw)
            score = _Score(job, [places[number][1].draw for number in own], fraction)
            found.setdefault(tap, {})[fraction_key(fraction)] = admit(solves, own, score)
    return found


@dataclass(frozen=True)
class _Score:
    """Score as in records, from the test results of all draws."""

    job: ProbeJob
    draws: Sequence[int]
    fraction: float

    def __call__(self, results: NDArray[np.float64]) -> float:
        """Return the mean over draws, or the pooled R2 of all shuffles or folds.

        Args:
            results: (draws,) accuracies, or summed squared errors.
        """
        if not self.job.problem.regression and not self.job.problem.folds:
            return float(results.mean())
        if not self.job.problem.regression:
            return float(np.average(results, weights=[len(held.held_out) for held in self._held]))
        if ALL in self.job.splits:
            return float(1 - results.sum() / _spread(np.concatenate(self._targets)))
        return float(np.mean([1 - one / _spread(y) for one, y in zip(results, self._targets, strict=True)]))

    @property
    def _held(self) -> list[Holdout]:
        problem = self.job.problem
        own = {subset.draw: subset for subset in problem.subsets if subset.fraction == self.fraction}
        return [problem.tested(own[draw]) for draw in self.draws]

    @property
    def _targets(self) -> list[NDArray[np.float64]]:
        """Targets of the test samples of every draw."""
        return [self.job.problem.labels[one.split][one.held_out] for one in self._held]


def _spread(targets: NDArray[np.float64]) -> float:
    return float(np.square(targets - targets.mean()).sum())


def admit(
    solves: Mapping[Perturbation, PerturbedSolve], rows: Sequence[int], score: Callable[[NDArray[np.float64]], float]
) -> Admitted:
    """Return one score under admissible choices.

    Args:
        solves: all solves, including the one without noise.
        rows: rows of the score's draws.
        score: maps (draws,) test results to the score.
    """
    exact = solves[UNPERTURBED]
    others = [solve for one, solve in solves.items() if one != UNPERTURBED]
    draws: tuple[Choices, ...] = ()
    if exact.above.shape[1]:
        draws = tuple(
            choices(_known(exact, row), [_known(one, row) for one in others], int(exact.chosen[row]), exact.lowest[row])
            for row in rows
        )
        results = [exact.explored[row][list(own.indices)] for row, own in zip(rows, draws, strict=True)]
    else:
        results = [np.concatenate([one.explored[row] for one in solves.values()]) for row in rows]
    ends = [score(np.array([reach(one) for one in results])) for reach in (np.min, np.max)]
    return Admitted(
        low=min(ends),
        high=max(ends),
        solves={one.name: score(solve.tested[list(rows)]) for one, solve in solves.items()},
        draws=draws,
    )


def _known(solve: PerturbedSolve, row: int) -> NDArray[np.float32]:
    """Losses of a row; empty without validation samples."""
    known: NDArray[np.float32] = solve.above[row]
    return known if np.isfinite(solve.lowest[row]) else known[:0]
