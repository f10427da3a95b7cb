"""Figures of trained cases: score against training time, and the single-level decoder by block."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.records import figure_name
from geofm_eval.report.drawing import GREY, hatch_of, key_of, look, new_figure, plain, save
from geofm_eval.report.trainings.notes import unit_of_trainings
from geofm_eval.report.trainings.pareto import fronts
from geofm_eval.report.wording import heading
from geofm_eval.results.trainings import TrainedCases, TrainedCell
from geofm_eval.results.units import MetricFormat


def pareto_figure(cases: TrainedCases, catalog: Catalog, path: Path) -> None:
    """Draw every trained case over its seconds, and the front of cases that no cheaper case beats."""
    unit = unit_of_trainings(cases)
    figure, axis = _figure(heading(cases.comparison, catalog, f"test {unit.label} by cost", cases.how))
    heads = sorted({cell.adaptation.head for cell in cases.cells})
    for cell in cases.cells:
        _point(axis, cell, unit, **look(heads.index(cell.adaptation.head)))
    middle = statistics.geometric_mean([min(c.seconds for c in cases.cells), max(c.seconds for c in cases.cells)])
    for number, (best, style) in enumerate(zip(fronts(cases).values(), ("-", "--", ":", "-."), strict=False)):
        places = [(cell.seconds, cell.score.value * unit.factor) for cell in best]
        axis.plot(*zip(*places, strict=True), color="#000000", linewidth=0.8, linestyle=style)
        # Names of all labels alone: those of several fronts would lie on each other. The table has them.
        for cell, place in zip(best, places, strict=True) if number == 0 else ():
            # Next to the point, on the side where the axis has room.
            shift, side = (4, "left") if cell.seconds < middle else (-4, "right")
            name = f"{figure_name(cell.record)} {cell.name}"
            axis.annotate(name, place, (shift, -8), ha=side, textcoords="offset points", fontsize=6)
    axis.set_xscale("log")
    axis.set_xlabel("seconds: encoding, all seeds, all learning rates")
    axis.set_ylabel(f"test {unit.label}")
    axis.legend(handles=key_of(heads), loc="lower right", fontsize=8, frameon=False)
    hatched = any(hatch_of(cell.record) for cell in cases.cells)
    figure.supxlabel(
        "Filled: frozen. Open: tuned. Grey: controls. Lines: no cheaper case with as many labels is better."
        + " Hatched: weights of unverified provenance." * hatched,
        fontsize=8,
    )
    save(figure, path, 110)


def block_figure(cases: TrainedCases, catalog: Catalog, path: Path) -> bool:
    """Draw the single-level decoder by block, one line per model and tuning at all labels; False where none is."""
    unit = unit_of_trainings(cases)
    singles = [c for c in cases.singles if c.layer.startswith("block") and c.adaptation.fraction == 1]
    layers = sorted({cell.layer for cell in singles})
    if len(layers) < 2:
        return False
    title = heading(cases.comparison, catalog, f"single-level decoder by block, test {unit.label}", cases.how)
    figure, axis = _figure(title)
    for number, model in enumerate(sorted({cell.model for cell in singles})):
        for tuning, style in (("frozen", "-"), ("full", "--")):
            own = [cell for cell in singles if (cell.model, cell.adaptation.tuning) == (model, tuning)]
            if own:
                line = {"label": f"{figure_name(own[0].record)}, {tuning}", "linestyle": style}
                _line(axis, sorted(own, key=lambda cell: cell.layer), layers, unit, {**look(number), **line})
    axis.set_xticks(range(len(layers)), layers)
    axis.set_ylabel(f"test {unit.label}")
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.supxlabel("Mean over seeds; bars: interval of the test score.", fontsize=8)
    save(figure, path, 110)
    return True


def _point(axis: Any, cell: TrainedCell, unit: MetricFormat, color: str, marker: str) -> None:
    """One case; a hatched marker is larger than others, or its lines could not be seen."""
    colour = GREY if cell.record.case.is_control else color
    filled, hatch = cell.adaptation.tuning == "frozen", hatch_of(cell.record)
    axis.scatter(
        [cell.seconds],
        [cell.score.value * unit.factor],
        s=25 if hatch is None else 100,
        marker=marker,
        facecolor=colour if filled else "white",
        # Matplotlib draws the lines of a hatch in the colour of the edge.
        edgecolor="#000000" if filled and hatch else colour,
        hatch=hatch,
        zorder=2,
    )


def _line(
    axis: Any, cells: Sequence[TrainedCell], layers: Sequence[str], unit: MetricFormat, style: dict[str, str]
) -> None:
    places = [layers.index(cell.layer) for cell in cells]
    values = [cell.score.value * unit.factor for cell in cells]
    axis.plot(places, values, **{**style, "marker": "o"}, markersize=4)
    for place, cell in zip(places, cells, strict=True):
        if cell.score.interval is not None:
            ends = [cell.score.interval.low * unit.factor, cell.score.interval.high * unit.factor]
            axis.plot([place, place], ends, color=style["color"], linewidth=0.8, alpha=0.4)


def _figure(title: str) -> tuple[Any, Any]:
    figure = new_figure((9, 5), title)
    axis = figure.subplots()
    plain(axis)
    return figure, axis
