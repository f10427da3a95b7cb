"""Finding 5: full tuning changes the first linear layer of an MLP more than other parts, and deep blocks most.

Each measure of drift has a verdict of its own: which part changes most depends on what one calls change.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import mean

from geofm_eval.catalog import Catalog
from geofm_eval.estimates import Estimate, estimate, estimate_of, leader, p_of
from geofm_eval.findings.finding import Cell, Finding, Verdict
from geofm_eval.findings.scope import model_aside
from geofm_eval.records import Contrast
from geofm_eval.report.choice import Difference, Pairs
from geofm_eval.report.comparison import identity
from geofm_eval.report.drift.cells import VERDICTS_ON, DriftCell, drift_studies
from geofm_eval.report.run import RunContent

UNIT = "hundredths"
"""Drift times 100: of 1 - CKA, or of the relative change of weights."""

FULL = "full"
FEWEST_CELLS, FEWEST_MODELS = 4, 2
NOT_CLEAR = 0.051
"""The least p that is shown of a lead that is undecided because nothing exceeds its floor."""

OVER_FLOOR, RAW, DEPTH = "above shuffled labels", "floor not taken off", "last third of blocks - first third"


def drift_rules() -> tuple[Callable[[RunContent, Pairs, Catalog], Finding | None], ...]:
    """One rule per measure, and one for depth."""
    parts = tuple(_rule_of(measure) for measure in VERDICTS_ON)
    return (*parts, deepening)


def _rule_of(measure: str) -> Callable[[RunContent, Pairs, Catalog], Finding | None]:
    def rule(content: RunContent, pairs: Pairs, catalog: Catalog) -> Finding | None:
        return first_linear(measure, content, catalog)

    return rule


def first_linear(measure: str, content: RunContent, catalog: Catalog) -> Finding | None:
    """Whether fc1 drifts more than each other part of a block, beyond what training on shuffled labels makes it drift.

    Supported: in more than half of the cells (backbone, task, labels) fc1 is clearly above every other part; refuted:
    in more than half some other part is clearly above it. The same without taking the floor off stands beside.

    Args:
        measure: ``total``, ``local`` or ``weight``.
        content: records of one evidence class.
        catalog: for what counts.

    Returns:
        None without a fully tuned backbone.
    """
    title = f"full tuning changes fc1 most inside a block ({measure} drift)"
    cells = list(_cells(content, catalog))
    counted, beside = ([_lead(cell, measure, floor) for cell in cells] for floor in (True, False))
    return _decided(title, cells, [one for one in counted if one], [one for one in beside if one], content, _parts_why)


def deepening(content: RunContent, pairs: Pairs, catalog: Catalog) -> Finding | None:
    """Whether the last third of the blocks drifts more than the first, both networks run whole.

    Supported: in more than half of the cells clearly so; refuted: in more than half clearly the other way round.
    """
    cells = list(_cells(content, catalog))
    counted = [_depth(cell, cell.drift.raw_depth, RAW, counts=True) for cell in cells]
    beside = [_depth(cell, cell.drift.depth, OVER_FLOOR, counts=False) for cell in cells]
    title = "total drift under full tuning grows with depth"
    return _decided(title, cells, [one for one in counted if one], [one for one in beside if one], content, _depth_why)


def _cells(content: RunContent, catalog: Catalog) -> Iterator[DriftCell]:
    models = {record.case.model for record in content.scored}
    for study in drift_studies(content)[0]:
        for cell in study.cells:
            if cell.adaptation.tuning == FULL and not model_aside(cell.record, models, catalog):
                yield cell


def _lead(cell: DriftCell, measure: str, floor: bool) -> Cell | None:
    drift = cell.drift
    leads, excess = (drift.leads, drift.parts.get(measure)) if floor else (drift.raw_leads, None)
    own = leads.get(measure, {})
    if not own or min(len(one.per_seed) for one in own.values()) < 2:
        return None
    found = leader(own, excess, drift.units)
    # What lies below its floor decides nothing, however far it is ahead.
    p = found.p if found.verdict != "undecided" else max(found.p, NOT_CLEAR)
    return _cell(cell, OVER_FLOOR if floor else RAW, f"fc1 - {found.rival}", found.lead, p, counts=floor)


def _depth(cell: DriftCell, contrasts: dict[str, Contrast], group: str, counts: bool) -> Cell | None:
    one = contrasts.get("total")
    if one is None or len(one.per_seed) < 2:
        return None
    units = cell.drift.units
    return _cell(cell, group, DEPTH, estimate(one, units), p_of(one, units), counts)


def _cell(cell: DriftCell, group: str, contrast: str, found: Estimate, p: float, counts: bool) -> Cell:
    case = cell.record.case
    ends = [None if end is None else 100 * end for end in (found.low, found.high)]
    data = identity(cell.record)["items_sha256"]
    name = f"{case.model}-{case.task}-{case.adaptation}"
    return Cell(name, group, contrast, 100 * found.value, ends[0], ends[1], p, None, counts, data)


def _decided(
    title: str,
    tuned: Sequence[DriftCell],
    counted: Sequence[Cell],
    beside: Sequence[Cell],
    content: RunContent,
    say: Callable[[Sequence[Cell], Sequence[Cell]], tuple[str, ...]],
) -> Finding | None:
    if not tuned:
        return None
    evidence = str(content.records[0].evidence)
    cells = (*counted, *beside)
    backbones = len({cell.model for cell in tuned})
    if len(counted) < FEWEST_CELLS or backbones < FEWEST_MODELS:
        why = (
            f"Found: {len(counted)} fully tuned cells of {backbones} backbones; needed: at least {FEWEST_CELLS} cells "
            f"and {FEWEST_MODELS} backbones."
        )
        return Finding(5, title, "not enough records", None, None, None, UNIT, cells, evidence, (why,))
    half = len(counted) / 2
    verdict: Verdict = "undecided"
    if sum(cell.above for cell in counted) > half:
        verdict = "supported"
    elif sum(cell.below for cell in counted) > half:
        verdict = "refuted"
    means = {group[0].group: _over_backbones(group) for group in (counted, beside) if group}
    whole = means[counted[0].group]
    ends = whole.value, whole.low, whole.high
    return Finding(5, title, verdict, *ends, UNIT, cells, evidence, say(counted, beside), means)


def _over_backbones(cells: Sequence[Cell]) -> Difference:
    """Mean with a t interval over backbones, each the mean of its cells: seeds say nothing of other ones."""
    models: dict[str, list[float]] = {}
    for cell in cells:
        models.setdefault(cell.id.split("-")[0], []).append(cell.estimate)
    found = estimate_of([mean(values) for values in models.values()])
    return Difference(found.value, found.low, found.high)


def _parts_why(counted: Sequence[Cell], beside: Sequence[Cell]) -> tuple[str, ...]:
    rivals = sorted({cell.contrast.removeprefix("fc1 - ") for cell in counted if cell.below})
    clearly = f" (by {', '.join(rivals)})" if rivals else ""
    return (
        f"Beyond the floor of shuffled labels fc1 is clearly above every other part in {sum(c.above for c in counted)} "
        f"of {len(counted)} cells, clearly below some part in {sum(c.below for c in counted)}{clearly}.",
        f"Without taking that floor off: above in {sum(c.above for c in beside)}, below in "
        f"{sum(c.below for c in beside)} of {len(beside)}.",
        "Effect: fc1 minus the part that decides (of those ahead the clearest, else the closest), mean over backbones, "
        "t over backbones. As the strongest of seven it is biased against fc1.",
    )


def _depth_why(counted: Sequence[Cell], beside: Sequence[Cell]) -> tuple[str, ...]:
    return (
        f"Clearly more in the last third in {sum(c.above for c in counted)} of {len(counted)} cells, clearly less in "
        f"{sum(c.below for c in counted)}.",
        f"Beyond the floor of shuffled labels: more in {sum(c.above for c in beside)}, less in "
        f"{sum(c.below for c in beside)} of {len(beside)}.",
    )
