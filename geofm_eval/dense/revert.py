"""Effect of each change: the score of a tuned network when a part of its backbone is reset to its frozen weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.backbones.parts import block_paths, exchanged, part_rows
from geofm_eval.dense.config import Trained
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import merged
from geofm_eval.metric import METRICS
from geofm_eval.stats.counts import count_score, scores_without
from geofm_eval.stats.jackknife import jackknife_error_of

PARTS = ("norm1", "qkv", "attn_proj", "norm2", "fc1", "fc2")
"""Parts that are reset in all blocks at once."""

WHOLE = "all"


@dataclass(frozen=True)
class ScoreLoss:
    """Score lost by resetting a part.

    Args:
        per_seed: score of the tuned network minus that of the reset one, with the opposite sign for errors, so that a
            loss is positive.
        error: jackknife standard error of the mean over seeds, over samples or groups.
    """

    per_seed: tuple[float, ...]
    error: float


@dataclass(frozen=True)
class ReversalEffects:
    """Effects of all resets, with the scores for comparison.

    Args:
        lost: by part, by block, and for ``all``.
        score: mean score of the tuned networks over seeds.
        frozen_score: the same with the whole backbone reset under the tuned head.
        items: number of scored samples.
    """

    lost: Mapping[str, ScoreLoss]
    score: float
    frozen_score: float
    items: int


def score_lost_by_part(jobs: Sequence[DenseJob], trained: Sequence[Trained], items: Sequence[int]) -> ReversalEffects:
    """Score every seed's network on some test samples, with each part, each block and everything reset in turn.

    Args:
        jobs: one per seed.
        trained: their finished trainings.
        items: positions in the test split.
    """
    per_seed = [_counts(job, one, items) for job, one in zip(jobs, trained, strict=True)]
    task, groups = jobs[0].task, jobs[0].splits["test"].groups
    own = None if groups is None else groups[np.asarray(items)]
    sign = METRICS[task.metric].sign
    base = np.stack([counts[""] for counts in per_seed])
    whole, without = count_score(base, task.metric), scores_without(base, task.metric, own)
    lost, frozen = {}, 0.0
    for name in per_seed[0]:
        if not name:
            continue
        counts = np.stack([one[name] for one in per_seed])
        scores = count_score(counts, task.metric)
        frozen = float(scores.mean()) if name == WHOLE else frozen
        spread = sign * (without - scores_without(counts, task.metric, own)).mean(0)
        # Without some samples a class, or all variance of a target, may be missing, and the score is undefined.
        known = spread[np.isfinite(spread)]
        error = float(jackknife_error_of(known)) if len(known) > 1 else float("nan")
        lost[name] = ScoreLoss(tuple(float(value) for value in sign * (whole - scores)), error)
    return ReversalEffects(lost, float(whole.mean()), frozen, len(items))


def _counts(job: DenseJob, trained: Trained, items: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Counts of some test samples by reset part; those of the tuned network have an empty name."""
    model, frozen = merged(job, trained), job.loaded.backbone
    found = {"": job.counts(model, "test", items)}
    for name in (*PARTS, *block_paths(frozen), WHOLE):
        with exchanged(model.backbone, frozen, part_rows(frozen, name)) as differs:
            found[name] = job.counts(model, "test", items) if differs else found[""]
    return found
