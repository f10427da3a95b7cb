"""The linear probe: logistic regression at 40 penalties, the penalty selected by validation log loss.

The whole path is solved once. Penalties with a validation loss near the lowest are then solved exactly, so that choice
and score are those of the float64 optimum on every processor.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofm_eval.data.labels import LabelSubset
from geofm_eval.probes.heads import HeadJob, ProbeHead, fit_heads, refine_heads
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow, ValidationItems
from geofm_eval.probes.selection import (
    PathScores,
    PenaltyChoice,
    accuracy_path,
    choose,
    correct_at,
    default_choice,
    near_best,
    score_items,
    score_path,
    sharpened,
)

RowKey = tuple[str, float, int]
"""Tap, label fraction and draw."""

FOLD_BYTES = 2**28
"""Memory for the paths of inner folds, which are kept until the loss over all folds is known."""


@dataclass(frozen=True)
class _Validated:
    choice: PenaltyChoice
    items: ValidationItems


def solve_linear(problem: ProbeProblem) -> Iterator[SweepRow]:
    """Fit, validate and test every tap on every label subset; inner folds come first, because the choice needs them."""
    folded = _cross_validated(problem)
    jobs = {_job(problem, tap, subset.indices): subset for tap in problem.taps for subset in problem.subsets}
    paths: dict[HeadJob, PathScores] = {}

    def refined(job: HeadJob, head: ProbeHead) -> Sequence[int]:
        subset = jobs[job]
        if problem.plan(subset).kind == "split":
            paths[job] = score_path(head, *_held_out(problem, job.tap, next(problem.holdouts(subset))))
            return near_best(paths[job])
        known = folded.get(_key(job, subset))
        return (default_choice(PENALTIES, len(job.rows)).index if known is None else known.choice.index,)

    train = {tap: problem.features(tap, problem.training) for tap in problem.taps}
    for job, head in fit_heads(list(jobs), train, problem.n_classes, problem.device, refined=refined):
        subset = jobs[job]
        known = folded.get(_key(job, subset))
        if job in paths:
            known = _validated(problem, job, head, paths.pop(job), next(problem.holdouts(subset)))
        yield _row(problem, job, subset, head, known)


def _validated(problem: ProbeProblem, job: HeadJob, head: ProbeHead, path: PathScores, holdout: Holdout) -> _Validated:
    held_out = _held_out(problem, job.tap, holdout)
    choice = choose(sharpened(path, head, *held_out))
    losses, right = score_items(head, choice.index, *held_out)
    return _Validated(choice, ValidationItems(holdout.split, holdout.held_out, losses, right.astype(np.float64)))


def _cross_validated(problem: ProbeProblem) -> dict[RowKey, _Validated]:
    """Choices of the subsets with inner cross-validation, a few taps at a time."""
    subsets = [subset for subset in problem.subsets if problem.plan(subset).kind == "inner_cv"]
    if not subsets:
        return {}
    width = problem.features(problem.taps[0], problem.training).shape[1]
    folds = sum(len(problem.plan(subset).folds) for subset in subsets)
    at_once = max(1, FOLD_BYTES // (4 * len(PENALTIES) * problem.n_classes * width * folds))
    found: dict[RowKey, _Validated] = {}
    for start in range(0, len(problem.taps), at_once):
        found |= _folds_of(problem, subsets, problem.taps[start : start + at_once])
    return found


def _folds_of(problem: ProbeProblem, subsets: Sequence[LabelSubset], taps: Sequence[str]) -> dict[RowKey, _Validated]:
    jobs: dict[HeadJob, tuple[LabelSubset, Holdout]] = {}
    for tap, subset in itertools.product(taps, subsets):
        jobs |= {_job(problem, tap, holdout.rows): (subset, holdout) for holdout in problem.holdouts(subset)}
    train = {tap: problem.features(tap, problem.training) for tap in taps}
    heads = dict(fit_heads(list(jobs), train, problem.n_classes, problem.device))
    paths = {job: score_path(head, *_held_out(problem, job.tap, jobs[job][1])) for job, head in heads.items()}
    groups: dict[RowKey, list[HeadJob]] = {}
    for job, (subset, _) in jobs.items():
        groups.setdefault(_key(job, subset), []).append(job)
    near = {key: near_best(_summed([paths[job] for job in own])) for key, own in groups.items()}
    asked = [(job, head, near[_key(job, jobs[job][0])]) for job, head in heads.items()]
    exact = dict(refine_heads(asked, train, problem.n_classes, problem.device))
    return {
        key: _folded(problem, [(job, exact[job], paths[job], jobs[job][1]) for job in own])
        for key, own in groups.items()
    }


def _folded(problem: ProbeProblem, folds: Sequence[tuple[HeadJob, ProbeHead, PathScores, Holdout]]) -> _Validated:
    held_out = [_held_out(problem, job.tap, holdout) for job, _, _, holdout in folds]
    pairs = list(zip(folds, held_out, strict=True))
    choice = choose(_summed([sharpened(path, head, *items) for (_, head, path, _), items in pairs]))
    scored = [score_items(head, choice.index, *items) for (_, head, _, _), items in pairs]
    items = ValidationItems(
        folds[0][3].split,
        np.concatenate([holdout.held_out for *_, holdout in folds]),
        np.concatenate([losses for losses, _ in scored]),
        np.concatenate([right for _, right in scored]).astype(np.float64),
    )
    return _Validated(choice, items)


def _summed(parts: Sequence[PathScores]) -> PathScores:
    first, *others = parts
    return sum(others, first)


def _key(job: HeadJob, subset: LabelSubset) -> RowKey:
    return job.tap, subset.fraction, subset.draw


def _job(problem: ProbeProblem, tap: str, rows: NDArray[np.int64]) -> HeadJob:
    return HeadJob(tap, rows, problem.labels[problem.training][rows])


def _held_out(problem: ProbeProblem, tap: str, holdout: Holdout) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return (
        problem.features(tap, holdout.split)[holdout.held_out],
        problem.labels[holdout.split][holdout.held_out],
    )


def _row(
    problem: ProbeProblem, job: HeadJob, subset: LabelSubset, head: ProbeHead, validated: _Validated | None
) -> SweepRow:
    choice = default_choice(PENALTIES, len(job.rows)) if validated is None else validated.choice
    tested = problem.test_samples(job.tap, subset)
    correct = correct_at(head, choice.index, *tested)
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
        outcomes=problem.outcomes_of(subset, correct),
        converged=head.converged,
        iterations=head.iterations,
        dropped_channels=head.standardiser.dropped,
        runner_up_gap=choice.gap,
        chosen_loss=choice.loss,
        validation=None if validated is None else validated.items,
        explored=accuracy_path(head, *tested) if problem.explore else (),
    )
