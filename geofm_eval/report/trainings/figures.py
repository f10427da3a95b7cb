"""Figures of trained cases: score against training time, and the single-level decoder by block."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.dense import DenseAdaptation
from geofm_eval.records import figure_name
from geofm_eval.report.drawing import caption, entry, hatch_of, legend_beside, marker_of, new_figure, plain, save
from geofm_eval.report.trainings.notes import unit_of_trainings
from geofm_eval.report.trainings.pareto import fronts
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.report.wording import heading
from geofm_eval.results.trainings import TrainedCases, TrainedCell
from geofm_eval.results.units import MetricFormat, percent

BLACK = "#000000"
FRONTS = ("-", "--", ":", "-.")
"""Lines of the fronts, from all labels to the fewest."""

DURATIONS = {
    **{float(n): f"{n:g} s" for n in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)},
    **{60.0 * n: f"{n} min" for n in (1, 2, 5, 10, 20, 30)},
    **{3600.0 * n: f"{n} h" for n in (1, 2, 5, 10, 20, 50, 100)},
}
"""Ticks of an axis of seconds."""

DODGE = 0.5
"""Width over which the models at one block are moved apart, in blocks."""


def pareto_figure(cases: TrainedCases, catalog: Catalog, styles: Mapping[str, LineStyle], path: Path) -> None:
    """Draw every trained case over its seconds, and the front of cases that no cheaper case beats.

    The cases of the front at all labels are numbered, and named in the legend.
    """
    unit = unit_of_trainings(cases)
    figure, axis = _figure(heading(cases.comparison, catalog, f"test {unit.label} by cost", cases.how))
    heads = sorted({cell.adaptation.head for cell in cases.cells})
    for cell in cases.cells:
        _point(axis, cell, unit, styles[cell.model].colour, marker_of(heads.index(cell.adaptation.head)))
    found = fronts(cases)
    lines = dict(zip(found, FRONTS, strict=False))
    for fraction, line in lines.items():
        places = [(cell.seconds, cell.score.value * unit.factor) for cell in found[fraction]]
        axis.step(*zip(*places, strict=True), where="post", color=BLACK, linewidth=0.8, linestyle=line, zorder=1)
    first = next(iter(found.values()))
    for number, cell in enumerate(first, start=1):
        place = (cell.seconds, cell.score.value * unit.factor)
        # Above and to the left of its point: the front leaves the point to the right.
        axis.annotate(f"{number}", place, (-4, 4), ha="right", textcoords="offset points", fontsize=9, weight="bold")
    _ticks_of_time(axis)
    axis.set_xlabel("time: encoding, all seeds, all learning rates")
    axis.set_ylabel(f"test {unit.label}")
    legend_beside(axis, [*_models(cases, styles), *_marks(cases, heads), *_fronts(lines, first)])
    hatched = any(hatch_of(cell.record) for cell in cases.cells)
    text = (
        "Front: the best score that can be reached within a time, by proportion of labels."
        + " Hatched: weights of unverified provenance." * hatched
    )
    caption(figure, text)
    save(figure, path, 110)


def block_figure(cases: TrainedCases, catalog: Catalog, styles: Mapping[str, LineStyle], path: Path) -> bool:
    """Draw the single-level decoder by block, one line per model and tuning at all labels; False where none is."""
    unit = unit_of_trainings(cases)
    singles = [c for c in cases.singles if c.layer.startswith("block") and c.adaptation.fraction == 1]
    layers = sorted({cell.layer for cell in singles})
    if len(layers) < 2:
        return False
    title = heading(cases.comparison, catalog, f"single-level decoder by block, test {unit.label}", cases.how)
    figure, axis = _figure(title)
    pairs = {(c.model, t) for c in singles for t in ("frozen", "full") if c.adaptation.tuning == t}
    for number, (model, tuning) in enumerate(sorted(pairs)):
        own = [cell for cell in singles if (cell.model, cell.adaptation.tuning) == (model, tuning)]
        shift = DODGE * ((number + 0.5) / len(pairs) - 0.5)
        filled = {"markerfacecolor": styles[model].colour if tuning == "frozen" else "white"}
        line = {"color": styles[model].colour, "linestyle": "-" if tuning == "frozen" else "--", **filled}
        _line(axis, sorted(own, key=lambda cell: cell.layer), layers, unit, shift, line)
    axis.set_xticks(range(len(layers)), layers)
    axis.set_ylabel(f"test {unit.label}")
    tuned = [
        entry(name, color=BLACK, linestyle=line, marker="o", markerfacecolor=face)
        for name, line, face in (("frozen", "-", BLACK), ("full", "--", "white"))
        if any(tuning == name for _, tuning in pairs)
    ]
    legend_beside(axis, [*_models(cases, styles, {model for model, _ in pairs}), entry(""), entry("tuning:"), *tuned])
    caption(figure, "Mean over seeds; bars: interval of the test score. Models are moved apart within a block.")
    save(figure, path, 110)
    return True


def _point(axis: Any, cell: TrainedCell, unit: MetricFormat, colour: str, marker: str) -> None:
    """One case; a hatched marker is larger than others, or its lines could not be seen."""
    filled, hatch = cell.adaptation.tuning == "frozen", hatch_of(cell.record)
    axis.scatter(
        [cell.seconds],
        [cell.score.value * unit.factor],
        s=25 if hatch is None else 100,
        marker=marker,
        facecolor=colour if filled else "white",
        # Matplotlib draws the lines of a hatch in the colour of the edge.
        edgecolor=BLACK if filled and hatch else colour,
        hatch=hatch,
        zorder=2,
    )


def _line(
    axis: Any, cells: Sequence[TrainedCell], layers: Sequence[str], unit: MetricFormat, shift: float, style: Any
) -> None:
    places = [layers.index(cell.layer) + shift for cell in cells]
    axis.plot(places, [cell.score.value * unit.factor for cell in cells], marker="o", markersize=4.5, **style)
    for place, cell in zip(places, cells, strict=True):
        if cell.score.interval is not None:
            ends = [cell.score.interval.low * unit.factor, cell.score.interval.high * unit.factor]
            axis.plot([place, place], ends, color=style["color"], linewidth=1.0, alpha=0.45, zorder=1)


def _models(cases: TrainedCases, styles: Mapping[str, LineStyle], only: set[str] | None = None) -> list[Any]:
    """Entries of a legend: the models in their colours, controls last."""
    named = {cell.model: figure_name(cell.record) for cell in cases.cells if only is None or cell.model in only}
    ordered = sorted(named, key=lambda model: (styles[model].control, model))
    return [entry(named[model], marker="s", markersize=7, color=styles[model].colour) for model in ordered]


def _marks(cases: TrainedCases, heads: Sequence[str]) -> list[Any]:
    """Entries of a legend: the markers of decoders, filled for frozen backbones."""
    decoders = [entry(head, marker=marker_of(number), color=BLACK) for number, head in enumerate(heads)]
    frozen = {cell.adaptation.tuning == "frozen" for cell in cases.cells}
    tuned = [
        entry("tuned" if face == "white" else "frozen", marker="o", color=BLACK, markerfacecolor=face)
        for face in (BLACK, "white")
        if (face == BLACK) in frozen
    ]
    return [entry(""), entry("decoder:"), *decoders, entry(""), entry("backbone:"), *tuned]


def _fronts(lines: Mapping[float, str], first: Sequence[TrainedCell]) -> list[Any]:
    """Entries of a legend: the lines of the fronts, and the numbered cases of the first."""
    named = [
        entry(f"{percent(part)} of the labels", color=BLACK, linewidth=0.8, linestyle=line)
        for part, line in lines.items()
    ]
    cases = [entry(f"{n}  {cell.model}: {_words(cell)}") for n, cell in enumerate(first, start=1)]
    return [entry(""), entry("front at"), *named, *cases]


def _words(cell: TrainedCell) -> str:
    """Decoder, tuning and tap of a case: ``lightms up2, frozen, multi``."""
    adaptation: DenseAdaptation = cell.adaptation
    decoder = " ".join(part for part in (adaptation.head, adaptation.blocks, adaptation.variant) if part)
    return f"{decoder}, {adaptation.tuning}, {cell.layer}"


def _ticks_of_time(axis: Any) -> None:
    """Write a logarithmic axis of seconds in seconds, minutes and hours."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    ticks = {seconds: name for seconds, name in DURATIONS.items() if low <= seconds <= high}
    axis.set_xticks(list(ticks), list(ticks.values()))
    axis.set_xticks([], minor=True)


def _figure(title: str) -> tuple[Any, Any]:
    figure = new_figure((11, 5.5), title)
    axis = figure.subplots()
    plain(axis)
    return figure, axis
