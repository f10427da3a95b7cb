"""Score against cost: what a second of training buys."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.records import display_name
from geofm_eval.report.formats import Column, Table
from geofm_eval.report.trainings.notes import trainings_table, unit_of_trainings
from geofm_eval.results.trainings import TrainedCases, TrainedCell
from geofm_eval.results.units import percent


def fronts(cases: TrainedCases) -> dict[float, list[TrainedCell]]:
    """By label fraction, all labels first, the cells that none with as many labels beats at as little time."""
    found: dict[float, list[TrainedCell]] = {}
    for cell in sorted(cases.cells, key=lambda c: (-c.adaptation.fraction, c.seconds, -c.quality)):
        own = found.setdefault(cell.adaptation.fraction, [])
        if not own or cell.quality > own[-1].quality:
            own.append(cell)
    return found


def pareto_table(cases: TrainedCases, catalog: Catalog) -> Table[TrainedCell] | None:
    """What a second of training buys: the fronts first; None without two cases that have as many labels."""
    if len({cell.adaptation.fraction for cell in cases.cells}) == len(cases.cells):
        return None
    unit, best = unit_of_trainings(cases), fronts(cases)
    first = [cell for own in best.values() for cell in own]
    rest = sorted((cell for cell in cases.cells if cell not in first), key=lambda cell: cell.seconds)
    columns: list[Column[TrainedCell]] = [
        Column("labels", lambda cell: percent(cell.adaptation.fraction)),
        Column("model", lambda cell: cell.record),
        Column("adaptation and layer", lambda cell: cell.name),
        Column(f"{unit.label} [interval]", lambda cell: cell.score),
        Column("seconds", lambda cell: cell.seconds, show="{:.1f}".format),
        Column("dominated by", lambda cell: _beaten(cell, best[cell.adaptation.fraction])),
    ]
    note = (
        "Seconds: encoding all chips once for a frozen backbone, and training with all seeds, learning rates and "
        "folds; validation, test and the dense probe are not included. Front: no cheaper case with as many labels "
        "scores higher."
    )
    what = f"test {unit.label} against training time"
    return trainings_table(cases, catalog, "pareto", what, columns, [*first, *rest], [note])


def _beaten(cell: TrainedCell, best: Sequence[TrainedCell]) -> str:
    if cell in best:
        return "front"
    by = next(c for c in reversed(best) if c.seconds <= cell.seconds and c.quality >= cell.quality)
    return f"{display_name(by.record)} {by.name}"
