"""Rankings to be read: ranks within settings; summaries, changes of order and agreement over settings."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.findings.rankings import points
from geofm_eval.ranking import Aggregate, CommonScale, Entry, HeadToHead, Ordering, OrderTest
from geofm_eval.records import display_name
from geofm_eval.report.findings import ONLY_SIMULATED
from geofm_eval.report.formats import Table, to_markdown
from geofm_eval.report.ranks.over_settings import AcrossSettings, Overview, RankingSource
from geofm_eval.report.ranks.words import (
    MANUAL,
    SLUG,
    UNRANKED,
    beats,
    by_reason,
    data_words,
    each_reason,
    setting_label,
    share,
)
from geofm_eval.report.wording import heading, shared_notes
from geofm_eval.results.units import UNKNOWN, MetricFormat, percent, unit_named, unit_of

POINTS = MetricFormat("", "", 1.0, 1)


def ranks_tables(found: Overview, catalog: Catalog) -> list[Table]:
    """One table per comparison or case study with two models, all of its settings that have two in it."""
    return [
        _ranks_table(found.sources[slug], orders, catalog)
        for slug, orders in found.by_table.items()
        if slug in found.ordered
    ]


def over_tables(overview: Overview) -> list[Table]:
    """Per evidence class and recipe: means, changes of order, agreement; those without rows left out."""
    made = []
    for number, over in enumerate(overview.over, start=1):
        suffix = "" if len(overview.over) == 1 else f"-{number}"
        found = [make(over, suffix) for make in (_summary_table, _changes_table, _scaled_table, _agreement_table)]
        made += [table for table in found if table.rows]
    return made


def page_of_rankings(found: Overview) -> str:
    """Markdown of what is known over settings."""
    return "\n".join(map(to_markdown, over_tables(found)))


def _ranks_table(source: RankingSource, orders: Sequence[Ordering], catalog: Catalog) -> Table:
    comparison = source.comparison
    unit = unit_of(comparison)
    several = [one for one in orders if len(one.setting.entries) > 1]
    rows = [cells for one in several for cells in _setting_rows(one, unit)]
    remarks = [f"{setting_label(one.setting)}: {UNRANKED}." for one in several if not one.standings]
    remarks += [f"Settings of one model only, which are not ranked: {len(orders) - len(several)}."] * (
        several != list(orders)
    )
    remarks += [f"{setting_label(one.setting)}, {by_reason(one.without)}." for one in several if one.without]
    return Table(
        slug=f"{comparison.slug}-ranks",
        title=heading(comparison, catalog, f"ranks by test {unit.label}", source.how),
        header=("setting", "model", f"{unit.label} [interval]", "rank", "median rank [90 %]", "ranks left open",
                "group", "P(best)"),
        rows=tuple(rows),
        notes=(
            "Median rank, its 90 % interval and P(best): over resamples in which models share items and label draws. "
            "Ranks left open, group: by paired differences after Holm over all pairs of a setting; models that share a "
            "letter cannot be told apart. Models without per-item outcomes keep their rank by score, all else is among "
            f"the others: 'of 5' says how many these are. {MANUAL} says how.",
            *remarks,
            *shared_notes(comparison, catalog),
        ),
    )  # fmt: skip


def _setting_rows(one: Ordering, unit: MetricFormat) -> list[tuple[str, ...]]:
    return [
        (setting_label(one.setting) if number == 0 else "", *_cells(entry, one, unit))
        for number, entry in enumerate(one.setting.entries)
    ]


def _cells(entry: Entry, one: Ordering, unit: MetricFormat) -> tuple[str, ...]:
    name = display_name(entry.record)
    standing = one.standings.get(entry.model)
    rank = str(one.setting.rank(entry))
    if standing is None:
        return (name, unit.score(entry.score), rank, *[UNKNOWN] * 4)
    among = len(one.standings)
    # Rank 1 of 2 beside rank 6 by score would mislead without saying among how many.
    of = "" if among == len(one.setting.entries) else f" of {among}"
    return (
        name,
        unit.score(entry.score),
        rank,
        f"{standing.median:g} [{standing.low}, {standing.high}]{of}",
        f"{span(*standing.clear)}{of}",
        standing.group,
        f"{standing.best:.2f}{of}",
    )


def span(low: int, high: int) -> str:
    """Such as ``2 to 4``, or ``2``."""
    return str(low) if low == high else f"{low} to {high}"


def _summary_table(over: AcrossSettings, suffix: str) -> Table:
    """Means over a complete block of backbones and settings, label fractions apart."""
    rows = [
        (
            percent(fraction) if number == 0 else "",
            one.model,
            share(one.mean),
            beats(one),
            f"{one.above} of {len(summary.scales)}",
            UNKNOWN if one.middle is None else share(one.middle),
            f"{one.median:g} [{one.first}, {one.last}]",
            f"{one.best:.2f}",
        )
        for fraction, summary in over.averaged.items()
        for number, one in enumerate(summary.models)
    ]
    notes = [
        "Mean of (score - control) / (reference - control) over the settings of the next table with as many labels. 0: "
        "as good as the best control, 1: as good as the reference. Beats the best control: the interval of the mean is "
        "above 0. The interquartile mean leaves out the lowest and the highest quarter of the settings, and with them "
        "losses: it says nothing about beating the control. Ranks and P(best) are by the mean.",
        "Tasks and settings are fixed: intervals say how sure these numbers are, not what other tasks would give.",
        *_not_averaged(over),
    ]
    dropped = {f"{name} at {percent(f)}" if name in over.field.models else name: why
               for f, one in over.averaged.items() for name, why in one.dropped.items()}  # fmt: skip
    notes += [f"Dropped so that every model has every setting: {own}." for own in each_reason(dropped)]
    return Table(
        slug=f"{SLUG}-summary{suffix}",
        title=f"{data_words(over)}: backbones over settings",
        header=("labels", "model", "mean [95 %]", "beats the best control", "above it in", "interquartile mean [95 %]",
                "median rank [90 %]", "P(best)"),
        rows=tuple(rows),
        notes=(*notes, *_simulated(over)),
    )  # fmt: skip


def _not_averaged(over: AcrossSettings) -> list[str]:
    count = len(over.not_averaged)
    few = "fewer than two settings, or models, that have a control, a reference and per-item outcomes"
    return [f"Not averaged, {few}: {', '.join(over.not_averaged)} of the labels."] if count else []


def _scaled_table(over: AcrossSettings, suffix: str) -> Table:
    """What the means are means of."""
    models = [
        name for name in over.field.models if any(name == m.model for one in over.averaged.values() for m in one.models)
    ]
    return Table(
        slug=f"{SLUG}-scaled{suffix}",
        title=f"{data_words(over)}: (score - control) / (reference - control)",
        header=("setting", "control", "reference", *models),
        rows=tuple(
            (scale.setting.name, scale.control, scale.reference, *(_share_of(name, scale, one) for name in models))
            for one in over.averaged.values()
            for scale in one.scales
        ),
        notes=_simulated(over),
    )


def _share_of(model: str, scale: CommonScale, summary: Aggregate) -> str:
    known = {one.model: one.by_setting[scale.setting.name] for one in summary.models}
    # Adding 0 after rounding turns a negative zero into a plain one.
    return f"{round(known[model], 2) + 0.0:.2f}" if model in known else UNKNOWN


def _changes_table(over: AcrossSettings, suffix: str) -> Table:
    """Every two backbones, and where each leads most clearly."""
    rows = [
        (
            rivalry.first,
            rivalry.second,
            str(len(rivalry.meetings)),
            _lead(rivalry.ahead, 1),
            _lead(rivalry.behind, -1),
            f"{rivalry.p:.3f}",
            _verdict(rivalry),
        )
        for rivalry in over.rivals
    ]
    notes = [
        "Points [95 %], of the first one over the second where it leads most clearly, and of the second likewise; a "
        "negative lead is none. p: of the better one being the same in all settings (Gail and Simon), after Holm over "
        "all pairs. With many settings some lead is clear by chance: of those with the same test items the clearest "
        "counts, its p times their number, so that both leads must be far clearer than their own intervals say."
    ]
    if over.field.aside:
        notes.append(f"Set aside: {by_reason(over.field.aside)}.")
    return Table(
        slug=f"{SLUG}-changes{suffix}",
        title=f"{data_words(over)}: whether the order of two backbones depends on the setting",
        header=("first", "second", "settings", "first leads most", "second leads most", "p", "order changes"),
        rows=tuple(rows),
        notes=(*notes, *_simulated(over)),
    )


def _lead(met: HeadToHead, turn: int) -> str:
    return f"{POINTS.difference(points(met).times(turn))} in {met.setting.name}"


def _verdict(rivalry: OrderTest) -> str:
    return "yes" if rivalry.crosses else "not clearly" if rivalry.opposite else "no"


def _agreement_table(over: AcrossSettings, suffix: str) -> Table:
    """How alike the ranking of each setting is to those of the others."""
    rows = []
    for setting in over.field.settings:
        own = {other: tau for (name, other), tau in over.taus.items() if name == setting.name}
        if own:
            least = min(own, key=lambda other: (own[other], other))
            best = next(entry for entry in setting.entries if entry.model in over.field.models)
            shown = f"{best.model}, {unit_named(setting.score.metric).value(best.score.value)}"
            mean = f"{sum(own.values()) / len(own):+.2f}"
            rows.append((setting.name, shown, mean, str(len(own)), f"{least}, {own[least]:+.2f}"))
    return Table(
        slug=f"{SLUG}-agreement{suffix}",
        title=f"{data_words(over)}: agreement of rankings",
        header=("setting", "best backbone", "mean tau", "other settings", "least alike, tau"),
        rows=tuple(rows),
        notes=(
            "Kendall's tau-b with the rankings of the other settings, over the backbones that both have: 1 the same "
            "order, -1 the opposite one. With few backbones it moves by chance: no verdict rests on it.",
            *_simulated(over),
        ),
    )


def _simulated(over: AcrossSettings) -> tuple[str, ...]:
    return (ONLY_SIMULATED,) if over.evidence == "simulated" else ()
