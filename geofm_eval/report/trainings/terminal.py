"""A case study as plain text, for the end of a run."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.factors.levels import Decision, best_cases
from geofm_eval.factors.marginal import Effect, pooled
from geofm_eval.records import display_name, marks_legend
from geofm_eval.records.marking import SHORT_CONTROL
from geofm_eval.report.probes.terminal import aligned
from geofm_eval.report.trainings.notes import reads, unit_of_study
from geofm_eval.report.trainings.tables import over_twin
from geofm_eval.report.wording import heading
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.trainings import CaseStudy
from geofm_eval.results.units import UNKNOWN, percent

SHOWN = 25
"""Lines of a ranking; the tables have all of them."""


def text_of_study(
    study: CaseStudy, found: Sequence[Effect], chosen: Sequence[Decision], catalog: Catalog, pairs: Pairs
) -> str:
    """The ranking, what to take, then the effects over all models."""
    unit = unit_of_study(study)
    what = f"test {unit.label}, n = {study.cells[0].score.n}, {len(study.cells[0].score.per_draw)} seeds"
    rows = [["", "model", "adaptation", "reads", "score [interval]", "over tuned twin", "seconds"]]
    for rank, cell in enumerate(study.cells[:SHOWN], start=1):
        training = cell.record.training
        assert training is not None
        rows.append(
            [
                str(rank),
                display_name(cell.record, short=True),
                cell.record.case.adaptation,
                reads(training),
                unit.score(cell.score),
                unit.difference(over_twin(cell, study, catalog, pairs)),
                f"{cell.seconds:.0f}",
            ]
        )
    lines = [heading(study.comparison, catalog, what, study.how), *aligned(rows, "rllllrr")]
    if len(study.cells) > SHOWN:
        lines.append(f"  and {len(study.cells) - SHOWN} more in the tables")
    lines.append(f"  {SHORT_CONTROL} control; over tuned twin: the random twin, fully tuned on as many labels")
    lines += [f"  {line}" for line in marks_legend(cell.record for cell in study.cells)]
    lines += ["", *_choices(study, chosen)]
    shown = pooled(found)
    if shown:
        grid = [
            [e.factor, e.contrast, unit.difference(e.difference), str(len(e.pairs)), e.model or "all models"]
            for e in shown
        ]
        lines += [
            "",
            f"  marginal effects on {unit.label}, paired",
            *aligned([["", "contrast", "difference [interval]", "pairs", ""], *grid], "lllrl"),
        ]
    if study.left_out:
        lines.append(f"  without a score: {len(study.left_out)} cases (see the tables)")
    return "\n".join(lines)


def _choices(study: CaseStudy, chosen: Sequence[Decision]) -> list[str]:
    """What validation chooses: case by case, and factor by factor on the cells that all levels have."""
    unit = unit_of_study(study)
    lines = [
        f"  best by validation, {percent(cell.adaptation.fraction)} of the labels: {cell.model} {cell.name}, "
        f"test {unit.score(cell.score)}"
        for cell in best_cases(study)
    ]
    if chosen:
        rows = [["", "level (validation chose the first)", "test", "minus the first [interval]", "cells"]]
        for factor in chosen:
            for level in factor.levels:
                behind = UNKNOWN if level.chosen else unit.difference(level.behind)
                name = factor.name if level.chosen else ""
                rows.append([name, level.name, unit.value(level.test), behind, str(len(level.cells))])
        lines += ["", f"  what to take, mean {unit.label} over the cells that all have", *aligned(rows, "llrlr")]
    return lines
