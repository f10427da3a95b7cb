"""Ranks of models within settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.ranking import Entry, Ordering, Setting, Standing
from geofm_eval.report.formats import Column, Row, Table, attributes, described
from geofm_eval.report.ranks.words import MANUAL, UNRANKED, by_reason, setting_label
from geofm_eval.report.wording import table_of
from geofm_eval.results.comparison import Comparison
from geofm_eval.results.units import unit_of


@dataclass(frozen=True)
class RankedEntry:
    """One model in the order of a setting."""

    order: Ordering
    entry: Entry

    @property
    def standing(self) -> Standing | None:
        """What is known of its rank; None without per-item outcomes."""
        return self.order.standings.get(self.entry.model)

    def among(self, words: Callable[[Standing], str]) -> str | None:
        """Its standing in words; where some models have none, among how many: rank 1 of 2 is not rank 1."""
        count = len(self.order.standings)
        of = "" if count == len(self.order.setting.entries) else f" of {count}"
        return None if self.standing is None else f"{words(self.standing)}{of}"


def ranks_table(
    comparison: Comparison, how: str | None, orders: Sequence[Ordering], catalog: Catalog
) -> Table[RankedEntry]:
    """Ranks in all settings of a comparison, of probes or of trained cases, that have two models.

    Args:
        comparison: of probes, or :attr:`TrainedCases.comparison`.
        how: what was trained; None for probes.
        orders: one per setting.
        catalog: for titles.
    """
    unit, several = unit_of(comparison), [one for one in orders if len(one.setting.entries) > 1]
    columns: list[Column[RankedEntry]] = [
        Column("setting", _first_label),
        Column(None, lambda row: setting_fields(_setting(row))),
        Column("model", lambda row: row.entry.record, "model control"),
        Column(None, lambda row: row.entry.score.metric, "metric"),
        Column(f"{unit.label} [interval]", lambda row: row.entry.score, "score low high"),
        Column("rank", lambda row: _setting(row).rank(row.entry), "rank"),
        Column("median rank [90 %]", lambda row: row.among(lambda one: f"{one.median:g} [{one.low}, {one.high}]")),
        Column(None, lambda row: attributes(row.standing, median_rank="median", rank_low="low", rank_high="high")),
        Column("ranks left open", lambda row: row.among(lambda one: span(*one.clear))),
        Column(None, lambda row: row.standing and row.standing.clear[0], "clear_rank_low"),
        Column(None, lambda row: row.standing and row.standing.clear[1], "clear_rank_high"),
        Column("group", lambda row: row.standing and row.standing.group, "group"),
        Column("P(best)", lambda row: row.among(lambda one: f"{one.best:.2f}")),
        Column(None, lambda row: attributes(row.standing, p_best="best")),
        Column(None, lambda row: row.order.without.get(row.entry.model), "left_out"),
    ]
    notes = [
        "Median rank, its 90 % interval and P(best) are from resamples in which models share samples and label draws. "
        "Ranks left open and group are from paired differences after Holm over all pairs of a setting; models that "
        "share a letter are not clearly different. Models without per-sample outcomes keep their rank by score; the "
        f"other columns are among the rest, whose number follows 'of'. See {MANUAL}.",
        *(f"{setting_label(one.setting)}: {UNRANKED}." for one in several if not one.standings),
    ]
    if several != list(orders):
        notes.append(f"Not ranked: {counted(len(orders) - len(several), 'setting')} with a single model.")
    notes += [f"{setting_label(one.setting)}, {by_reason(one.without)}." for one in several if one.without]
    what = f"ranks by test {unit.label}"
    return table_of(comparison, catalog, "ranks", what, columns, _ranked(several), notes, how)


def rank_rows(table: Table[RankedEntry], orders: Sequence[Ordering]) -> list[Row]:
    """CSV of such a table, settings of a single model among them."""
    return replace(table, rows=_ranked(orders)).data()


def pair_rows(orders: Sequence[Ordering]) -> list[Row]:
    """CSV of every pair of models of every setting: first minus second, in the metric's own unit."""
    return [
        {
            **setting_fields(one.setting),
            "first": pair.first,
            "second": pair.second,
            "metric": one.setting.score.metric,
            **attributes(pair.difference, difference="value", low="low", high="high", freedom="freedom"),
            "holm_p": pair.p,
            "p_above": pair.above,
        }
        for one in orders
        for pair in one.pairs
    ]


def setting_fields(setting: Setting) -> Row:
    """CSV fields of a setting."""
    return {
        "evidence": setting.record.evidence,
        "setting": setting.name,
        **described(setting.record, "task task_version adaptation"),
        "fraction": setting.fraction,
    }


def span(low: int, high: int) -> str:
    """Return a span of ranks: ``2 to 4``, or ``2``."""
    return str(low) if low == high else f"{low} to {high}"


def _first_label(row: RankedEntry) -> str:
    setting = row.order.setting
    return setting_label(setting) if row.entry is setting.entries[0] else ""


def _setting(row: RankedEntry) -> Setting:
    return row.order.setting


def _ranked(orders: Sequence[Ordering]) -> list[RankedEntry]:
    return [RankedEntry(one, entry) for one in orders for entry in one.setting.entries]
