"""Shares of variance from a factorial of records: scale, noise and intervals."""

import numpy as np

from geofm_eval.factors.factorial import FEWEST_FACTORS, LABELS, Factorial, replicates
from geofm_eval.factors.noise import ErrorOfMeans, error_of_means, logit
from geofm_eval.factors.variance import Share, shares
from geofm_eval.metric import METRICS
from geofm_eval.records import Score
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.trainings import TrainedCell
from geofm_eval.stats.counts import scores_without
from geofm_eval.stats.jackknife import Floats


def trained_shares(factorial: Factorial[TrainedCell], pairs: Pairs) -> tuple[Share, ...]:
    """Return the shares of a factorial of trained cases: noise from seeds, intervals over test samples and seeds."""
    scores = [cell.score for cell in factorial.cells]
    values = on_scale(replicates(scores), scores[0])
    error = error_of(factorial, pairs, scaled=True)
    return shares(factorial.names, values.reshape(*factorial.shape, -1), error=error)


def probed_shares(factorial: Factorial[Score]) -> tuple[Share, ...]:
    """Return the shares of a factorial of probes; label draws are blocks, and give the noise."""
    values = on_scale(replicates(factorial.cells), factorial.cells[0])
    return shares(factorial.names, values.reshape(*factorial.shape, -1), crossed=True)


def pooled_shares(factorial: Factorial[Score]) -> tuple[Share, ...]:
    """Return the shares of scores pooled over shuffles, one per cell, as tables print them.

    The R2 of a single shuffle uses a tenth of the samples, and most of its variance is noise. The noise of a pooled
    score cannot be estimated from the scores, so none is subtracted.
    """
    return shares(factorial.names, _pooled(factorial)[..., None])


def pooled_shares_by_labels(factorial: Factorial[Score]) -> dict[str, tuple[Share, ...]]:
    """Return :func:`pooled_shares` at each label fraction, the largest first: few labels cause much of the variance.

    It is empty if labels do not vary, or only one other factor does.
    """
    axis = factorial.axis(LABELS)
    names = tuple(name for name in factorial.names if name != LABELS)
    if axis is None or len(names) < FEWEST_FACTORS:
        return {}
    tables = np.moveaxis(_pooled(factorial), axis, 0)
    each = zip(factorial.factors[axis].levels, tables, strict=True)
    found = {level: shares(names, table[..., None]) for level, table in each}
    return dict(sorted(found.items(), key=lambda one: -float(one[0].split()[0])))


def _pooled(factorial: Factorial[Score]) -> Floats:
    values = np.asarray([score.value for score in factorial.cells])
    return on_scale(values, factorial.cells[0]).reshape(factorial.shape)


def on_scale(values: Floats, score: Score) -> Floats:
    """Return scores on the scale of the shares: logits of bounded metrics, others unchanged."""
    return logit(values, score.n) if METRICS[score.metric].proportion else values


def error_of(factorial: Factorial[TrainedCell], pairs: Pairs, scaled: bool = False) -> ErrorOfMeans | None:
    """Return the joint error of the cells' mean scores over seeds and test samples (or groups of samples).

    It is in the metric's unit, or ``scaled`` to the scale of the shares; None if the outcomes of a cell are absent, or
    with fewer than two samples or groups.
    """
    first = factorial.cells[0]
    counts = [pairs.counts(cell.record, cell.fraction) for cell in factorial.cells]
    groups = pairs.groups(first.record)
    without = [None if one is None else scores_without(one, first.score.metric, groups) for one in counts]
    known = [one for one in without if one is not None]
    if len(known) < len(counts) or known[0].shape[1] < 2 or not all(np.isfinite(one).all() for one in known):
        return None
    scores, left = replicates([cell.score for cell in factorial.cells]), np.stack(known)
    if scaled:
        scores, left = on_scale(scores, first.score), on_scale(left, first.score)
    return error_of_means(scores, left)
