"""Rankings in a few lines, for the end of a run."""

from collections.abc import Sequence

from geofm_eval.findings import EVIDENCE
from geofm_eval.plurals import counted
from geofm_eval.ranking import Ordering
from geofm_eval.records import display_name
from geofm_eval.report.findings import ON
from geofm_eval.report.formats import aligned
from geofm_eval.report.ranks.over import summary_table
from geofm_eval.report.ranks.over_settings import Overview
from geofm_eval.report.ranks.words import MANUAL, sentence

SHOWN = 25
"""Settings that are listed; the tables have all of them."""

NAMED = 2
"""Models of a group that are named."""


def text_of_rankings(found: Overview) -> str:
    """Per setting who leads and how sure, then what is known over settings; empty without two models in a setting."""
    lines = []
    for evidence in EVIDENCE:
        over = [one for one in found.over if one.evidence == evidence]
        aside = {name for one in over for name in one.field.aside}
        lines += _settings(
            [one for one in found.orders if one.setting.record.evidence == evidence and one.setting.name not in aside]
        )
        for one in over:
            lines.append(f"  {sentence(one)}")
            if one.averaged:
                lines += ["  (score - control) / (reference - control)", *summary_table(one).lines()]
    return "\n".join([f"Rankings (what the numbers mean: {MANUAL})", *lines]) if lines else ""


def _settings(orders: Sequence[Ordering]) -> list[str]:
    """Settings with all labels, in which most is known."""
    known = [one for one in orders if one.standings]
    ranked = [one for one in known if one.setting.fraction == 1] or known
    rows = [["setting", "models", "groups", "group of the best", "most likely best"]]
    for one in ranked[:SHOWN]:
        best = max(one.standings, key=lambda model: one.standings[model].best)
        likely = f"{_name(best, one)} {one.standings[best].best:.2f}"
        number, entries = len(one.standings), len(one.setting.entries)
        models = str(number) if number == entries else f"{number} of {entries}"
        rows.append([one.setting.name, models, str(len(one.groups)), _group(one.groups[0], one), likely])
    if not known:
        return []
    more = len(known) - len(ranked[:SHOWN])
    rest = [f"  and {counted(more, 'more setting')} in the tables"] if more else []
    return [f"  {ON[str(known[0].setting.record.evidence)]}", *aligned(rows, "lrrll"), *rest]


def _group(models: Sequence[str], one: Ordering) -> str:
    if len(models) == len(one.standings):
        return "all of them"
    shown = ", ".join(_name(model, one) for model in models[:NAMED])
    return shown if len(models) <= NAMED else f"{shown} and {len(models) - NAMED} more"


def _name(model: str, one: Ordering) -> str:
    """A model with its marks, as the other lists of the terminal name it."""
    return display_name(one.setting.by_model[model].record, short=True)
