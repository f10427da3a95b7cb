"""Scores recomputed from the per-item outcomes beside a record: numbers that do not follow from them are found out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError, DataError
from geofm_eval.records.outcomes import Outcomes, names_outcomes, read_outcomes
from geofm_eval.records.paths import record_path
from geofm_eval.records.plausible import close
from geofm_eval.records.schema import Record
from geofm_eval.records.scores import Score
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.scores import pooled_r2, r2_per_draw


@dataclass(frozen=True)
class Problem:
    """A sentence for the user, and whether scores contradict their outcomes or these cannot be read."""

    text: str
    contradicts: bool


def problem_with_scores(run_dir: Path, record: Record) -> Problem | None:
    """Say what is wrong with a record's outcomes, or with its scores by them; None where nothing is, or it has none."""
    path = record_path(run_dir, record.case.kind, record.case.id)
    if record.outcomes_sha256 is None:
        unnamed = record.checksum is None and record.scores and names_outcomes(path.with_suffix(".npz"))
        text = f"{path}: names no per-item outcomes, which lie beside it: {_CURE}"
        return Problem(text, contradicts=True) if unnamed else None
    try:
        outcomes = read_outcomes(run_dir, record)
    except DataError as error:
        return Problem(str(error), contradicts=False)
    assert outcomes is not None  # it has a hash
    for fraction, score in record.scores.items():
        try:
            difference = _difference(outcomes, fraction, score, record.provenance.protocol)
        except (KeyError, IndexError, ValueError, ContractError) as error:
            difference = f"cannot be computed from its outcomes ({type(error).__name__}: {str(error)[:120]})"
        if difference is not None:
            return Problem(f"{path}: the score at label fraction {fraction} {difference}: {_CURE}", contradicts=True)
    return None


_CURE = "the record is left out; run the case again"


def disagreement(run_dir: Path, record: Record) -> str | None:
    """The sentence of :func:`problem_with_scores` alone."""
    problem = problem_with_scores(run_dir, record)
    return None if problem is None else problem.text


def _difference(outcomes: Outcomes, fraction: str, score: Score, protocol: str) -> str | None:
    per_draw, n = _per_draw(outcomes, fraction, score.metric)
    value = float(per_draw.mean())
    if protocol == "shuffle_splits" and outcomes.target is not None:
        value = pooled_r2(outcomes.prediction[fraction], outcomes.target)
    if n != score.n:
        return f"counts {score.n} items, its outcomes {n}"
    if len(per_draw) != len(score.per_draw):
        return f"has {len(score.per_draw)} draws, its outcomes {len(per_draw)}"
    for own, other in ((score.value, value), *zip(score.per_draw, per_draw.tolist(), strict=True)):
        if not close(own, other):
            return f"is {own:.6g}, its outcomes give {other:.6g}"
    return None


def _per_draw(outcomes: Outcomes, fraction: str, metric: str) -> tuple[NDArray[np.float64], int]:
    """Score of every draw, shuffle or seed, and the number of items that they were tested on."""
    if outcomes.counts:
        counts = outcomes.counts[fraction]
        return count_score(counts, metric), counts.shape[1]
    if outcomes.target is None:
        correct = outcomes.correct[fraction]
        return np.asarray(correct.mean(axis=1, dtype=np.float64)), correct.shape[1]
    predicted = outcomes.prediction[fraction]
    return r2_per_draw(predicted, outcomes.target), int((~np.isnan(predicted)).any(axis=0).sum())
