"""Seconds that cases will take: from earlier sessions with the same cache, else from the committed reference."""

from geofm_eval.costs.calibration import speed_ratio
from geofm_eval.costs.estimate import Costs, case_seconds, start_seconds
from geofm_eval.costs.forward_pass import operations
from geofm_eval.costs.own import OwnCost, add_own, own_file, read_own
from geofm_eval.costs.table import CostKey, least_of_equal, read_table, table_of, write_table

__all__ = [
    "CostKey",
    "Costs",
    "OwnCost",
    "add_own",
    "case_seconds",
    "least_of_equal",
    "operations",
    "own_file",
    "read_own",
    "read_table",
    "speed_ratio",
    "start_seconds",
    "table_of",
    "write_table",
]
