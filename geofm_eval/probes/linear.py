"""The linear probe: logistic regression at 40 penalties, the penalty chosen on validation log loss."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from geofm_eval.data.labels import LabelSubset
from geofm_eval.probes.heads import Head, HeadJob, fit_heads
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow
from geofm_eval.probes.selection import Choice, PathScores, choose, correct_at, default_choice, score_path

RowKey = tuple[str, float, int]


def solve_linear(problem: ProbeProblem) -> Iterator[SweepRow]:
    """Fit, choose and test every tap on every label subset; inner folds come first, as the choice needs them."""
    folds = _fold_scores(problem)
    jobs = {_job(problem, tap, subset.indices): subset for tap in problem.taps for subset in problem.subsets}
    for job, head in _fit(problem, jobs):
        subset = jobs[job]
        scores = folds.get((job.tap, subset.fraction, subset.draw))
        if problem.plan(subset).kind == "split":
            scores = _score(problem, job.tap, head, next(problem.holdouts(subset)))
        choice = default_choice(PENALTIES, len(job.rows)) if scores is None else choose(scores)
        yield _row(problem, job, subset, head, choice)


def _fold_scores(problem: ProbeProblem) -> dict[RowKey, PathScores]:
    """Validation scores of the subsets with inner cross-validation, summed over their folds."""
    jobs: dict[HeadJob, tuple[LabelSubset, Holdout]] = {}
    for tap in problem.taps:
        for subset in problem.subsets:
            if problem.plan(subset).kind == "inner_cv":
                jobs |= {_job(problem, tap, h.rows): (subset, h) for h in problem.holdouts(subset)}
    result: dict[RowKey, PathScores] = {}
    for job, head in _fit(problem, jobs):
        subset, holdout = jobs[job]
        key = (job.tap, subset.fraction, subset.draw)
        scores = _score(problem, job.tap, head, holdout)
        result[key] = result[key] + scores if key in result else scores
    return result


def _job(problem: ProbeProblem, tap: str, rows: NDArray[np.int64]) -> HeadJob:
    return HeadJob(tap, rows, problem.labels["train"][rows])


def _fit(problem: ProbeProblem, jobs: Iterable[HeadJob]) -> Iterator[tuple[HeadJob, Head]]:
    train = {tap: problem.features(tap, "train") for tap in problem.taps}
    return fit_heads(list(jobs), train, problem.n_classes, problem.device)


def _score(problem: ProbeProblem, tap: str, head: Head, holdout: Holdout) -> PathScores:
    features, labels = problem.features(tap, holdout.split), problem.labels[holdout.split]
    return score_path(head, features[holdout.held_out], labels[holdout.held_out])


def _row(problem: ProbeProblem, job: HeadJob, subset: LabelSubset, head: Head, choice: Choice) -> SweepRow:
    correct = correct_at(head, choice.index, problem.features(job.tap, "test"), problem.labels["test"])
    return SweepRow(
        tap=job.tap,
        fraction=subset.fraction,
        draw=subset.draw,
        n_train=len(job.rows),
        n_val=problem.n_val(subset),
        n_test=len(correct),
        val_kind=problem.plan(subset).kind,
        candidates=PENALTIES,
        chosen=PENALTIES[choice.index],
        chosen_index=choice.index,
        at_edge=choice.at_edge,
        val_loss=choice.val_loss,
        val_score=choice.val_score,
        test_score=float(correct.mean()),
        outcomes=correct,
        converged=head.converged,
        iterations=head.iterations,
        dropped_channels=head.standardiser.dropped,
    )
