"""Are new weights worse? Two runs compared case by case, item by item (manual: ``docs/gate.md``)."""

from geofm_eval.compare.cases import CaseVerdict, Cell
from geofm_eval.compare.comparison import FAIL_ON, FailOn, RunComparison, compare
from geofm_eval.compare.matching import Matches, Refusal, match
from geofm_eval.compare.moved import Moved
from geofm_eval.compare.runs import find_run
from geofm_eval.compare.tasks import TaskVerdict
from geofm_eval.compare.verdicts import Verdict, chance_of_finding, decide, smallest_found, standard_error

__all__ = [
    "FAIL_ON",
    "CaseVerdict",
    "Cell",
    "FailOn",
    "Matches",
    "Moved",
    "Refusal",
    "RunComparison",
    "TaskVerdict",
    "Verdict",
    "chance_of_finding",
    "compare",
    "decide",
    "find_run",
    "match",
    "smallest_found",
    "standard_error",
]
