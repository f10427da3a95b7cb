"""The page of a comparison: verdicts of the gate, and charts of old and new weights."""

from geofm_eval.catalog import Catalog
from geofm_eval.report.gate.judged import Judged
from geofm_eval.report.index import summary_lines
from geofm_eval.report.web.page import PageContent, page_of


def html_of(judged: Judged, catalog: Catalog) -> str:
    """Return the HTML of a page with the gate's section and nothing about other models and tasks."""
    old, new = judged.found.old, judged.found.new
    notes = {f"Run {run.name}": summary_lines(run) for run in (new, old)}
    content = PageContent(
        run=new,
        catalog=catalog,
        answers=(),
        orders=(),
        pages={},
        summary=f"Run {new.name}, judged against its baseline {old.name}, sample by sample.",
        notes=notes,
        pictures=False,
        judged=judged,
        title=f"{new.name} against {old.name}",
    )
    return page_of(content)
