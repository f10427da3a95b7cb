"""Expected ranges of scores: how they are set from runs, kept in files, and judged by (manual: ``docs/ranges.md``)."""

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
