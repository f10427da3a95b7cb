"""Finding 1: rankings change with task and adaptation."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

from geofm_eval.catalog import Catalog
from geofm_eval.findings.finding import (
    MARGIN,
    Finding,
    FindingCell,
    Verdict,
    adjusted,
    cell_of,
    decided,
    spread,
    undecidable,
)
from geofm_eval.findings.means import Means, Pairing
from geofm_eval.memo import once
from geofm_eval.plurals import counted
from geofm_eval.ranking.grouping import Setting, by_recipe, settings
from geofm_eval.ranking.qualitative import HeadToHead, OrderTest, agreement, rivalries
from geofm_eval.records import MOSTLY_FILLED, marked
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import Run
from geofm_eval.results.scope import excluded_model, excluded_pooling, excluded_task
from geofm_eval.results.taps import sign
from geofm_eval.results.units import in_points
from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import t_quantile

TITLE = "rankings change with task and adaptation"

FEWEST = 2
"""Backbones, and data sets with paired intervals, that a verdict needs."""


@dataclass(frozen=True, eq=False)
class Field:
    """Settings that count, of one evidence class and recipe, and their backbones that count, in alphabetical order.

    A field equals itself alone, so that what follows from it can be kept.
    """

    settings: tuple[Setting, ...]
    models: tuple[str, ...]
    aside: dict[str, str]


@once
def fields(run: Run, catalog: Catalog) -> tuple[Field, ...]:
    """What counts in comparisons over settings, the largest field first.

    Set aside are controls, control targets, variants of tasks, models and adaptations, poolings that the recipe does
    not name, and on real data backbones that were pretrained on simulated scenes. Probes of every kind count, kNN too:
    it is another adaptation.
    """
    made = [_field(group, run, catalog) for group in by_recipe(settings(run))]
    return tuple(sorted((one for one in made if one.settings), key=lambda one: -len(one.settings)))


@once
def rivals_in(run: Run, field: Field) -> tuple[OrderTest, ...]:
    """Every two models of one of the run's fields: tables and the finding show the same."""
    return rivalries(field.settings, field.models, run.pairs)


def rankings_change(run: Run, catalog: Catalog) -> Finding | None:
    """Whether each of two backbones is clearly better than the other somewhere.

    Supported: of one pair at least, by Gail and Simon's test after Holm over all pairs, with an interval of either sign
    that leaves zero out. Refuted: of every pair one has no 95 % interval that reaches a margin's lead of the other, on
    two data sets or more. Settings in which both are at the ceiling refute nothing.

    Returns:
        None without two backbones in two settings.
    """
    fields_found = fields(run, catalog)
    field = fields_found[0] if fields_found else None
    if field is None or len(field.models) < FEWEST or len(field.settings) < FEWEST:
        return None
    rivals = rivals_in(run, field)
    with_interval = sum(len(rivalry.meetings) for rivalry in rivals)
    in_all = sum(one in setting.by_model and other in setting.by_model for setting in field.settings
                 for one, other in combinations(field.models, 2))  # fmt: skip
    data = {met.data for rivalry in rivals for met in off_ceiling(rivalry)}
    if len(data) < FEWEST or 2 * with_interval < in_all:
        why = (
            f"{len(field.models)} backbones in {len(field.settings)} settings; {with_interval} of "
            f"{counted(in_all, 'difference')} with a paired interval, on "
            f"{counted(len(data), 'data set')}{_ceilings(rivals)}. Needed: intervals for half of the differences, on "
            f"{FEWEST} data sets."
        )
        return undecidable(1, TITLE, (), run, why)
    crossing = [rivalry for rivalry in rivals if rivalry.crosses]
    verdict = verdict_of_order(rivals, len(field.models))
    # A page lists what counts: of every pair the settings where either leads most.
    cells = adjusted(
        [
            _cell(rivalry, met, (met is rivalry.ahead or met is rivalry.behind) and (not crossing or rivalry.crosses))
            for rivalry in rivals
            for met in rivalry.meetings
        ]
    )
    reasons = (
        _count(rivals, crossing, field),
        _agreement(field),
        _clearest(rivals[0]),
        *_not_counted(fields_found[1:]),
    )
    return decided(1, TITLE, verdict, _effect(rivals), cells, run, reasons, _means(rivals, run.pairs))


def verdict_of_order(rivals: Sequence[OrderTest], models: int) -> Verdict:
    """What all pairs of models say; see :func:`rankings_change`."""
    if any(rivalry.crosses for rivalry in rivals):
        return "supported"
    return "refuted" if len(rivals) == comb(models, 2) and all(map(_one_sided, rivals)) else "undecided"


def off_ceiling(rivalry: OrderTest) -> list[HeadToHead]:
    """Where two backbones met with room to differ."""
    return [met for met in rivalry.meetings if not met.ceiling]


def points(met: HeadToHead) -> Difference:
    """The difference of two models in a setting in points, turned so that more is better for the first."""
    score = met.setting.score
    return in_points(met.difference.times(sign(score)), score, score)


