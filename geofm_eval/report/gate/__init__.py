"""A run against its baseline: as text for a terminal, as Markdown for a pull request, as JSON for a program."""

from geofm_eval.report.gate.as_json import json_of
from geofm_eval.report.gate.judged import Judged
from geofm_eval.report.gate.markdown import markdown_of
from geofm_eval.report.gate.text import Line, lines_of

__all__ = ["Judged", "Line", "json_of", "lines_of", "markdown_of"]
