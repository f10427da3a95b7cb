"""Words that tables, page and terminal share about rankings."""

from collections import defaultdict
from collections.abc import Mapping

from geofm_eval.findings.tables import ON
from geofm_eval.ranking import Ordering, Setting
from geofm_eval.report.ranks.overview import Over, Overview
from geofm_eval.report.run import PROBE
from geofm_eval.report.wording import of_labels

MANUAL = "docs/ranking.md"

SLUG = "rankings"
"""Name of the files about rankings over settings."""


def setting_label(setting: Setting) -> str:
    """A setting among others of its table: its label fraction, or what was trained."""
    case = setting.record.case
    if case.kind == PROBE:
        return of_labels(setting.record.scores, setting.entries[0].fraction)
    return f"{case.adaptation}, {case.layer}"


def data_words(over: Over) -> str:
    """Such as ``SIMULATED DATA, recipe probing``."""
    return f"{ON[over.evidence]}, recipe {over.recipe}"


def unranked(one: Ordering) -> str:
    """Why a setting has no ranks; empty where it has."""
    if one.standings:
        return ""
    if len(one.setting.entries) == 1:
        return f"one model only ({one.setting.entries[0].model}): there is nothing to rank it against"
    return "fewer than two models have per-item outcomes: scores are shown, ranks are unknown"


def by_reason(reasons: Mapping[str, str]) -> str:
    """Names with a reason in common together, such as ``no control: a, b; too few: c``."""
    return "; ".join(each_reason(reasons))


def each_reason(reasons: Mapping[str, str]) -> list[str]:
    """The same, one text per reason."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        found[reason].append(name)
    return [f"{reason}: {', '.join(names)}" for reason, names in found.items()]


def lines_of_rankings(found: Overview) -> list[str]:
    """For the index page: the links, then what is known over settings; nothing without two settings."""
    if not found.over:
        return []
    names = (("summary", ""), ("changes of order", "-changes"), ("agreement", "-agreement"))
    csv = ", ".join(f"[CSV of {what}]({SLUG}{suffix}.csv)" for what, suffix in names)
    lines = [f"[over settings]({SLUG}.md), {csv}"]
    for over in found.over:
        clear = sum(rivalry.crosses for rivalry in over.rivals)
        models = over.summary.models
        best = f"; best by interquartile mean: {models[0].model}" if models else ""
        lines.append(
            f"{data_words(over)}: {len(over.field.models)} backbones, {len(over.field.settings)} settings; "
            f"{clear} of {len(over.rivals)} pairs clearly change their order{best}"
        )
    return lines
