"""Expected ranges of scores: setting them from runs, storing them, and judging by them (manual: ``docs/ranges.md``)."""

from geofm_eval.expected.files import FOLDER, range_path, read_folder, read_ranges, write_ranges
from geofm_eval.expected.judging import CaseRangeVerdict, ScoreVerdict, judge
from geofm_eval.expected.ranges import Basis, Data, Key, Origin, Range, Ranges

__all__ = [
    "FOLDER",
    "Basis",
    "CaseRangeVerdict",
    "Data",
    "Key",
    "Origin",
    "Range",
    "Ranges",
    "ScoreVerdict",
    "judge",
    "range_path",
    "read_folder",
    "read_ranges",
    "write_ranges",
]
