"""Reports: rankings, depth profiles and label-efficiency curves from the records of a run."""

from geofm_eval.report.collation import Collation, collate

__all__ = ["Collation", "collate"]
