"""Expected ranges of scores: how they are set from runs, kept in files, and judged by (manual: ``docs/ranges.md``)."""

from geofm_eval.expected.files import FOLDER, range_path, read_folder, read_ranges, write_ranges
from geofm_eval.expected.judge import Judged, Judgement, judge
from geofm_eval.expected.ranges import Basis, Data, Key, Origin, Range, Ranges

__all__ = [
    "FOLDER",
    "Basis",
    "Data",
    "Judged",
    "Judgement",
    "Key",
    "Origin",
    "Range",
    "Ranges",
    "judge",
    "range_path",
    "read_folder",
    "read_ranges",
    "write_ranges",
]
