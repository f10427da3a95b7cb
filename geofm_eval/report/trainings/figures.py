"""Figures of a case study: score against training time, and the single-level decoder by block."""

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.records import figure_name
from geofm_eval.report.probes.figures import COLOURS, GREY, MARKERS, hatch_of
from geofm_eval.report.trainings.notes import unit_of_study
from geofm_eval.report.trainings.pareto import fronts
from geofm_eval.report.wording import heading
from geofm_eval.results.trainings import CaseStudy, TrainedCell
from geofm_eval.results.units import MetricFormat


def pareto_figure(study: CaseStudy, catalog: Catalog, path: Path) -> None:
    """Draw every trained case over its seconds, and the front of those that nothing cheaper beats."""
    unit = unit_of_study(study)
    figure, axis = _figure(heading(study.comparison, catalog, f"test {unit.label} by cost", study.how))
    heads = sorted({cell.adaptation.head for cell in study.cells})
    for cell in study.cells:
        index = heads.index(cell.adaptation.head)
        _point(axis, cell, unit, COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
    middle = statistics.geometric_mean([min(c.seconds for c in study.cells), max(c.seconds for c in study.cells)])
    for number, (best, style) in enumerate(zip(fronts(study).values(), ("-", "--", ":", "-."), strict=False)):
        places = [(cell.seconds, cell.score.value * unit.factor) for cell in best]
        axis.plot(*zip(*places, strict=True), color="#000000", linewidth=0.8, linestyle=style)
        # Names of all labels alone: those of several fronts would lie on each other. The table has them.
        for cell, place in zip(best, places, strict=True) if number == 0 else ():
            # Beside the point, on the side where the axis has room.
            right = cell.seconds < middle
            axis.annotate(
                f"{figure_name(cell.record)} {cell.name}",
                place,
                (4 if right else -4, -8),
                ha="left" if right else "right",
                textcoords="offset points",
                fontsize=6,
            )
    axis.set_xscale("log")
    axis.set_xlabel("seconds: encoding, all seeds, all learning rates")
    axis.set_ylabel(f"test {unit.label}")
    _legend(axis, heads)
    hatched = any(hatch_of(cell.record) for cell in study.cells)
    figure.supxlabel(
        "Filled: frozen. Open: tuned. Grey: controls. Lines: with as many labels nothing cheaper is better."
        + " Hatched: weights of unverified provenance." * hatched,
        fontsize=8,
    )
    figure.savefig(path, dpi=110)


def block_figure(study: CaseStudy, catalog: Catalog, path: Path) -> bool:
    """Draw the single-level decoder by block, one line per model and tuning at all labels; False where none is."""
    unit = unit_of_study(study)
    singles = [c for c in study.singles if c.layer.startswith("block") and c.adaptation.fraction == 1]
    layers = sorted({cell.layer for cell in singles})
    if len(layers) < 2:
        return False
    title = heading(study.comparison, catalog, f"single-level decoder by block, test {unit.label}", study.how)
    figure, axis = _figure(title)
    for number, model in enumerate(sorted({cell.model for cell in singles})):
        for tuning, style in (("frozen", "-"), ("full", "--")):
            own = sorted(
                (c for c in singles if (c.model, c.adaptation.tuning) == (model, tuning)), key=lambda c: c.layer
            )
            if own:
                _line(
                    axis,
                    own,
                    layers,
                    unit,
                    COLOURS[number % len(COLOURS)],
                    style,
                    f"{figure_name(own[0].record)}, {tuning}",
                )
    axis.set_xticks(range(len(layers)), layers)
    axis.set_ylabel(f"test {unit.label}")
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.supxlabel("Mean over seeds; bars: interval of the test score.", fontsize=8)
    figure.savefig(path, dpi=110)
    return True


def _point(axis: Any, cell: TrainedCell, unit: MetricFormat, colour: str, marker: str) -> None:
    """One case; a hatched marker is larger than others, or its lines could not be seen."""
    colour = GREY if cell.record.case.is_control else colour
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
    axis: Any,
    cells: Sequence[TrainedCell],
    layers: Sequence[str],
    unit: MetricFormat,
    colour: str,
    style: str,
    label: str,
) -> None:
    places = [layers.index(cell.layer) for cell in cells]
    values = [cell.score.value * unit.factor for cell in cells]
    axis.plot(places, values, color=colour, linestyle=style, marker="o", markersize=4, label=label)
    for place, cell in zip(places, cells, strict=True):
        if cell.score.interval is not None:
            ends = [cell.score.interval.low * unit.factor, cell.score.interval.high * unit.factor]
            axis.plot([place, place], ends, color=colour, linewidth=0.8, alpha=0.4)


def _legend(axis: Any, heads: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], linestyle="", marker=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], label=head)
        for i, head in enumerate(heads)
    ]
    axis.legend(handles=lines, loc="lower right", fontsize=8, frameon=False)


def _figure(title: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(textwrap.fill(title, 100), fontsize=10, x=0.01, ha="left")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    return figure, axis
