"""Rankings in a few lines, for the end of a run."""

import textwrap
from collections.abc import Sequence

from geofm_eval.findings import EVIDENCE
from geofm_eval.findings.rankings import points
from geofm_eval.ranking import Ordering, OrderTest
from geofm_eval.records import display_name
from geofm_eval.report.findings import ON, WIDTH
from geofm_eval.report.probes.terminal import aligned
from geofm_eval.report.ranks.over_settings import AcrossSettings, Overview
from geofm_eval.report.ranks.tables import POINTS
from geofm_eval.report.ranks.words import MANUAL, beats, share
from geofm_eval.results.units import UNKNOWN, percent

SHOWN = 25
"""Settings that are listed; the tables have all of them."""

NAMED = 2
"""Models of a group that are named."""


def text_of_rankings(found: Overview) -> str:
    """Per setting who leads and how sure, then what is known over settings; empty without records to rank."""
    if not found.orders:
        return ""
    lines = [f"Rankings (what the numbers mean: {MANUAL})"]
    for evidence in EVIDENCE:
        orders = [one for one in found.orders if one.setting.record.evidence == evidence]
        over = [one for one in found.over if one.evidence == evidence]
        aside = {name for one in over for name in one.field.aside}
        if orders:
            lines += [f"  {ON[evidence]}", *_settings([one for one in orders if one.setting.name not in aside])]
        for one in over:
            lines += [*_averages(one), *(part for text in _over(one) for part in _wrapped(text))]
    if found.too_small:
        lines.append(
            "  nothing over settings: that needs two settings and two backbones of one evidence class and recipe"
        )
    return "\n".join(lines)


def _settings(orders: Sequence[Ordering]) -> list[str]:
    """Settings with all labels, in which most is known."""
    whole = [one for one in orders if float(one.setting.entries[0].fraction) == 1] or list(orders)
    ranked = [one for one in whole if one.standings]
    rows = [["setting", "models", "groups", "group of the best", "most likely best"]]
    for one in ranked[:SHOWN]:
        best = max(one.standings, key=lambda model: one.standings[model].best)
        likely = f"{_name(best, one)} {one.standings[best].best:.2f}"
        known, entries = len(one.standings), len(one.setting.entries)
        models = str(known) if known == entries else f"{known} of {entries}"
        rows.append([one.setting.name, models, str(len(one.groups)), _group(one.groups[0], one), likely])
    more, few = len(orders) - len(whole) + len(ranked[SHOWN:]), len(whole) - len(ranked)
    return [
        *(aligned(rows, "lrrll") if ranked else []),
        *([f"  and {more} settings more in the tables"] if more else []),
        *([f"  not ranked, with fewer than two models that have per-item outcomes: {few} settings"] if few else []),
    ]


def _group(models: Sequence[str], one: Ordering) -> str:
    if len(models) == len(one.standings):
        return "all of them"
    shown = ", ".join(_name(model, one) for model in models[:NAMED])
    return shown if len(models) <= NAMED else f"{shown} and {len(models) - NAMED} more"


def _name(model: str, one: Ordering) -> str:
    """A model with its marks, as the other lists of the terminal name it."""
    return display_name(one.setting.by_model[model].record, short=True)


def _averages(over: AcrossSettings) -> list[str]:
    """Means over settings, label fractions apart; one line where there are too few settings for any."""
    if not over.averaged:
        return ["  no means over settings: they need two settings and two models with a control and a reference"]
    rows = [
        ["labels", "settings", "model", "mean [95 %]", "beats the best control", "above it in", "interquartile mean"]
    ]
    for fraction, summary in over.averaged.items():
        for number, one in enumerate(summary.models):
            count = len(summary.scales)
            first = [percent(fraction), str(count)] if number == 0 else ["", ""]
            middle = UNKNOWN if one.middle is None else share(one.middle)
            rows.append([*first, one.model, share(one.mean), beats(one), f"{one.above} of {count}", middle])
    few = ", ".join(over.not_averaged)
    return [
        f"  over settings (recipe {over.recipe}), (score - control) / (reference - control)",
        *aligned(rows, "rrlllll"),
        *([f"  too few settings or models to average: {few} of the labels"] if few else []),
    ]


def _over(over: AcrossSettings) -> list[str]:
    """Whether the order of two backbones changes."""
    lines = []
    if over.rivals:
        opposite, clear = sum(one.opposite for one in over.rivals), sum(one.crosses for one in over.rivals)
        lines.append(
            f"{opposite} of {len(over.rivals)} pairs of backbones were measured in both orders, {clear} change it "
            f"clearly; the clearest: {_clearest(over.rivals[0])}"
        )
    return lines


def _clearest(rivalry: OrderTest) -> str:
    ahead, behind = points(rivalry.ahead), points(rivalry.behind).times(-1)
    return (
        f"{rivalry.first} leads {rivalry.second} by {POINTS.difference(ahead)} points in {rivalry.ahead.setting.name}, "
        f"is led by {POINTS.difference(behind)} in {rivalry.behind.setting.name} (p = {rivalry.p:.3f})"
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
