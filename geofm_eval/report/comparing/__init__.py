"""A run against its baseline: as text for a terminal, as Markdown for a pull request, as JSON for a program."""

from geofm_eval.report.comparing.markdown import markdown_of
from geofm_eval.report.comparing.plain import json_of
from geofm_eval.report.comparing.text import Line, lines_of

__all__ = ["Line", "json_of", "lines_of", "markdown_of"]
