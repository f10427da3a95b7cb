"""Trained cases as plain text, for the end of a run."""

from dataclasses import replace

from geofm_eval.catalog import Catalog
from geofm_eval.factors.levels import best_cases
from geofm_eval.factors.marginal import Effect, pooled
from geofm_eval.plurals import counted
from geofm_eval.records import marks_legend
from geofm_eval.records.marking import SHORT_CONTROL
from geofm_eval.report.formats import Table
from geofm_eval.report.trainings.choices import FactorLevel
from geofm_eval.report.trainings.notes import unit_of_trainings
from geofm_eval.report.wording import heading
from geofm_eval.results.trainings import TrainedCases, TrainedCell
from geofm_eval.results.units import percent

SHOWN = 25
"""Lines of a ranking; the tables have all of them."""


def text_of_trainings(
    cases: TrainedCases,
    catalog: Catalog,
    ranking: Table[TrainedCell],
    choices: Table[FactorLevel] | None,
    effects: Table[Effect] | None,
) -> str:
    """Ranking, choices, and effects over all models."""
    unit, score = unit_of_trainings(cases), cases.cells[0].score
    what = f"test {unit.label}, n = {score.n}, {counted(len(score.per_draw), 'seed')}"
    lines = [
        heading(cases.comparison, catalog, what, cases.how),
        *ranking.lines(SHOWN),
        f"  {SHORT_CONTROL} control; over tuned twin: minus the random twin, fully tuned on as many labels",
        *(f"  {line}" for line in marks_legend(cell.record for cell in cases.cells)),
    ]
    best = [
        f"  best on validation, {percent(cell.adaptation.fraction)} of the labels: {cell.model} {cell.name}, "
        f"test {unit.score(cell.score)}"
        for cell in best_cases(cases)
    ]
    lines += ["", *best] if best else []
    if choices is not None:
        lines += ["", f"  best level of each factor, mean {unit.label} over common cells", *choices.lines()]
    if effects is not None and effects.rows:
        shown = replace(effects, rows=pooled(effects.rows))
        lines += ["", f"  marginal effects on {unit.label}, paired", *shown.lines()]
    if cases.left_out:
        lines.append(f"  without a score: {counted(len(cases.left_out), 'case')} (see the tables)")
    return "\n".join(lines)
