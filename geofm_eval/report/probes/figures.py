"""Figures of one comparison: depth profile and label efficiency."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofm_eval.catalog import Catalog
from geofm_eval.records import Score, figure_name
from geofm_eval.report.drawing import caption, entry, hatch_of, marker_of, new_figure, plain, save
from geofm_eval.report.probes.curves import DepthProfile, LabelCurve
from geofm_eval.report.web.palette import LineStyle, styles_of
from geofm_eval.report.wording import heading
from geofm_eval.results.comparison import Comparison, Subject
from geofm_eval.results.units import MetricFormat, of_labels, share_of_labels, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_GAP = 0.165
"""Least distance between two direct labels, in inches."""

MARGINS = 1.4
"""Height that title, ticks and caption take, in inches."""

LEADERS = 2
"""Models with a band and a thick line, the first of the ranking: bands of all would cover each other."""

SPAN = 0.2
"""Least height of a panel of the overview, as a share of the unit's scale: noise shall not fill a panel."""

CONTROLS = "Thin and dashed: controls; a random twin has the colour of its model."
BEST = f"of the first {LEADERS} models of the ranking"
DEPTH_CAPTION = f"Ringed: tap chosen on validation. Shaded: 95 % interval of the test score, {BEST}. {CONTROLS}"
OVERVIEW_CAPTION = f"Ringed: tap chosen on validation, with its 95 % interval. {CONTROLS}"
LABEL_CAPTION = f"Lines: {{}}at the tap chosen on validation at that fraction. Shaded: {{}}, {BEST}. {CONTROLS}"
DRAWS, SHUFFLES = ("mean over label draws ", "lowest to highest draw"), ("all shuffle splits pooled, ", "95 % interval")


def depth_figure(
    comparison: Comparison,
    profiles: Sequence[DepthProfile],
    catalog: Catalog,
    styles: Mapping[str, LineStyle],
    path: Path,
) -> None:
    """Draw test score over depth, one panel per set of taps; a control of one tap is a level line in every panel."""
    unit = unit_of(comparison)
    levels = [profile for profile in profiles if len(profile.points) == 1]
    curved = [profile for profile in profiles if len(profile.points) > 1]
    panels = sorted({profile.taps for profile in curved}, key=len) or [levels[0].taps]
    what = f"test {unit.label} by depth, {of_labels(comparison.record.scores, comparison.full)}"
    names = max(sum(p.taps == taps for p in curved) for taps in panels) + len(levels)
    figure, axes = _figure([len(taps) for taps in panels], names, heading(comparison, catalog, what), DEPTH_CAPTION)
    lines = _lines([profile.subject for profile in profiles], styles)
    leaders = _leaders([profile.subject for profile in profiles])
    for axis, taps in zip(axes, panels, strict=True):
        ends = [
            _draw_profile(axis, p, unit, lines[p.subject.model], shaded=p.subject.model in leaders)
            for p in curved
            if p.taps == taps
        ]
        ends += [_draw_level(axis, p, unit, lines[p.subject.model], len(taps)) for p in levels]
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
    subjects = {p.subject.model: p.subject for _, profiles in tasks for p in profiles}
    lines = _lines([subjects[model] for model in sorted(subjects)], styles_of(s.record for s in subjects.values()))
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axis, (comparison, profiles) in zip(axes, tasks, strict=True):
        _draw_task(axis, comparison, profiles, lines)
    level = {p.subject.model for _, profiles in tasks for p in profiles if len(p.points) == 1}
    named = [entry(model, **line) for model, line in lines.items() if model not in level]
    figure.legend(handles=named, loc="outside right center", fontsize=8, frameon=False, handlelength=3.0)
    save(figure, path, 110)


def _draw_task(axis: Any, comparison: Comparison, profiles: Sequence[DepthProfile], lines: Mapping[str, Any]) -> None:
    """One panel of the overview; models of one tap are named at the right end of their level line."""
    unit = unit_of(comparison)
    taps = max((profile.taps for profile in profiles), key=len)
    ends = []
    for profile in profiles:
        line = lines[profile.subject.model]
        if len(profile.points) == 1:
            ends.append(_draw_level(axis, profile, unit, line, len(taps)))
        else:
            _draw_profile(axis, profile, unit, line)
            _draw_interval(axis, profile, unit, line["color"])
    axis.set_xticks(range(len(taps)), [tap.removeprefix("block") for tap in taps], rotation=90, fontsize=8)
    axis.set_xlim(-0.3, len(taps) - 0.7)
    axis.set_title(comparison.record.case.task, fontsize=10, loc="left")
    axis.set_ylabel(f"test {unit.label}")
    low, high = axis.get_ylim()
    missing = max(0.0, SPAN * unit.factor - (high - low)) / 2
    axis.set_ylim(low - missing, high + missing)
    plain(axis)
    _label_ends(axis, ends)


