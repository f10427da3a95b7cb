"""Sources of the error of a score: samples (or groups of them), label draws, training seeds, shuffle splits.

For each source, a score has a vector with one number per unit, whose sum of squares is the variance that the source
adds, as in the intervals of :mod:`geofm_eval.stats.standard_error`. The covariance of two scores with a common source
is the scalar product of their vectors: a joint jackknife, crossed over samples and draws, which gives paired
differences (Efron and Tibshirani 1993, chapter 11).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from geofm_eval.errors import ContractError
from geofm_eval.records import Outcomes, Record
from geofm_eval.results.run import PROBE
from geofm_eval.results.taps import sign
from geofm_eval.stats.counts import count_score, scores_without
from geofm_eval.stats.folds import widening
from geofm_eval.stats.jackknife import Floats, make_sample
from geofm_eval.stats.out_of_fold import contributions, error_parts
from geofm_eval.stats.standard_error import uneven_freedom


@dataclass(frozen=True)
class Source:
    """What one source adds to the error of a score; scores with a source of the same name err together.

    The squares of ``parts`` (units,) sum to the variance that it adds, with ``freedom`` degrees of freedom. For draws,
    seeds and shuffles (``drawn``), the sum of squares of ``mixed`` is subtracted: the noise of draw and sample
    together, which the samples already contain.
    """

    name: str
    parts: Floats
    freedom: float
    mixed: Floats = field(default_factory=lambda: np.zeros(0))
    drawn: bool = False


def sources_of(record: Record, outcomes: Outcomes, fraction: str) -> tuple[Source, ...] | None:
    """Return the sources of the error of a test score, with its sign set so that more is better.

    All models of a task share the label draws of a probe; seeds belong to one training. Shuffle splits are draws, plus
    the proportion of training samples that they share, see :mod:`geofm_eval.stats.out_of_fold`. All sources of a
    cross-validated score are increased for the training samples that folds share, as its interval is.

    Returns:
        None for a single sample or group, or if the score is undefined without one of them.
    """
    found = _of_test_samples(record, outcomes, fraction)
    if found is None or outcomes.folds is None:
        return found
    factor = widening(outcomes.target)
    return tuple(replace(one, parts=factor * one.parts, mixed=factor * one.mixed) for one in found)


def _of_test_samples(record: Record, outcomes: Outcomes, fraction: str) -> tuple[Source, ...] | None:
    """Sources as for a test split, or for shuffle splits."""
    score, case = record.scores[fraction], record.case
    turn, units = sign(score), _units(outcomes)
    if len(outcomes.ids if outcomes.groups is None else np.unique(outcomes.groups)) < 2:
        return None
    draws = f"draws {case.task} {fraction}" if case.kind == PROBE else f"seeds {case.kind} {case.id}"
    draws = f"{draws}, {len(score.per_draw)} on {units}"
    try:
        if outcomes.counts:
            counts = outcomes.counts[fraction]
            without = scores_without(counts, score.metric, outcomes.groups)
            return _crossed(turn * count_score(counts, score.metric), turn * without, units, draws)
        if outcomes.target is None:
            sample = make_sample(outcomes.correct[fraction], outcomes.groups)
            return _crossed(sample.ratios(), sample.without(), units, draws, even=outcomes.groups is None)
        errors = np.square(outcomes.prediction[fraction] - outcomes.target)
        if np.isnan(errors).any():
            return _shuffled(errors, outcomes.target, score.n_train, units)
        sample = make_sample(errors, outcomes.groups, outcomes.target)
        return _crossed(-sample.ratios(), -sample.without(), units, draws)
    except ContractError:
        return None


def joint_covariance(scores: Sequence[tuple[Source, ...]]) -> list[tuple[list[int], Floats, float]]:
    """Return the covariance of k scores, source by source.

    Returns:
        Per source, the positions of the scores that have it, their covariance, and the fewest degrees of freedom of any
        of them. If the noise of draw and sample exceeds the variance between draws, the covariance is not positive.
    """
    by_name: dict[str, list[tuple[int, Source]]] = {}
    for place, own in enumerate(scores):
        for source in own:
            by_name.setdefault(source.name, []).append((place, source))
    found = []
    for own_sources in by_name.values():
        parts, mixed = (np.array([getattr(one, name) for _, one in own_sources]) for name in ("parts", "mixed"))
        freedom = min(source.freedom for _, source in own_sources)
        found.append(([place for place, _ in own_sources], parts @ parts.T - mixed @ mixed.T, freedom))
    return found


def _crossed(scores: Floats, without: Floats, units: str, draws: str, even: bool = False) -> tuple[Source, ...] | None:
    """Sources of the mean of ``scores`` (draws,), from those ``without`` each unit (draws, units); ``even`` ones."""
    if not (np.isfinite(scores).all() and np.isfinite(without).all()):
        return None
    number, count = without.shape
    left = without.mean() - without.mean(0)
    parts = math.sqrt((count - 1) / count) * left
    items = Source(units, parts, count - 1 if even else uneven_freedom(left))
    if number < 2:
        return (items,)
    noise = without - without.mean(1, keepdims=True)
    mixed = math.sqrt((count - 1) / (count * number * (number - 1))) * (noise - noise.mean(0)).ravel()
    between = (scores - scores.mean()) / math.sqrt(number * (number - 1))
    return items, Source(draws, between, number - 1, mixed, drawn=True)


def _shuffled(errors: Floats, target: Floats, n_train: float, units: str) -> tuple[Source, ...] | None:
    ratio, added = contributions(errors, target)
    shuffles, count = added.shape
    if not math.isfinite(ratio) or min(shuffles, count) < 2:
        return None
    tested = hashlib.sha256(np.packbits(~np.isnan(errors)).tobytes()).hexdigest()[:16]
    of_units, of_shuffles = error_parts(added, n_train / errors.shape[1])
    return (
        Source(f"{units} {tested}", -of_units, uneven_freedom(of_units)),
        Source(f"shuffles {units} {tested}", -of_shuffles, shuffles - 1, drawn=True),
    )


def _units(outcomes: Outcomes) -> str:
    """Equal names for outcomes on the same samples, in the same groups and order."""
    digest = hashlib.sha256()
    for names in (outcomes.ids, outcomes.groups):
        digest.update(b"" if names is None else "\n".join(names.tolist()).encode() + b"\0")
    return f"{'items' if outcomes.groups is None else 'groups'} {digest.hexdigest()[:16]}"
