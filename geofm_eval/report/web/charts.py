"""Charts of the page as Vega-Lite specifications."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from geofm_eval.answer import TaskAnswer
from geofm_eval.records import Record
from geofm_eval.report.answer.one_task import unit_of_answer
from geofm_eval.report.probes.curves import DepthProfile, LabelCurve, depth_profiles, label_curves
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.results.leaderboard import Ranking
from geofm_eval.results.units import SIMULATED, MetricFormat, unit_named

Spec = dict[str, Any]
"""A chart in the grammar of Vega-Lite 6."""

HEIGHT = 200
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"


def depth_chart(answer: TaskAnswer, styles: Mapping[str, LineStyle]) -> Spec | None:
    """Score over relative depth, one line per model, with the best control as a band; None without depth.

    Rings mark chosen taps. The horizontal axis is the position of a tap between the first and ``final``.
    """
    if answer.ranking is None:
        return None
    unit, profiles = unit_of_answer(answer), depth_profiles(answer.ranking)
    deep = [profile for profile in profiles if len(profile.points) > 1]
    if not deep:
        return None
    values = [point for profile in deep for point in _depth_points(profile, unit)]
    x = _axis("depth", "relative depth", scale={"domain": [0, 1]})
    y = _axis("score", unit.label, scale={"zero": False})
    tips = _tips("model", "tap", "shown")
    line = {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": {"x": x, "y": y, **_by_model(deep, styles)}}
    layers = [*_control_layers(answer, profiles, unit), line, *_rings(x, y, tips, deep, styles)]
    return _chart(answer.setting.record, values, layers)


def label_chart(answer: TaskAnswer, styles: Mapping[str, LineStyle]) -> Spec | None:
    """Score at the chosen tap over the label fraction; None with a single fraction."""
    ranking = answer.ranking
    if ranking is None or len(ranking.comparison.fractions) < 2:
        return None
    unit, curves = unit_of_answer(answer), label_curves(ranking)
    values = [point for curve in curves for point in _label_points(curve, unit)]
    x = _axis("labels", "labels (%)", scale={"type": "log"}, axis={"values": _fractions(ranking)})
    y = _axis("score", unit.label, scale={"zero": False})
    encoding = {"x": x, "y": y, **_by_model(curves, styles), "tooltip": _tips("model", "tap", "shown")}
    layers = [{"mark": {"type": "line", "strokeWidth": 1.6, "point": {"size": 25}}, "encoding": encoding}]
    return _chart(answer.setting.record, values, layers)


def change_chart(record: Record, fraction: str, profiles: Mapping[str, DepthProfile], colour: str) -> Spec:
    """Score over relative depth of one model with old weights (dashed) and new ones (solid).

    Args:
        record: any record of the model, for task, metric and evidence.
        fraction: label fraction of the profiles.
        profiles: by the name of the run, that with the old weights first.
        colour: of the model.
    """
    unit = unit_named(record.scores[fraction].metric, record.provenance.target_unit)
    values = [{**point, "run": run} for run, one in profiles.items() for point in _depth_points(one, unit)]
    x = _axis("depth", "relative depth", scale={"domain": [0, 1]})
    y = _axis("score", unit.label, scale={"zero": False})
    dash = {
        "field": "run", "type": "nominal", "title": None,
        "scale": {"domain": list(profiles), "range": [[4, 4], [1, 0]]},
        "legend": {"orient": "bottom", "symbolType": "stroke", "symbolStrokeColor": colour, "symbolSize": 400},
    }  # fmt: skip
    line = {
        "mark": {"type": "line", "strokeWidth": 1.6, "color": colour},
        "encoding": {"x": x, "y": y, "strokeDash": dash},
    }
    place = {"x": x, "y": y, "detail": {"field": "run"}, "tooltip": _tips("run", "tap", "shown")}
    point = {"mark": {"type": "point", "filled": True, "size": 18, "color": colour}, "encoding": place}
    ring = {
        "transform": [{"filter": "datum.chosen"}],
        "mark": {"type": "point", "filled": False, "size": 110, "strokeWidth": 2, "color": colour},
        "encoding": place,
    }
    return _chart(record, values, [line, point, ring], f"{record.case.model}, ")


def _chart(record: Record, values: list[dict[str, Any]], layers: list[Spec], what: str = "") -> Spec:
    """A chart with a title that says if the data are simulated."""
    simulated = record.evidence == "simulated"
    words = {
        "text": f"{what}{record.case.task}: {record.case.adaptation}",
        **({"subtitle": SIMULATED} if simulated else {}),
        "anchor": "start",
        "fontSize": 12,
        "limit": 310,
    }
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": HEIGHT,
        "title": words,
        "data": {"values": values},
        "layer": layers,
    }


def _axis(field: str, title: str, scale: Spec, axis: Spec | None = None) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": scale,
        "axis": {"tickCount": 5, "labelFlush": False, **(axis or {})},
    }


def _tips(*fields: str) -> list[Spec]:
    titles = {"shown": "score"}
    return [{"field": field, "type": "nominal", "title": titles.get(field, field)} for field in fields]


def _by_model(shown: Sequence[DepthProfile | LabelCurve], styles: Mapping[str, LineStyle]) -> Spec:
    """Colour and dash of every model, without a legend: the page has one for all charts."""
    models = sorted({one.subject.model for one in shown})
    own = [styles[model] for model in models]
    scales = {"color": [one.colour for one in own], "strokeDash": [list(one.dash) for one in own]}
    return {
        channel: {
            "field": "model", "type": "nominal", "legend": None, "scale": {"domain": models, "range": values},
        }
        for channel, values in scales.items()
    }  # fmt: skip


def _rings(
    x: Spec, y: Spec, tips: list[Spec], deep: Sequence[DepthProfile], styles: Mapping[str, LineStyle]
) -> list[Spec]:
    """Points with tooltips, and rings around chosen taps."""
    colour = {"color": _by_model(deep, styles)["color"]}
    points = {
        "mark": {"type": "point", "filled": True, "size": 18},
        "encoding": {"x": x, "y": y, **colour, "tooltip": tips},
    }
    rings = {
        "transform": [{"filter": "datum.chosen"}],
        "mark": {"type": "point", "filled": False, "size": 90, "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y, **colour, "tooltip": tips},
    }
    return [points, rings]


def _control_layers(answer: TaskAnswer, profiles: Sequence[DepthProfile], unit: MetricFormat) -> list[Spec]:
    """The interval and the score of the best control, over the whole depth."""
    entry = answer.setting.by_model.get(answer.setting.control or "")
    if entry is None:
        return []
    score, interval = entry.score, entry.score.interval
    low, high = (score.value, score.value) if interval is None else (interval.low, interval.high)
    band = {
        "low": _shown(low, unit), "high": _shown(high, unit), "score": _shown(score.value, unit),
        "model": f"{entry.model} (best control)", "tap": entry.record.case.layer, "shown": unit.score(score),
    }  # fmt: skip
    tips, data = _tips("model", "tap", "shown"), {"values": [band]}
    area = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}, "tooltip": tips}
    rule = {"y": {"field": "score", "type": "quantitative"}, "tooltip": tips}
    return [
        {"data": data, "mark": {"type": "rect", "color": "#888888", "opacity": 0.18}, "encoding": area},
        {"data": data, "mark": {"type": "rule", "color": "#888888", "strokeDash": [4, 4]}, "encoding": rule},
    ]


def _depth_points(profile: DepthProfile, unit: MetricFormat) -> list[dict[str, Any]]:
    last = len(profile.points) - 1
    return [
        {
            "model": profile.subject.model,
            "tap": point.tap,
            "depth": round(number / last, 4),
            "score": _shown(point.score.value, unit),
            "shown": unit.score(point.score),
            "chosen": point.chosen,
        }
        for number, point in enumerate(profile.points)
    ]


def _label_points(curve: LabelCurve, unit: MetricFormat) -> list[dict[str, Any]]:
    return [
        {
            "model": curve.subject.model,
            "tap": chosen.words,
            "labels": 100 * fraction,
            "score": _shown(chosen.score.value, unit),
            "shown": unit.score(chosen.score),
        }
        for fraction, chosen in sorted(curve.points.items())
    ]


def _fractions(ranking: Ranking) -> list[float]:
    return [100 * float(fraction) for fraction in ranking.comparison.fractions]


def _shown(value: float, unit: MetricFormat) -> float:
    """A value in the unit of tables, with one decimal more than they have."""
    scaled = round(value * unit.factor, unit.decimals + 1)
    if unit.floor is not None and math.isfinite(unit.floor):
        scaled = max(scaled, unit.floor * unit.factor)
    return scaled
