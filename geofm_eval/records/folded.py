"""Scores of cross-validated data: every sample is tested once per label draw, by a probe of the other folds."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geofm_eval.metric import METRICS
from geofm_eval.records.scores import IntervalInfo, Score
from geofm_eval.stats.folds import folded_interval
from geofm_eval.stats.scores import r2_per_draw, rmse


def folded_score(
    metric: str,
    outcomes: NDArray[np.generic],
    target: NDArray[np.float64] | None,
    groups: NDArray[np.generic] | None,
    n_train: int,
    extra: Mapping[str, float],
) -> Score:
    """Return the out-of-fold score: mean accuracy, or R2 over all samples, as the mean over the label draws.

    Args:
        metric: ``accuracy`` or ``r2``.
        outcomes: (draws, n) ones and zeros, or predictions.
        target: (n,) for R2; None for accuracy.
        groups: (n,) group of every sample; None if samples are independent.
        n_train: mean number of training samples of a fold.
        extra: additional scores; RMSE is added for R2.
    """
    if target is None:
        values = outcomes.mean(axis=1, dtype=np.float64)
        more = dict(extra)
    else:
        values = r2_per_draw(outcomes, target)
        errors = [rmse(target, row.astype(np.float64)) for row in outcomes]
        more = {**extra, "rmse": float(np.mean(errors))}
    interval = folded_interval(outcomes, target, groups)
    return Score(
        metric=metric,
        value=float(values.mean()),
        per_draw=tuple(float(value) for value in values),
        interval=None
        if interval is None
        else IntervalInfo(**{name: getattr(interval, name) for name in IntervalInfo.model_fields}),
        n=outcomes.shape[1],
        n_train=n_train,
        direction=METRICS[metric].direction,
        extra=more,
    )
