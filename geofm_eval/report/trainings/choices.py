"""Table of what to take: the levels of every factor, to be read and as rows of numbers."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.factors.levels import Decision, best_cases
from geofm_eval.report.formats import Row, Table
from geofm_eval.report.trainings.notes import grid_notes, unit_of_study
from geofm_eval.report.wording import heading, shared_notes
from geofm_eval.results.trainings import CaseStudy
from geofm_eval.results.units import UNKNOWN, percent


def choices_table(study: CaseStudy, found: Sequence[Decision], catalog: Catalog) -> Table | None:
    """What to take, factor by factor; None where no factor has two levels."""
    if not found:
        return None
    unit = unit_of_study(study)
    rows = [
        (
            factor.name,
            level.name,
            "yes" if level.chosen else "",
            unit.value(level.validated),
            unit.value(level.test),
            UNKNOWN if level.chosen else unit.difference(level.behind),
            str(len(level.cells)),
        )
        for factor in found
        for level in factor.levels
    ]
    best = [
        f"Best by validation with {percent(cell.adaptation.fraction)} of the labels: {cell.model} {cell.name}, test "
        f"{unit.label} {unit.score(cell.score)}."
        for cell in best_cases(study)
    ]
    left_out = [f"{factor.name}: {', '.join(factor.left_out)}" for factor in found if factor.left_out]
    return Table(
        slug=f"{study.slug}-choices",
        title=heading(study.comparison, catalog, f"what to take, test {unit.label}", study.how),
        header=("factor", "level", "chosen", "validation", "test", "test minus the chosen one [interval]", "cells"),
        rows=tuple(rows),
        notes=(
            *best,
            "Means over the cells that all levels of a factor have, controls left out. Validation chooses; intervals "
            "are paired, over seeds and images (or groups of images); of many, some leave 0 out by chance.",
            *([f"Not compared, for want of cells that the others have: {'; '.join(left_out)}."] if left_out else []),
            *grid_notes(study),
            *shared_notes(study.comparison, catalog),
        ),
    )


def choice_rows(study: CaseStudy, found: Sequence[Decision]) -> list[Row]:
    """One row of numbers per level, with the cells that it rests on."""
    case = study.cells[0].record.case
    return [
        {
            "evidence": study.cells[0].record.evidence, "task": case.task, "metric": study.cells[0].score.metric,
            "factor": factor.name, "level": level.name, "chosen": level.chosen, "validation": level.validated,
            "test": level.test, "difference": level.behind.value, "low": level.behind.low, "high": level.behind.high,
            "cells": " ".join(f"{cell.model}-{cell.name}" for cell in level.cells),
        }
        for factor in found
        for level in factor.levels
    ]  # fmt: skip
