"""Rankings of models within settings and over settings (``docs/ranking.md``)."""

from geofm_eval.ranking.aggregation import (
    Aggregate,
    CommonScale,
    Summary,
    aggregate,
    aggregates,
    complete_block,
    mean_of_shares,
)
from geofm_eval.ranking.grouping import Entry, Setting, by_recipe, data_sets, settings
from geofm_eval.ranking.joint import (
    Ranks,
    ranks,
    resample_scores,
    simultaneous_ranks,
    weighted_interval,
    weighted_spread,
)
from geofm_eval.ranking.qualitative import HeadToHead, OrderTest, agreement, gail_simon, kendall_tau, rivalries
from geofm_eval.ranking.sources import Source, joint_covariance, sources_of
from geofm_eval.ranking.standing import Ordering, PairOfModels, Standing, errors_of, letters, order

__all__ = [
    "Aggregate",
    "CommonScale",
    "Entry",
    "HeadToHead",
    "OrderTest",
    "Ordering",
    "PairOfModels",
    "Ranks",
    "Setting",
    "Source",
    "Standing",
    "Summary",
    "aggregate",
    "aggregates",
    "agreement",
    "by_recipe",
    "complete_block",
    "data_sets",
    "errors_of",
    "gail_simon",
    "joint_covariance",
    "kendall_tau",
    "letters",
    "mean_of_shares",
    "order",
    "ranks",
    "resample_scores",
    "rivalries",
    "settings",
    "simultaneous_ranks",
    "sources_of",
    "weighted_interval",
    "weighted_spread",
]
