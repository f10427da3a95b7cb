"""Rankings as rows of numbers: in full precision, the evidence class in every row."""

from collections.abc import Sequence

from geofm_eval.findings.rankings import points
from geofm_eval.ranking import Ordering, Setting
from geofm_eval.report.formats import Row
from geofm_eval.report.ranks.over_settings import AcrossSettings, Overview


def rank_rows(orders: Sequence[Ordering]) -> list[Row]:
    """One row per setting and model, best first."""
    rows: list[Row] = []
    for one in orders:
        for entry in one.setting.entries:
            score, standing = entry.score, one.standings.get(entry.model)
            rows.append(
                {
                    **_setting(one.setting),
                    "model": entry.model,
                    "control": entry.is_control,
                    "metric": score.metric,
                    "score": score.value,
                    "low": None if score.interval is None else score.interval.low,
                    "high": None if score.interval is None else score.interval.high,
                    "rank": one.setting.rank(entry),
                    "median_rank": None if standing is None else standing.median,
                    "rank_low": None if standing is None else standing.low,
                    "rank_high": None if standing is None else standing.high,
                    "clear_rank_low": None if standing is None else standing.clear[0],
                    "clear_rank_high": None if standing is None else standing.clear[1],
                    "group": None if standing is None else standing.group,
                    "p_best": None if standing is None else standing.best,
                    "left_out": one.without.get(entry.model),
                }
            )
    return rows


def pair_rows(orders: Sequence[Ordering]) -> list[Row]:
    """One row per setting and pair of models: first minus second, in the metric's own unit."""
    return [
        {
            **_setting(one.setting),
            "first": pair.first,
            "second": pair.second,
            "metric": one.setting.score.metric,
            "difference": pair.difference.value,
            "low": pair.difference.low,
            "high": pair.difference.high,
            "freedom": pair.difference.freedom,
            "holm_p": pair.p,
            "p_above": pair.above,
        }
        for one in orders
        for pair in one.pairs
    ]


def over_rows(found: Overview) -> dict[str, list[Row]]:
    """Rows of numbers over settings, by the end of the name of their file; what has no row is left out."""
    made = {"": summary_rows(found), "-changes": change_rows(found), "-agreement": agreement_rows(found)}
    return {suffix: rows for suffix, rows in made.items() if rows}


def change_rows(found: Overview) -> list[Row]:
    """One row per pair of backbones and setting: first minus second in points, more being better."""
    rows: list[Row] = []
    for over in found.over:
        for rivalry in over.rivals:
            for met in rivalry.meetings:
                difference = points(met)
                rows.append(
                    {
                        **_over(over),
                        "first": rivalry.first,
                        "second": rivalry.second,
                        "setting": met.setting.name,
                        "data": met.data,
                        "points": difference.value,
                        "low": difference.low,
                        "high": difference.high,
                        "statistic": met.statistic,
                        "holm_p_of_no_change": rivalry.p,
                        "order_changes": rivalry.crosses,
                    }
                )
    return rows


def summary_rows(found: Overview) -> list[Row]:
    """One row per label fraction, backbone and setting of the complete block, with the means over these settings."""
    return [
        {
            **_over(over),
            "fraction": fraction,
            "model": one.model,
            "mean": one.mean.value,
            "mean_low": one.mean.low,
            "mean_high": one.mean.high,
            "settings": len(summary.scales),
            "above_control": one.above,
            "interquartile_mean": None if one.middle is None else one.middle.value,
            "interquartile_low": None if one.middle is None else one.middle.low,
            "interquartile_high": None if one.middle is None else one.middle.high,
            "median_rank": one.median,
            "rank_low": one.first,
            "rank_high": one.last,
            "p_best": one.best,
            "setting": scale.setting.name,
            "control": scale.control,
            "reference": scale.reference,
            "share": one.by_setting[scale.setting.name],
        }
        for over in found.over
        for fraction, summary in over.averaged.items()
        for one in summary.models
        for scale in summary.scales
    ]


def agreement_rows(found: Overview) -> list[Row]:
    """One row per two settings."""
    return [
        {**_over(over), "setting": one, "other": other, "tau_b": tau}
        for over in found.over
        for (one, other), tau in over.taus.items()
        if one < other
    ]


def _setting(setting: Setting) -> Row:
    case = setting.record.case
    return {
        "evidence": setting.record.evidence,
        "setting": setting.name,
        "task": case.task,
        "task_version": case.task_version,
        "adaptation": case.adaptation,
        "fraction": float(setting.entries[0].fraction),
    }


def _over(over: AcrossSettings) -> Row:
    return {"evidence": over.evidence, "recipe": over.recipe}
