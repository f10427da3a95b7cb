"""Figures of one comparison: depth profile and label efficiency."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofm_eval.catalog import Catalog
from geofm_eval.records import Score, figure_name
from geofm_eval.report.drawing import GREY, caption, hatch_of, look, new_figure, plain, save
from geofm_eval.report.probes.curves import DepthProfile, LabelCurve
from geofm_eval.report.wording import heading
from geofm_eval.results.comparison import Comparison, Subject
from geofm_eval.results.units import MetricFormat, of_labels, share_of_labels, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_GAP = 0.045
"""Least distance between two direct labels, as a share of the axis height."""

DEPTH_CAPTION = "Ringed: tap chosen on validation. Shaded: 95 % interval of the test score. Dashed grey: controls."
OVERVIEW_CAPTION = "Ringed: tap chosen on validation. Dashed grey: controls. Intervals: in the tables."
LABEL_CAPTION = "Lines: {}at the tap chosen on validation at that fraction. Shaded: {}. Dashed grey: controls."
DRAWS, SHUFFLES = ("mean over label draws ", "lowest to highest draw"), ("all shuffle splits pooled, ", "95 % interval")


def depth_figure(comparison: Comparison, profiles: Sequence[DepthProfile], catalog: Catalog, path: Path) -> None:
    """Draw test score over depth, one panel per set of taps; a control of one tap is a level line in every panel."""
    unit = unit_of(comparison)
    levels = [profile for profile in profiles if len(profile.points) == 1]
    curved = [profile for profile in profiles if len(profile.points) > 1]
    panels = sorted({profile.taps for profile in curved}, key=len) or [levels[0].taps]
    what = f"test {unit.label} by depth, {of_labels(comparison.record.scores, comparison.full)}"
    figure, axes = _figure([len(taps) for taps in panels], heading(comparison, catalog, what), DEPTH_CAPTION)
    styles = _styles([profile.subject for profile in profiles])
    for axis, taps in zip(axes, panels, strict=True):
        ends = [_draw_profile(axis, p, unit, styles[p.subject.model]) for p in curved if p.taps == taps]
        ends += [_draw_level(axis, p, unit, styles[p.subject.model], len(taps)) for p in levels]
        axis.set_xticks(range(len(taps)), taps, rotation=45, ha="right")
        axis.set_xlim(-0.3, len(taps) - 0.7)
        axis.set_xlabel("tap, shallow to deep")
        axis.ends = ends
    _finish(figure, axes, unit, path)


def overview_figure(tasks: Sequence[tuple[Comparison, Sequence[DepthProfile]]], title: str, path: Path) -> None:
    """Draw test score over depth for several tasks side by side, each with its own metric; one legend for all.

    Args:
        tasks: what to draw, one panel each, with profiles of the same models.
        title: what all of them are.
        path: PNG file to write.
    """
    figure = new_figure((4.2 * len(tasks), 4.6), title, 11)
    caption(figure, OVERVIEW_CAPTION)
    models = {p.subject.model: p.subject for _, profiles in tasks for p in profiles}
    styles = _styles([models[slug] for slug in sorted(models)])
    for axis, (comparison, profiles) in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        unit = unit_of(comparison)
        taps = max((profile.taps for profile in profiles), key=len)
        for profile in profiles:
            style = styles[profile.subject.model]
            if len(profile.points) == 1:
                model, height, colour = _draw_level(axis, profile, unit, style, len(taps))
                axis.annotate(model, (-0.3, height), (0, 2), textcoords="offset points", fontsize=8, color=colour)
            else:
                _draw_profile(axis, profile, unit, style, shaded=False)
        axis.set_xticks(range(len(taps)), [tap.removeprefix("block") for tap in taps], rotation=90, fontsize=8)
        axis.set_title(comparison.record.case.task, fontsize=10, loc="left")
        axis.set_ylabel(f"test {unit.label}")
        plain(axis)
    _legend(figure, styles, {p.subject.model for _, profiles in tasks for p in profiles if len(p.points) == 1})
    save(figure, path, 110)


def _legend(figure: "Figure", styles: dict[str, dict[str, Any]], level: Collection[str]) -> None:
    """Name the curves; models in ``level`` are named at their lines."""
    from matplotlib.lines import Line2D

    curved = {model: style for model, style in styles.items() if model not in level}
    lines = [Line2D([], [], label=model, markersize=4, **style) for model, style in curved.items()]
    figure.legend(handles=lines, loc="outside right upper", fontsize=8, frameon=False)


def label_figure(comparison: Comparison, curves: Sequence[LabelCurve], catalog: Catalog, path: Path) -> None:
    """Draw test score over the number of labelled training items, on a logarithmic axis."""
    unit = unit_of(comparison)
    title = heading(comparison, catalog, f"test {unit.label} by number of labels")
    shuffled = comparison.record.provenance.protocol == "shuffle_splits"
    figure, axes = _figure([12], title, LABEL_CAPTION.format(*(SHUFFLES if shuffled else DRAWS)))
    styles = _styles([curve.subject for curve in curves])
    drawn = [curve for curve in curves if curve.points]
    axes[0].set_xscale("log")
    axes[0].ends = [_draw_curve(axes[0], curve, unit, styles[curve.subject.model]) for curve in drawn]
    shares = {float(key): share_of_labels(comparison.record.scores, key) for key in comparison.fractions}
    ticks = {p.score.n_train: f"{p.score.n_train}\n({shares[part]})" for c in drawn for part, p in c.points.items()}
    axes[0].set_xticks(list(ticks), list(ticks.values()))
    axes[0].set_xticks([], minor=True)
    axes[0].set_xlabel("labelled training items (share of all)")
    _finish(figure, axes, unit, path)


def _figure(widths: list[int], title: str, text: str) -> "tuple[Figure, list[Any]]":
    """One row of panels with a common vertical axis."""
    figure = new_figure((max(8.0, 2.4 * len(widths) + 0.42 * sum(widths)), 5.0), title, 11)
    axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=[count + 3 for count in widths])
    caption(figure, text)
    return figure, list(axes[0])


def _styles(subjects: Sequence[Subject]) -> dict[str, dict[str, Any]]:
    """Line style per model: a colour each for models, dashed grey and a marker each for controls."""
    styles: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        number = sum(s.is_control == subject.is_control for s in subjects[: len(styles)])
        if subject.is_control:
            changes = {"color": GREY, "linestyle": "--", "linewidth": 1.3, "zorder": 2}
        else:
            changes = {"marker": "o", "linestyle": "-", "linewidth": 2.0, "zorder": 3}
        styles[subject.model] = {**look(number), **changes}
    return styles


def _draw_profile(
    axis: "Axes", profile: DepthProfile, unit: MetricFormat, style: dict[str, Any], *, shaded: bool = True
) -> tuple[str, float, str]:
    x = range(len(profile.points))
    y = [point.score.value * unit.factor for point in profile.points]
    axis.plot(x, y, markersize=4, **style)
    intervals = [point.score.interval for point in profile.points]
    shaded = shaded and not profile.subject.is_control
    if shaded and all(interval is not None for interval in intervals):
        low = [interval.low * unit.factor for interval in intervals if interval is not None]
        high = [interval.high * unit.factor for interval in intervals if interval is not None]
        _shade(axis, x, low, high, profile.subject, style["color"])
    ringed = [position for position, point in enumerate(profile.points) if point.chosen]
    ring = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 1.8, "color": style["color"]}
    axis.plot(ringed, [y[position] for position in ringed], "o", **ring)
    return figure_name(profile.subject.record), y[-1], style["color"]


def _draw_level(
    axis: "Axes", profile: DepthProfile, unit: MetricFormat, style: dict[str, Any], taps: int
) -> tuple[str, float, str]:
    value = profile.points[0].score.value * unit.factor
    axis.plot([-0.3, taps - 0.7], [value, value], **{**style, "marker": ""})
    return figure_name(profile.subject.record), value, style["color"]


def _draw_curve(axis: "Axes", curve: LabelCurve, unit: MetricFormat, style: dict[str, Any]) -> tuple[str, float, str]:
    scores = [point.score for point in curve.points.values()]
    x, y = [score.n_train for score in scores], [score.value * unit.factor for score in scores]
    axis.plot(x, y, markersize=4.5, **style)
    low, high = zip(*(_spread_of_draws(score, unit) for score in scores), strict=True)
    _shade(axis, x, low, high, curve.subject, style["color"])
    return figure_name(curve.subject.record), y[-1], style["color"]


def _shade(
    axis: "Axes", x: Sequence[float], low: Sequence[float], high: Sequence[float], subject: Subject, colour: str
) -> None:
    outline = [*x, *reversed(x)], [*low, *reversed(high)]
    axis.fill(*outline, color=colour, alpha=0.14, linewidth=0, hatch=hatch_of(subject.record))


def _spread_of_draws(score: Score, unit: MetricFormat) -> tuple[float, float]:
    """Lowest and highest draw; of shuffle splits, whose small test sets scatter far more, the interval."""
    interval = score.interval
    if interval is not None and interval.covers == "shuffle splits":
        return interval.low * unit.factor, interval.high * unit.factor
    return min(score.per_draw) * unit.factor, max(score.per_draw) * unit.factor


def _finish(figure: "Figure", axes: Sequence[Any], unit: MetricFormat, path: Path) -> None:
    axes[0].set_ylabel(f"test {unit.label}")
    low, high = axes[0].get_ylim()
    if unit.floor is not None and low < unit.floor < high:
        # A few labels can give any negative R2; drawn in full, all other lines would lie on one another.
        low, high = unit.floor, min(high, 1.05)
        axes[0].set_ylim(low, high)
        axes[0].set_ylabel(f"test {unit.label}, cut at {low:g}")
    for axis in axes:
        plain(axis)
        axis.set_axisbelow(True)
        _label_ends(
            axis, [(model, max(end, low), colour) for model, end, colour in axis.ends], (high - low) * LABEL_GAP
        )
    save(figure, path, 110)


def _label_ends(axis: "Axes", ends: Sequence[tuple[str, float, str]], gap: float) -> None:
    """Write each model's name at the right end of its line, moved apart where two would overlap."""
    ordered = sorted(ends, key=lambda end: end[1])
    places = spread([value for _, value, _ in ordered], gap)
    margin = axis.get_yaxis_transform()
    names = [
        axis.text(1.01, place, model, transform=margin, va="center", fontsize=8.5, color=colour)
        for (model, _, colour), place in zip(ordered, places, strict=True)
    ]
    # The layout leaves room for these three, and hence for all others, whose sizes need not be found.
    widest = max(names, key=lambda name: len(name.get_text()), default=None)
    for name in names:
        name.set_in_layout(name in (widest, *names[:1], *names[-1:]))


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move ascending values apart until neighbours are ``gap`` away, each cluster staying around its mean.

    ``spread([1.0, 1.0, 5.0], 1.0)`` gives ``[0.5, 1.5, 5.0]``.
    """
    clusters: list[list[float]] = []
    for value in values:
        clusters.append([value])
        while len(clusters) > 1 and _span(clusters[-2], gap)[1] + gap > _span(clusters[-1], gap)[0]:
            last = clusters.pop()
            clusters[-1] += last
    return [_span(cluster, gap)[0] + gap * position for cluster in clusters for position in range(len(cluster))]


def _span(cluster: Sequence[float], gap: float) -> tuple[float, float]:
    centre, half = sum(cluster) / len(cluster), gap * (len(cluster) - 1) / 2
    return centre - half, centre + half
