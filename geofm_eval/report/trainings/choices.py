"""Table of choices: the levels of every factor, best on validation first."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.factors.levels import Decision, Level, best_cases
from geofm_eval.report.formats import Column, Table, described
from geofm_eval.report.trainings.notes import trainings_table, unit_of_trainings
from geofm_eval.results.trainings import TrainedCases
from geofm_eval.results.units import percent

FactorLevel = tuple[Decision, Level]


def choices_table(cases: TrainedCases, found: Sequence[Decision], catalog: Catalog) -> Table[FactorLevel] | None:
    """Levels of every factor, best on validation first; None if no factor has two levels."""
    if not found:
        return None
    unit, metric = unit_of_trainings(cases), cases.cells[0].score.metric
    columns: list[Column[FactorLevel]] = [
        Column(None, lambda row: {**described(cases.cells[0].record, "evidence task"), "metric": metric}),
        Column("factor", lambda row: row[0].name, "factor"),
        Column(None, lambda row: row[0].name if row[1].chosen else "", short=""),
        Column("level", lambda row: row[1].name, "level", short="level (the first is best on validation)"),
        Column("chosen", lambda row: row[1].chosen, "chosen"),
        Column("validation", lambda row: row[1].validated, "validation"),
        Column("test", lambda row: row[1].test, "test", short="test", right=True),
        Column(
            "test minus the chosen one [interval]",
            lambda row: None if row[1].chosen else row[1].behind,
            short="minus the first [interval]",
        ),
        Column(None, lambda row: row[1].behind, "difference low high"),
        Column("cells", lambda row: len(row[1].cells), short="cells", right=True),
        Column(None, lambda row: " ".join(f"{cell.model}-{cell.name}" for cell in row[1].cells), "cells"),
    ]
    notes = [
        *(
            f"Best on validation with {percent(cell.adaptation.fraction)} of the labels: {cell.model} {cell.name}, "
            f"test {unit.label} {unit.score(cell.score)}."
            for cell in best_cases(cases)
        ),
        "Means over the cells that all levels of a factor have, without controls. Validation chooses. Intervals are "
        "paired over seeds and images (or groups of images); among many, some exclude 0 by chance.",
    ]
    if left_out := [f"{factor.name}: {', '.join(factor.left_out)}" for factor in found if factor.left_out]:
        notes.append(f"Not compared, because cells that other levels have are missing: {'; '.join(left_out)}.")
    rows = [(factor, level) for factor in found for level in factor.levels]
    return trainings_table(
        cases, catalog, "choices", f"best level of each factor, test {unit.label}", columns, rows, notes
    )
