"""Rankings: who is better in which setting and how sure, and what becomes of it over settings (``docs/ranking.md``)."""

from geofm_eval.ranking.aggregate import (
    Aggregate,
    Scale,
    Summary,
    aggregate,
    aggregates,
    complete_block,
    mean_of_shares,
)
from geofm_eval.ranking.agreement import agreement, kendall_tau
from geofm_eval.ranking.joint import (
    Ranks,
    ranks,
    resample_scores,
    simultaneous_ranks,
    weighted_interval,
    weighted_spread,
)
from geofm_eval.ranking.letters import letters
from geofm_eval.ranking.qualitative import Met, Rivalry, gail_simon, rivalries
from geofm_eval.ranking.settings import Entry, Setting, alike, data_sets, settings
from geofm_eval.ranking.sources import Source, joint_covariance, sources_of
from geofm_eval.ranking.standing import Ordering, PairOfModels, Standing, errors_of, order

__all__ = [
    "Aggregate",
    "Entry",
    "Met",
    "Ordering",
    "PairOfModels",
    "Ranks",
    "Rivalry",
    "Scale",
    "Setting",
    "Source",
    "Standing",
    "Summary",
    "aggregate",
    "aggregates",
    "agreement",
    "alike",
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
