"""CSV of probes: raw values in full precision, one observation per row, the evidence class in every row."""

from collections.abc import Sequence

from geofm_eval.records import Record, Score
from geofm_eval.report.formats import Row, attributes, described
from geofm_eval.report.probes.curves import DepthProfile, LabelCurve
from geofm_eval.report.wording import recipe_name
from geofm_eval.results.comparison import Comparison

CASE = "evidence task task_version adaptation"


def depth_rows(comparison: Comparison, profiles: Sequence[DepthProfile]) -> list[Row]:
    """One row per model and tap, shallow to deep."""
    return [
        {
            **described(profile.subject.record, f"{CASE} model control"),
            "fraction": float(comparison.full),
            "tap": point.tap,
            "position": position,
            **attributes(point, "chosen val_score"),
            **score_fields(point.score),
        }
        for profile in profiles
        for position, point in enumerate(profile.points)
    ]


def label_rows(curves: Sequence[LabelCurve]) -> list[Row]:
    """One row per model, label fraction and draw."""
    return [
        {
            **described(curve.subject.record, f"{CASE} model control"),
            "fraction": fraction,
            "draw": draw,
            "draw_score": value,
            **attributes(point, "tap candidates val_score"),
            **score_fields(point.score),
        }
        for curve in curves
        for fraction, point in curve.points.items()
        for draw, value in enumerate(point.score.per_draw)
    ]


def score_fields(score: Score) -> Row:
    """A score with its interval and what it rests on."""
    return {
        **attributes(score, "metric", score="value"),
        **attributes(score.interval, "low high level", interval_covers="covers"),
        **attributes(score, "n n_train"),
        "draws": len(score.per_draw),
    }


def error_fields(comparison: Comparison, score: Score) -> Row:
    """Companions of R2; nothing for other metrics."""
    if score.metric != "r2":
        return {}
    known = {name: score.extra.get(name) for name in ("rmse", "mean_r2", "neuco_q")}
    return {"rmse": known.pop("rmse"), "target_unit": comparison.record.provenance.target_unit, **known}


def input_fields(record: Record) -> Row:
    """Bands, pooling, recipe and weights of a record."""
    source, inputs = record.provenance, record.provenance.inputs
    return {
        "real_bands": None if inputs is None else len(inputs.real_bands),
        "expected_bands": None if inputs is None else len(inputs.expected_bands),
        "filled_bands": None if inputs is None else " ".join(inputs.filled_bands),
        "masked_bands": None if inputs is None else " ".join(inputs.masked_bands),
        "product_mismatch": None if inputs is None else inputs.product_mismatch,
        "pooling": source.pooling,
        "recipe": None if source.recipe is None else recipe_name(record),
        "weights_sha256": source.weights_sha256,
    }
