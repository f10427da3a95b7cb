"""Finding 5: full tuning changes the first linear layer of an MLP more than other parts, and deep blocks most.

Each measure of drift has a verdict of its own: which part changes most depends on what one calls change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import mean

from geofm_eval.catalog import Catalog
from geofm_eval.findings.finding import GAIN, MARGIN, Finding, FindingCell, adjusted
from geofm_eval.findings.most import most_words, shortage, verdict_on_most
from geofm_eval.records import Contrast
from geofm_eval.results.drift_cases import VERDICTS_ON, DriftCell, comparable_drifts
from geofm_eval.results.run import Run
from geofm_eval.results.scope import data_of, excluded_model
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.over_seeds import (
    LEADER,
    Estimate,
    PerSeed,
    above_floor,
    estimate,
    estimate_of,
    leader,
    p_of,
    p_over,
    p_under,
)

UNIT = "hundredths"
"""Drift times 100: of 1 - CKA, or of the relative change of weights."""

FULL = "full"
NEAR = MARGIN / 100
"""The margin as it is in records, not in hundredths."""

NOT_CLEAR = 0.051
"""The least p that is shown of a lead that is undecided because nothing exceeds its floor."""

OVER_FLOOR, RAW, DEPTH = "above shuffled labels", "floor not subtracted", "last third of blocks - first third"


def drift_rules() -> tuple[Callable[[Run, Catalog], Finding | None], ...]:
    """One rule per measure, and one for depth."""
    return (*(partial(first_linear, measure) for measure in VERDICTS_ON), deepening)


def first_linear(measure: str, run: Run, catalog: Catalog) -> Finding | None:
    """Whether fc1 drifts more than each other part of a block, beyond what training on shuffled labels makes it drift.

    Supported: in most cells (backbone, task, labels) fc1 is above its floor and above every other part; refuted: in
    most it is less than a hundredth above some part that is above its own floor. The result without
    subtracting the floor is also shown.

    Returns:
        None without a fully tuned backbone.
    """
    title = f"full tuning changes fc1 most inside a block ({measure} drift)"
    cells = list(_cells(run, catalog))
    counted, uncounted = ([_lead(cell, measure, floor) for cell in cells] for floor in (True, False))
    own, other = (adjusted([one for one in some if one]) for some in (counted, uncounted))
    # The rival is the strongest of many, so that the mean is biased against fc1: it cannot refute.
    return _decided(title, cells, own, other, run, _parts_why, mean_refutes=False)


def deepening(run: Run, catalog: Catalog) -> Finding | None:
    """Whether the last third of the blocks drifts more than the first, both networks run whole.

    Supported: in most cells so; refuted: in most by less than a hundredth, or not at all on average.
    """
    cells = list(_cells(run, catalog))
    counted = [_depth(cell, cell.drift.raw_depth, RAW, counts=True) for cell in cells]
    uncounted = [_depth(cell, cell.drift.depth, OVER_FLOOR, counts=False) for cell in cells]
    title = "total drift under full tuning grows with depth"
    own, other = (adjusted([one for one in some if one]) for some in (counted, uncounted))
    return _decided(title, cells, own, other, run, _depth_why)


def _cells(run: Run, catalog: Catalog) -> Iterator[DriftCell]:
    models = {record.case.model for record in run.scored}
    for cases in comparable_drifts(run)[0]:
        for cell in cases.cells:
            if cell.adaptation.tuning == FULL and not excluded_model(cell.record, models, catalog):
                yield cell


def _lead(cell: DriftCell, measure: str, floor: bool) -> FindingCell | None:
    drift = cell.drift
    leads, excess = (drift.leads, drift.parts.get(measure)) if floor else (drift.raw_leads, None)
    own = leads.get(measure, {})
    if not own or min(len(one.per_seed) for one in own.values()) < 2:
        return None
    found = leader(own, excess, drift.units)
    # What lies below its floor decides nothing, however far it is ahead.
    p = found.p if found.verdict != "undecided" else max(found.p, NOT_CLEAR)
    group, contrast = OVER_FLOOR if floor else RAW, f"fc1 - {found.rival}"
    one_sided = p_of_lead(own, excess, drift.units), p_of_no_lead(own, excess, drift.units)
    return _cell(cell, group, contrast, found.lead, (p, *one_sided), counts=floor)


def p_of_lead(leads: Mapping[str, PerSeed], excess: Mapping[str, PerSeed] | None, units: int | None) -> float:
    """Return the p of fc1 not being above all: above every other part, and above its floor where one is asked for.

    To be above all is one hypothesis, so that the largest p of its parts is its own.
    """
    if excess is not None and LEADER not in excess:
        return 1.0
    own = () if excess is None else (excess[LEADER],)
    return max(p_over(one, units) for one in (*leads.values(), *own))


def p_of_no_lead(leads: Mapping[str, PerSeed], excess: Mapping[str, PerSeed] | None, units: int | None) -> float:
    """Return the p of fc1 being a hundredth above every other part: the smallest p times their number (Bonferroni).

    Parts that do not exceed their own floor do not affect it.
    """
    known = [p_under(leads[part], units, NEAR) for part in above_floor(leads, excess, units)]
    return min(1.0, len(leads) * min(known, default=1.0))


def _depth(cell: DriftCell, contrasts: dict[str, Contrast], group: str, counts: bool) -> FindingCell | None:
    one = contrasts.get("total")
    if one is None or len(one.per_seed) < 2:
        return None
    units = cell.drift.units
    p = p_of(one, units), p_over(one, units), p_under(one, units, NEAR)
    return _cell(cell, group, DEPTH, estimate(one, units), p, counts)


def _cell(
    cell: DriftCell, group: str, contrast: str, found: Estimate, p: tuple[float, float, float], counts: bool
) -> FindingCell:
    case = cell.record.case
    low, high = (None if end is None else 100 * end for end in (found.low, found.high))
    name = f"{case.model}-{case.task}-{case.adaptation}"
    return FindingCell(name, group, contrast, 100 * found.value, low, high, *p, counts, data_of(cell.record))


def _decided(
    title: str,
    tuned: Sequence[DriftCell],
    counted: Sequence[FindingCell],
    uncounted: Sequence[FindingCell],
    run: Run,
    say: Callable[[Sequence[FindingCell], Sequence[FindingCell]], tuple[str, ...]],
    mean_refutes: bool = True,
) -> Finding | None:
    if not tuned:
        return None
    evidence = str(run.records[0].evidence)
    cells = (*counted, *uncounted)
    missing = shortage(counted, {cell.id.split("-")[0] for cell in counted}, len(counted))
    if missing is not None:
        why = f"A cell is a fully tuned backbone with two or more seeds. {missing}"
        return Finding(5, title, "not enough records", None, None, None, UNIT, cells, evidence, (why,))
    means = {group[0].group: _over_backbones(group) for group in (counted, uncounted) if group}
    whole = means[counted[0].group]
    verdict = verdict_on_most(counted, whole, GAIN, mean_refutes=mean_refutes)
    ends = whole.value, whole.low, whole.high
    words = f"{most_words(counted, GAIN, whole)}.".capitalize()
    return Finding(5, title, verdict, *ends, UNIT, cells, evidence, (words, *say(counted, uncounted)), means)


def mean_over(backbones: Sequence[str], estimates: Sequence[float]) -> Difference:
    """Mean with a t interval over backbones, each the mean of its cells: seeds say nothing of other ones."""
    models: dict[str, list[float]] = {}
    for model, value in zip(backbones, estimates, strict=True):
        models.setdefault(model, []).append(value)
    found = estimate_of([mean(values) for values in models.values()])
    return Difference(found.value, found.low, found.high)


def _over_backbones(cells: Sequence[FindingCell]) -> Difference:
    return mean_over([cell.id.split("-")[0] for cell in cells], [cell.estimate for cell in cells])


def _parts_why(counted: Sequence[FindingCell], uncounted: Sequence[FindingCell]) -> tuple[str, ...]:
    rivals = sorted({cell.contrast.removeprefix("fc1 - ") for cell in counted if cell.below})
    clearly = f" ({', '.join(rivals)})" if rivals else ""
    return (
        f"Above the floor of shuffled labels, fc1 is clearly above every other part in "
        f"{sum(c.above for c in counted)} of {len(counted)} cells, clearly below another part in "
        f"{sum(c.below for c in counted)}{clearly}.",
        f"Without subtracting the floor: above in {sum(c.above for c in uncounted)} of {len(uncounted)} cells, below "
        f"in {sum(c.below for c in uncounted)}.",
        "Effect: fc1 minus the deciding part (the clearest of those ahead of fc1, otherwise the closest); mean and t "
        "interval over backbones. The deciding part is the strongest of seven, which biases the effect against fc1.",
    )


def _depth_why(counted: Sequence[FindingCell], uncounted: Sequence[FindingCell]) -> tuple[str, ...]:
    return (
        f"The last third of the blocks drifts clearly more in {sum(c.above for c in counted)} of {len(counted)} cells, "
        f"clearly less in {sum(c.below for c in counted)}.",
        f"Above the floor of shuffled labels: more in {sum(c.above for c in uncounted)} of {len(uncounted)} cells, "
        f"less in {sum(c.below for c in uncounted)}.",
    )
