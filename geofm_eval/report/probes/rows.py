"""Rows of the CSV files: raw values in full precision, one observation per row, the evidence class in every row."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.records import IntervalInfo, Score
from geofm_eval.report.formats import Row
from geofm_eval.report.probes.curves import DepthProfile, LabelCurve
from geofm_eval.report.wording import family, recipe_name
from geofm_eval.results.comparison import Comparison, Subject
from geofm_eval.results.leaderboard import Ranking, RankingRow
from geofm_eval.stats.difference import Difference


def ranking_rows(ranking: Ranking, catalog: Catalog) -> list[Row]:
    """One row per ranked model."""
    return [
        {
            "rank": row.rank,
            **_subject(ranking.comparison, row.subject),
            "family": family(row.subject.record, catalog),
            "fraction": float(ranking.comparison.full),
            "tap": row.chosen.tap,
            "candidates": row.chosen.candidates,
            "val_score": row.chosen.val_score,
            "val_loss": row.chosen.val_loss,
            "taps_within_one_se": None if row.again is None else len(row.again.near),
            "within_one_se": None if row.again is None else " ".join(row.again.near),
            "chosen_again": None if row.again is None else row.again.share[row.chosen.tap],
            **_score(row.chosen.score),
            "final": None if row.final is None else row.final.value,
            **_difference("gain", row.gain),
            "best_control": row.control,
            **_difference("over_control", row.over_control),
            **_errors(ranking.comparison, row.chosen.score),
            **_inputs(row),
        }
        for row in ranking.rows
    ]


def depth_rows(comparison: Comparison, profiles: Sequence[DepthProfile]) -> list[Row]:
    """One row per model and tap, shallow to deep."""
    return [
        {
            **_subject(comparison, profile.subject),
            "fraction": float(comparison.full),
            "tap": point.tap,
            "position": position,
            "chosen": point.chosen,
            "val_score": point.val_score,
            **_score(point.score),
        }
        for profile in profiles
        for position, point in enumerate(profile.points)
    ]


def label_rows(comparison: Comparison, curves: Sequence[LabelCurve]) -> list[Row]:
    """One row per model, label fraction and draw."""
    return [
        {
            **_subject(comparison, curve.subject),
            "fraction": point.fraction,
            "draw": draw,
            "draw_score": value,
            "tap": point.tap,
            "candidates": point.candidates,
            "val_score": point.val_score,
            **_score(point.score),
        }
        for curve in curves
        for point in curve.points
        for draw, value in enumerate(point.score.per_draw)
    ]


def _subject(comparison: Comparison, subject: Subject) -> Row:
    case = comparison.record.case
    return {
        "evidence": comparison.record.evidence,
        "task": case.task,
        "task_version": case.task_version,
        "adaptation": case.adaptation,
        "model": subject.model,
        "control": subject.is_control,
    }


def _score(score: Score) -> Row:
    interval = score.interval
    return {
        "metric": score.metric,
        "score": score.value,
        **_interval(interval),
        "n": score.n,
        "n_train": score.n_train,
        "draws": len(score.per_draw),
    }


def _errors(comparison: Comparison, score: Score) -> Row:
    """Companions of R2; nothing for other metrics."""
    if score.metric != "r2":
        return {}
    return {
        "rmse": score.extra.get("rmse"),
        "target_unit": comparison.record.provenance.target_unit,
        "mean_r2": score.extra.get("mean_r2"),
        "neuco_q": score.extra.get("neuco_q"),
    }


def _interval(interval: IntervalInfo | None) -> Row:
    return {
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "level": None if interval is None else interval.level,
        "interval_covers": None if interval is None else interval.covers,
    }


def _difference(name: str, difference: Difference | None) -> Row:
    return {
        name: None if difference is None else difference.value,
        f"{name}_low": None if difference is None else difference.low,
        f"{name}_high": None if difference is None else difference.high,
    }


def _inputs(row: RankingRow) -> Row:
    source = row.subject.record.provenance
    inputs = source.inputs
    return {
        "real_bands": None if inputs is None else len(inputs.real_bands),
        "expected_bands": None if inputs is None else len(inputs.expected_bands),
        "filled_bands": None if inputs is None else " ".join(inputs.filled_bands),
        "masked_bands": None if inputs is None else " ".join(inputs.masked_bands),
        "product_mismatch": None if inputs is None else inputs.product_mismatch,
        "pooling": source.pooling,
        "recipe": None if source.recipe is None else recipe_name(row.subject.record),
        "weights_sha256": source.weights_sha256,
    }