def _field(group: Sequence[Setting], run: Run, catalog: Catalog) -> Field:
    scored = run.scored
    models, tasks = {r.case.model for r in scored}, {r.case.task for r in scored}
    aside: dict[str, str] = {}
    counted: list[Setting] = []
    weights: defaultdict[str, set[str | None]] = defaultdict(set)
    for setting in group:
        reasons = [*excluded_task(setting.task, tasks, catalog), *excluded_pooling(setting.record)]
        reasons += ["variants of adaptations"] if setting.is_variant else []
        if reasons:
            aside[setting.name] = ", ".join(reasons)
            continue
        entries = tuple(entry for entry in setting.entries if entry.is_control or not marked(entry.record))
        if not entries:
            aside[setting.name] = MOSTLY_FILLED
            continue
        counted.append(replace(setting, entries=entries))
        for entry in entries:
            weights[entry.model].add(entry.record.provenance.weights_sha256)
            if reasons := excluded_model(entry.record, models, catalog):
                aside[entry.model] = ", ".join(reasons)
    for model, found in weights.items():
        if len(found) > 1:
            aside[model] = "different weights in different settings"
    return Field(tuple(counted), tuple(sorted(set(weights) - set(aside))), aside)


def _cell(rivalry: OrderTest, met: HeadToHead, counts: bool) -> FindingCell:
    group = f"{rivalry.first} - {rivalry.second}"
    cell = cell_of(met.setting.name, group, group, points(met), counts, met.data)
    return replace(cell, ceiling=met.ceiling)


def _means(rivals: Sequence[OrderTest], pairs: Pairs) -> dict[str, Difference]:
    found = {
        f"{rivalry.first} - {rivalry.second}": [_pairing(rivalry, met) for met in rivalry.meetings]
        for rivalry in rivals
    }
    return Means(pairs).of_groups(found)


def _pairing(rivalry: OrderTest, met: HeadToHead) -> Pairing:
    one, other = (met.setting.by_model[name] for name in (rivalry.first, rivalry.second))
    return Pairing(one.record, other.record, one.fraction)


def _one_sided(rivalry: OrderTest) -> bool:
    """Whether one of the two is nowhere ahead by a margin, as far as 95 % intervals reach, on two data sets or more."""
    known = off_ceiling(rivalry)
    if len({met.data for met in known}) < FEWEST:
        return False
    found = [points(met) for met in known]
    return all(one.low is not None and one.low > -MARGIN for one in found) or all(
        one.high is not None and one.high < MARGIN for one in found
    )


def _effect(rivals: Sequence[OrderTest]) -> Difference:
    """The smaller of the leads of either model where it leads most clearly.

    They are the clearest of many: the interval holds for all pairs and settings together (Bonferroni).
    """
    ahead, behind = points(rivals[0].ahead), points(rivals[0].behind).times(-1)
    found = min(ahead, behind, key=lambda one: one.value)
    tail, many = (1 - LEVEL) / 2, sum(len(rivalry.meetings) for rivalry in rivals)
    wider = t_quantile(1 - tail / many, found.freedom) / t_quantile(1 - tail, found.freedom)
    assert found.low is not None
    assert found.high is not None
    low, high = found.value - wider * (found.value - found.low), found.value + wider * (found.high - found.value)
    return Difference(found.value, low, high, found.freedom)


def _count(rivals: Sequence[OrderTest], crossing: Sequence[OrderTest], field: Field) -> str:
    meetings = sorted({len(rivalry.meetings) for rivalry in rivals})
    span = counted(meetings[0], "setting") if len(meetings) == 1 else f"{meetings[0]} to {meetings[-1]} settings"
    data = len({met.data for rivalry in rivals for met in rivalry.meetings})
    opposite = sum(rivalry.opposite for rivalry in rivals)
    return (
        f"{counted(len(rivals), 'pair')} of {len(field.models)} backbones, each in {span} on "
        f"{counted(data, 'data set')}: {opposite} measured in both orders, {len(crossing)} clearly (Gail and Simon's "
        f"test, Holm over pairs){_ceilings(rivals)}."
    )


def _ceilings(rivals: Sequence[OrderTest]) -> str:
    count = sum(met.ceiling for rivalry in rivals for met in rivalry.meetings)
    many = "difference is" if count == 1 else "differences are"
    return f"; {count} {many} at the ceiling, both scores within a point of 100 %" if count else ""


def _clearest(rivalry: OrderTest) -> str:
    ahead, behind = points(rivalry.ahead), points(rivalry.behind).times(-1)
    return (
        f"Clearest: {rivalry.first} leads {rivalry.second} by {spread(ahead)} points in {rivalry.ahead.setting.name}, "
        f"and {rivalry.second} leads by {spread(behind)} in {rivalry.behind.setting.name}; p = {rivalry.p:.3f}."
    )


def _agreement(field: Field) -> str:
    taus = list(agreement(field.settings, field.models).values())
    if not taus:
        return "Kendall's tau needs two settings with three backbones in common."
    return f"Kendall's tau-b of two settings is {sum(taus) / len(taus):+.2f} on average; it affects no verdict."


def _not_counted(others: Sequence[Field]) -> list[str]:
    number = sum(len(field.settings) for field in others)
    return [f"Not compared: {counted(number, 'setting')} of other recipes."] if number else []
