"""Words that tables, page and terminal share about rankings."""

from collections import defaultdict
from collections.abc import Mapping

from geofm_eval.plurals import counted
from geofm_eval.ranking import Setting, Summary
from geofm_eval.report.findings import ON
from geofm_eval.report.ranks.over_settings import AcrossSettings
from geofm_eval.results.run import PROBE
from geofm_eval.results.units import of_labels, percent
from geofm_eval.stats.difference import Difference

MANUAL = "docs/ranking.md"

SLUG = "rankings"
"""Name of the files about rankings over settings."""

UNRANKED = "fewer than two models have per-sample outcomes: scores are shown, ranks are unknown"


def setting_label(setting: Setting) -> str:
    """A setting among others of its table: its label fraction, or what was trained."""
    case = setting.record.case
    if case.kind == PROBE:
        return of_labels(setting.record.scores, setting.entries[0].fraction)
    return f"{case.adaptation}, {case.layer}"


def data_words(over: AcrossSettings) -> str:
    """Return evidence and recipe: ``SIMULATED DATA, recipe probing``."""
    return f"{ON[over.evidence]}, recipe {over.recipe}"


def sentence(over: AcrossSettings) -> str:
    """How many pairs of backbones change their order over settings, and which backbone is best on average."""
    clear = sum(rivalry.crosses for rivalry in over.rivals)
    first = next(((fraction, one.models[0]) for fraction, one in over.averaged.items()), None)
    best = f"; best mean with {percent(first[0])} of the labels: {first[1].model}" if first else ""
    return (
        f"{data_words(over)}: {len(over.field.models)} backbones, {len(over.field.settings)} settings; the order of "
        f"{clear} of {counted(len(over.rivals), 'pair')} clearly changes{best}"
    )


def by_reason(reasons: Mapping[str, str]) -> str:
    """Names with a reason in common together, such as ``no control: a, b; too few: c``."""
    return "; ".join(each_reason(reasons))


def each_reason(reasons: Mapping[str, str]) -> list[str]:
    """The same, one text per reason."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        found[reason].append(name)
    return [f"{reason}: {', '.join(names)}" for reason, names in found.items()]


def share(mean: Difference) -> str:
    """A mean between control and reference, such as ``0.16 [0.10, 0.23]``."""
    ends = (mean.value, mean.low or 0.0, mean.high or 0.0)
    value, low, high = (f"{round(end, 2) + 0.0:.2f}" for end in ends)
    return f"{value} [{low}, {high}]"


def beats(one: Summary) -> str:
    """Whether a model beats the best control over settings, in words."""
    return {True: "yes", False: "no, below it", None: "not clearly"}[one.beats_control]
