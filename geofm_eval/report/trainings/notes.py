"""What tables of trained cases have in common: the unit of its metric, and what confounds comparisons of models."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.records import Training
from geofm_eval.report.formats import Column, T, Table
from geofm_eval.report.wording import table_of
from geofm_eval.results.trainings import TrainedCases
from geofm_eval.results.units import MetricFormat, percent, unit_named


def unit_of_trainings(cases: TrainedCases) -> MetricFormat:
    """How the metric of the cases is shown."""
    return unit_named(cases.cells[0].score.metric, cases.cells[0].record.provenance.target_unit)


def trainings_table(
    cases: TrainedCases,
    catalog: Catalog,
    name: str,
    what: str,
    columns: Sequence[Column[T]],
    rows: Sequence[T],
    notes: Sequence[str],
) -> Table[T]:
    """A table of trained cases, with what confounds comparisons of models under it; see :func:`table_of`."""
    notes, unit = [*notes, *grid_notes(cases)], unit_of_trainings(cases)
    return table_of(cases.comparison, catalog, name, what, columns, rows, notes, cases.how, unit)


def reads(training: Training) -> str:
    """What a decoder reads, such as ``03 05 07 11``."""
    chosen = " (chosen)" if training.taps_by == "validation" else ""
    return " ".join(tap.removeprefix("block") for tap in training.taps) + chosen


def grid_notes(cases: TrainedCases) -> list[str]:
    """Number of labels; for dense tasks token, context and grid ceiling of every model, which confound comparisons."""
    unit, noun = unit_of_trainings(cases), "samples" if cases.pooled else "chips"
    models: dict[str, list[str]] = {}
    chips: dict[str, str] = {}
    for cell in cases.cells:
        training = cell.training
        shown = f"{training.token_gsd_m:g} m, {training.context_m:g} m, {unit.value(training.grid_ceiling)}"
        if not cell.adaptation.variant:
            models.setdefault(shown, []).append(cell.model)
        selection = cell.record.selection
        folds = selection is not None and any(choice.val_kind == "inner_cv" for choice in selection.choices)
        by = "folds of these" if folds else f"{training.chips.get('val')} validation {noun}"
        chips.setdefault(percent(cell.adaptation.fraction), f"{training.chips.get('train')} {noun}, validated on {by}")
    labels = f"Labels: {'; '.join(f'{share}: {text}' for share, text in sorted(chips.items()))}."
    if cases.pooled:
        return [labels]
    sizes = "; ".join(f"{shown} ({', '.join(sorted(set(names)))})" for shown, names in models.items())
    return [f"Token, context, grid ceiling: {sizes}.", labels]
