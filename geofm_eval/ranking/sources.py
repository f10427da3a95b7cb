"""Where the error of a score comes from, source by source, so that scores with a source in common err together.

The error of a score is a sum over sources: items (or groups of them), label draws, training seeds, shuffle splits. Of
each the score keeps a vector with one number per unit, whose sum of squares is the variance that the source adds to it,
as in the intervals of :mod:`geofm_eval.stats.standard_error`. Two scores with the same source have the scalar product
of their vectors as covariance: a joint jackknife, crossed over items and draws, from which differences come out paired
(Efron and Tibshirani 1993, chapter 11).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError
from geofm_eval.records import Outcomes, Record
from geofm_eval.results.run import PROBE
from geofm_eval.results.taps import sign
from geofm_eval.stats.counts import count_score, scores_without
from geofm_eval.stats.jackknife import Floats, make_sample
from geofm_eval.stats.out_of_fold import contributions, error_parts
from geofm_eval.stats.standard_error import uneven_freedom

NOTHING: Floats = np.zeros(0)


@dataclass(frozen=True)
class Source:
    """What one source adds to the error of a score.

    Args:
        name: scores with a source of the same name err together.
        parts: (units,) one number per unit; their squares sum to the variance that this source adds.
        freedom: degrees of freedom of that variance.
        mixed: of draws, what the noise of draw and item together adds to ``parts``: the items hold it already, and its
            sum of squares is taken off.
        drawn: true of draws, seeds and shuffles, which are few.
    """

    name: str
    parts: Floats
    freedom: float
    mixed: Floats = field(default_factory=lambda: NOTHING)
    drawn: bool = False


def sources_of(record: Record, outcomes: Outcomes, fraction: str) -> tuple[Source, ...] | None:
    """Sources of the error of a test score, turned so that more is better.

    Label draws of a probe are the same for all models of a task; seeds of a training are its own. Shuffle splits are
    draws too, with the share of the training items that they have in common, see :mod:`geofm_eval.stats.out_of_fold`.

    Returns:
        None where an error is unknown: a single item or group, or a score that would not exist without one of them.
    """
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
    """Covariance of k scores, source by source.

    Returns:
        Per source the places of the scores that have it, their covariance, and its degrees of freedom: the fewest that
        one of them has. Where the noise of draw and item exceeds what draws differ by, the covariance is not positive.
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
    """Sources of the mean of ``scores`` (draws,), from those without each unit, (draws, units).

    ``even`` says that no unit is known to matter more than another.
    """
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
    """Name that is equal for outcomes on the same items, in the same groups and order."""
    digest = hashlib.sha256()
    for names in (outcomes.ids, outcomes.groups):
        digest.update(b"" if names is None else _bytes(names))
    return f"{'items' if outcomes.groups is None else 'groups'} {digest.hexdigest()[:16]}"


def _bytes(names: NDArray[np.str_]) -> bytes:
    return "\n".join(names.tolist()).encode() + b"\0"
