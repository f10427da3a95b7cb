"""Backbones over settings: means, changes of order, agreement; to be read, and as rows of numbers."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from geofm_eval.findings.rankings import points
from geofm_eval.ranking import Aggregate, CommonScale, HeadToHead, OrderTest, Summary
from geofm_eval.report.findings import ONLY_SIMULATED
from geofm_eval.report.formats import Column, Row, Table, attributes, listed
from geofm_eval.report.ranks.over_settings import AcrossSettings
from geofm_eval.report.ranks.words import SLUG, beats, by_reason, data_words, each_reason, share
from geofm_eval.results.units import MetricFormat, percent, unit_named

POINTS = MetricFormat("", "", 1.0, 1)


def over_tables(found: Sequence[AcrossSettings]) -> list[Table[Any]]:
    """Per evidence class and recipe: means, changes of order, agreement; those without rows left out."""
    made: list[Table[Any]] = []
    for number, over in enumerate(found, start=1):
        suffix = "" if len(found) == 1 else f"-{number}"
        made += [make(over, suffix) for make in (summary_table, _changes_table, _scaled_table, _agreement_table)]
    return [table for table in made if table.rows]


def over_rows(found: Sequence[AcrossSettings]) -> dict[str, list[Row]]:
    """Rows of numbers by the end of the name of their file; what has no row is left out."""
    made = {
        "": [row for over in found for row in _summary_rows(over)],
        "-changes": [row for over in found for row in _change_rows(over)],
        "-agreement": [row for over in found for row in _agreement_rows(over)],
    }
    return {suffix: rows for suffix, rows in made.items() if rows}


def _table(
    over: AcrossSettings, name: str, title: str, columns: Sequence[Column[Any]], rows: Sequence[Any], *notes: str
) -> Table[Any]:
    simulated = (ONLY_SIMULATED,) if over.evidence == "simulated" else ()
    return Table(f"{SLUG}-{name}", f"{data_words(over)}: {title}", columns, rows, POINTS, (*notes, *simulated))


Averaged = tuple[float, Aggregate, Summary]
"""One model over the settings with one label fraction."""


def summary_table(over: AcrossSettings, suffix: str = "") -> Table[Averaged]:
    """Means over a complete block of backbones and settings, label fractions apart."""
    columns: list[Column[Averaged]] = [
        Column("labels", lambda row: percent(row[0]) if row[2] is row[1].models[0] else "", short="labels", right=True),
        Column("model", lambda row: row[2].model, short="model"),
        Column("mean [95 %]", lambda row: share(row[2].mean), short="mean [95 %]"),
        Column("beats the best control", lambda row: beats(row[2]), short="beats the best control"),
        Column("above it in", lambda row: f"{row[2].above} of {len(row[1].scales)}", short="above it in"),
        Column("interquartile mean [95 %]", lambda row: row[2].middle, show=share, short="interquartile mean"),
        Column("median rank [90 %]", lambda row: f"{row[2].median:g} [{row[2].first}, {row[2].last}]"),
        Column("P(best)", lambda row: f"{row[2].best:.2f}"),
    ]
    dropped = {f"{name} at {percent(f)}" if name in over.field.models else name: why
               for f, one in over.averaged.items() for name, why in one.dropped.items()}  # fmt: skip
    rows = [(fraction, one, model) for fraction, one in over.averaged.items() for model in one.models]
    notes = [
        "Mean of (score - control) / (reference - control) over the settings with this label fraction in the next "
        "table: 0 is as good as the best control, 1 as good as the reference. Beats the best control: the interval of "
        "the mean is above 0. The interquartile mean leaves out the lowest and the highest quarter of the settings, "
        "losses included, so it does not show whether a model beats the control. Ranks and P(best) are by the mean.",
        "Tasks and settings are fixed: intervals describe the error of these means, not what other tasks would give.",
    ]
    if few := ", ".join(percent(fraction) for fraction, one in over.summaries.items() if not one.models):
        why = "fewer than two settings or models with a control, a reference and per-sample outcomes"
        notes.append(f"Not averaged: {few} of the labels ({why}).")
    notes += [f"Left out so that every model has every setting: {own}." for own in each_reason(dropped)]
    return _table(over, f"summary{suffix}", "backbones over settings", columns, rows, *notes)


def _scaled_table(over: AcrossSettings, suffix: str) -> Table[Any]:
    """What the means are means of."""
    averaged = {model.model for one in over.averaged.values() for model in one.models}
    columns: list[Column[tuple[CommonScale, Aggregate]]] = [
        Column("setting", lambda row: row[0].setting.name),
        Column("control", lambda row: row[0].control),
        Column("reference", lambda row: row[0].reference),
        *(Column(name, partial(_share_of, name)) for name in over.field.models if name in averaged),
    ]
    rows = [(scale, one) for one in over.averaged.values() for scale in one.scales]
    return _table(over, f"scaled{suffix}", "(score - control) / (reference - control)", columns, rows)


def _share_of(model: str, row: tuple[CommonScale, Aggregate]) -> str | None:
    scale, summary = row
    known = {one.model: one.by_setting[scale.setting.name] for one in summary.models}
    # Adding 0 after rounding turns a negative zero into a plain one.
    return f"{round(known[model], 2) + 0.0:.2f}" if model in known else None


def _changes_table(over: AcrossSettings, suffix: str) -> Table[Any]:
    """Every two backbones, and where each leads most clearly."""
    columns: list[Column[OrderTest]] = [
        Column("first", lambda rivalry: rivalry.first),
        Column("second", lambda rivalry: rivalry.second),
        Column("settings", lambda rivalry: len(rivalry.meetings)),
        Column("first leads most", lambda rivalry: _lead(rivalry.ahead, 1)),
        Column("second leads most", lambda rivalry: _lead(rivalry.behind, -1)),
        Column("p", lambda rivalry: f"{rivalry.p:.3f}"),
        Column("order changes", lambda one: "yes" if one.crosses else "not clearly" if one.opposite else "no"),
    ]
    note = (
        "Leads in points [95 %], each in the setting where that backbone leads most clearly; if a lead is negative, it "
        "never leads. p: null hypothesis that the same one is better in all settings (Gail and Simon), after Holm over "
        "all pairs. With many settings some lead is clear by chance: of settings with the same test samples only the "
        "clearest counts, and its p is multiplied by their number, so both leads must be far clearer than their own "
        "intervals suggest."
    )
    aside = [f"Excluded: {by_reason(over.field.aside)}."] if over.field.aside else []
    title = "changes of the order of two backbones"
    return _table(over, f"changes{suffix}", title, columns, over.rivals, note, *aside)


def _lead(met: HeadToHead, turn: int) -> str:
    return f"{POINTS.difference(points(met).times(turn))} in {met.setting.name}"


def _agreement_table(over: AcrossSettings, suffix: str) -> Table[Any]:
    """How alike the ranking of each setting is to those of the others."""
    rows = []
    for setting in over.field.settings:
        own = {other: tau for (name, other), tau in over.taus.items() if name == setting.name}
        if own:
            least = min(own, key=lambda other: (own[other], other))
            best = next(entry for entry in setting.entries if entry.model in over.field.models)
            shown = f"{best.model}, {unit_named(setting.score.metric).value(best.score.value)}"
            mean = f"{sum(own.values()) / len(own):+.2f}"
            rows.append((setting.name, shown, mean, len(own), f"{least}, {own[least]:+.2f}"))
    columns = listed("setting", "best backbone", "mean tau", "other settings", "least alike, tau")
    note = (
        "Kendall's tau-b with the rankings of the other settings, over the backbones that both have: 1 is the same "
        "order, -1 the reverse. With few backbones it varies by chance, so it affects no verdict."
    )
    return _table(over, f"agreement{suffix}", "agreement of rankings", columns, rows, note)


def _summary_rows(over: AcrossSettings) -> Iterator[Row]:
    """One row per label fraction, backbone and setting of the complete block, with the means over these settings."""
    for fraction, summary in over.averaged.items():
        for one in summary.models:
            for scale in summary.scales:
                yield {
                    **_source(over),
                    "fraction": fraction,
                    "model": one.model,
                    **attributes(one.mean, mean="value", mean_low="low", mean_high="high"),
                    "settings": len(summary.scales),
                    "above_control": one.above,
                    **attributes(
                        one.middle, interquartile_mean="value", interquartile_low="low", interquartile_high="high"
                    ),
                    **attributes(one, median_rank="median", rank_low="first", rank_high="last", p_best="best"),
                    "setting": scale.setting.name,
                    **attributes(scale, "control reference"),
                    "share": one.by_setting[scale.setting.name],
                }


def _change_rows(over: AcrossSettings) -> Iterator[Row]:
    """One row per pair of backbones and setting: first minus second in points, more being better."""
    for rivalry in over.rivals:
        for met in rivalry.meetings:
            yield {
                **_source(over),
                **attributes(rivalry, "first second"),
                "setting": met.setting.name,
                "data": met.data,
                **attributes(points(met), points="value", low="low", high="high"),
                "statistic": met.statistic,
                **attributes(rivalry, holm_p_of_no_change="p", order_changes="crosses"),
            }


def _agreement_rows(over: AcrossSettings) -> Iterator[Row]:
    """One row per two settings."""
    for (one, other), tau in over.taus.items():
        if one < other:
            yield {**_source(over), "setting": one, "other": other, "tau_b": tau}


def _source(over: AcrossSettings) -> Row:
    return attributes(over, "evidence recipe")