def label_figure(
    comparison: Comparison, curves: Sequence[LabelCurve], catalog: Catalog, styles: Mapping[str, LineStyle], path: Path
) -> None:
    """Draw test score over the number of labelled training items, on a logarithmic axis."""
    unit = unit_of(comparison)
    title = heading(comparison, catalog, f"test {unit.label} by number of labels")
    shuffled = comparison.record.provenance.protocol == "shuffle_splits"
    drawn = [curve for curve in curves if curve.points]
    figure, axes = _figure([12], len(drawn), title, LABEL_CAPTION.format(*(SHUFFLES if shuffled else DRAWS)))
    lines, leaders = _lines([c.subject for c in curves], styles), _leaders([c.subject for c in drawn])
    axes[0].set_xscale("log")
    axes[0].ends = [
        _draw_curve(axes[0], curve, unit, lines[curve.subject.model], shaded=curve.subject.model in leaders)
        for curve in drawn
    ]
    shares = {float(key): share_of_labels(comparison.record.scores, key) for key in comparison.fractions}
    ticks = {p.score.n_train: f"{p.score.n_train}\n({shares[part]})" for c in drawn for part, p in c.points.items()}
    axes[0].set_xticks(list(ticks), list(ticks.values()))
    axes[0].set_xticks([], minor=True)
    axes[0].set_xlabel("labelled training items (share of all)")
    _finish(figure, axes, unit, path)


def _figure(widths: list[int], names: int, title: str, text: str) -> "tuple[Figure, list[Any]]":
    """One row of panels with a common vertical axis, high enough for this many names at the ends of lines."""
    width, height = max(8.0, 2.4 * len(widths) + 0.42 * sum(widths)), max(5.0, MARGINS + LABEL_GAP * names)
    figure = new_figure((width, height), title, 11)
    axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=[count + 3 for count in widths])
    caption(figure, text)
    return figure, list(axes[0])


def _lines(subjects: Sequence[Subject], styles: Mapping[str, LineStyle]) -> dict[str, dict[str, Any]]:
    """Keywords of the line of every model: its style, and a marker of its own for every control."""
    controls = [subject.model for subject in subjects if subject.is_control]
    return {
        subject.model: {
            **styles[subject.model].line,
            "marker": marker_of(1 + controls.index(subject.model)) if subject.is_control else "o",
            "markersize": 4,
        }
        for subject in subjects
    }


def _leaders(subjects: Sequence[Subject]) -> list[str]:
    """The first models of a ranking, without controls."""
    return [subject.model for subject in subjects if not subject.is_control][:LEADERS]


def _draw_profile(
    axis: "Axes", profile: DepthProfile, unit: MetricFormat, style: dict[str, Any], *, shaded: bool = False
) -> tuple[str, float, str]:
    x = range(len(profile.points))
    y = [point.score.value * unit.factor for point in profile.points]
    axis.plot(x, y, **_thick(style, shaded))
    intervals = [point.score.interval for point in profile.points]
    if shaded and all(interval is not None for interval in intervals):
        low = [interval.low * unit.factor for interval in intervals if interval is not None]
        high = [interval.high * unit.factor for interval in intervals if interval is not None]
        _shade(axis, x, low, high, profile.subject, style["color"])
    ringed = [position for position, point in enumerate(profile.points) if point.chosen]
    ring = {
        "markersize": 11,
        "markerfacecolor": "none",
        "markeredgewidth": 1.8,
        "color": style["color"],
        "clip_on": False,
    }
    axis.plot(ringed, [y[position] for position in ringed], "o", **ring)
    return figure_name(profile.subject.record), y[-1], style["color"]


def _draw_interval(axis: "Axes", profile: DepthProfile, unit: MetricFormat, colour: str) -> None:
    """A bar over the interval at the chosen tap."""
    for place, point in enumerate(profile.points):
        interval = point.score.interval
        if point.chosen and interval is not None:
            axis.vlines(place, interval.low * unit.factor, interval.high * unit.factor, color=colour, linewidth=1.0)


def _thick(style: dict[str, Any], leads: bool) -> dict[str, Any]:
    return {**style, "linewidth": 2.6, "zorder": 4} if leads else style


def _draw_level(
    axis: "Axes", profile: DepthProfile, unit: MetricFormat, style: dict[str, Any], taps: int
) -> tuple[str, float, str]:
    value = profile.points[0].score.value * unit.factor
    axis.plot([-0.3, taps - 0.7], [value, value], **{**style, "marker": ""})
    return figure_name(profile.subject.record), value, style["color"]


def _draw_curve(
    axis: "Axes", curve: LabelCurve, unit: MetricFormat, style: dict[str, Any], *, shaded: bool
) -> tuple[str, float, str]:
    scores = [point.score for point in curve.points.values()]
    x, y = [score.n_train for score in scores], [score.value * unit.factor for score in scores]
    axis.plot(x, y, **_thick(style, shaded))
    if shaded:
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
        _label_ends(axis, [(model, max(end, low), colour) for model, end, colour in axis.ends])
    save(figure, path, 110)


def _label_ends(axis: Any, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write each model's name at the right end of its line, moved apart where two would overlap."""
    low, high = axis.get_ylim()
    gap = (high - low) * LABEL_GAP / (axis.figure.get_size_inches()[1] - MARGINS)
    ordered = sorted(ends, key=lambda end: end[1])
    places = spread([value for _, value, _ in ordered], gap)
    margin = axis.get_yaxis_transform()
    names = []
    for (model, value, colour), place in zip(ordered, places, strict=True):
        names.append(axis.text(1.035, place, model, transform=margin, va="center", fontsize=8.5, color=colour))
        thin = {"linewidth": 0.6, "color": colour, "transform": margin, "clip_on": False}
        axis.plot([1.0, 1.03], [value, place], **thin)
    axis.set_ylim(low, high)
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
