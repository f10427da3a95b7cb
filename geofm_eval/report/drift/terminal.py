"""Drift as plain text, for the end of a run."""

from geofm_eval.catalog import Catalog
from geofm_eval.report.drift.figures import heading_of
from geofm_eval.report.drift.tables import part_verdict, signed, small
from geofm_eval.report.probes.terminal import aligned
from geofm_eval.results.drift import VERDICTS_ON, DriftStudy
from geofm_eval.results.units import UNKNOWN
from geofm_eval.stats.over_seeds import estimate

SHOWN = 25
"""Lines; the tables have all of them."""


def text_of_drift(study: DriftStudy, catalog: Catalog) -> str:
    """How much every backbone changed, against the floor of shuffled labels, and the verdicts on fc1."""
    rows = [["model", "adaptation", *(f"{m} (shuffled)" for m in VERDICTS_ON), "total - shuffled", "fc1 changes most"]]
    for cell in study.cells[:SHOWN]:
        verdicts = [f"{measure} {part_verdict(cell, measure) or UNKNOWN}" for measure in VERDICTS_ON]
        known = any(part_verdict(cell, measure) for measure in VERDICTS_ON)
        rows.append(
            [
                cell.model,
                cell.name,
                *(
                    f"{small(cell.over_blocks(m, 'tuned'))} ({small(cell.over_blocks(m, 'shuffled'))})"
                    for m in VERDICTS_ON
                ),
                signed(estimate(cell.drift.whole["total"], cell.drift.units))
                if "total" in cell.drift.whole
                else UNKNOWN,
                ", ".join(verdicts) if known else UNKNOWN,
            ]
        )
    what = f"drift, mean over blocks, n = {study.cells[0].drift.n}"
    lines = [heading_of(study, catalog, what), *aligned(rows, "llrrrrl")]
    if len(study.cells) > SHOWN:
        lines.append(f"  and {len(study.cells) - SHOWN} more in the tables")
    if study.left_out:
        lines.append(f"  without a measurement: {len(study.left_out)} cases (see the tables)")
    return "\n".join(lines)
