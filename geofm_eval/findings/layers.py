"""Finding 2: the tap that validation chooses beats ``final`` in most cells of model and task."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.findings.finding import (
    Cell,
    Finding,
    adjusted,
    cell_of,
    decide,
    decided,
    in_points,
    mean_of,
    spread,
    tally,
    undecidable,
)
from geofm_eval.findings.scope import Probed, probed
from geofm_eval.report.choice import Difference, Pairs, choose_tap
from geofm_eval.report.comparison import LAST, last_block
from geofm_eval.report.reselected import selected_difference
from geofm_eval.report.run import RunContent

TITLE = "the tap that validation chooses beats final"
BEFORE_NORM = "minus the last block"
"""Group of the cells that count, set against the last block before the norm."""

FEWEST_MODELS, FEWEST_TASKS = 2, 2


def layer_gain(content: RunContent, pairs: Pairs, catalog: Catalog) -> Finding | None:
    """Whether test scores at the tap that validation chooses exceed those at ``final`` in most cells.

    Args:
        content: records of one evidence class.
        pairs: for paired intervals.
        catalog: for kinds of probes, and for what counts.

    Returns:
        None without a probe of several taps.
    """
    found = list(probed(content, catalog))
    counted = [one for one in found if not one.aside]
    cells = _by_family([cell for one in found if (cell := _gain(one, LAST, pairs, one.group)) is not None])
    if not cells:
        return None
    blocks = [
        _gain(one, block, pairs, BEFORE_NORM) for one in counted if (block := last_block(one.subject)) is not None
    ]
    cells += adjusted([cell for cell in blocks if cell is not None])
    ours = [cell for cell in cells if cell.counts]
    tested = [cell for cell in ours if cell.p is not None]
    names = {cell.id for cell in tested}
    models = len({one.subject.model for one in counted if one.name in names})
    tasks = len({one.comparison.record.case.task for one in counted if one.name in names})
    if models < FEWEST_MODELS or tasks < FEWEST_TASKS or 2 * len(tested) < len(ours):
        why = (
            f"{len(tested)} of {len(ours)} cells have a paired interval, of {models} backbones and {tasks} tasks: "
            f"needed are half of the cells, {FEWEST_MODELS} backbones and {FEWEST_TASKS} tasks."
        )
        return undecidable(2, TITLE, cells, content, why)
    mean = mean_of(tested)
    reasons = (_count(tested, models, tasks, len(ours) - len(tested)), _by_probe(tested), *_beside(cells))
    return decided(2, TITLE, decide(tested, mean), mean, cells, content, reasons)


def _gain(one: Probed, base: str, pairs: Pairs, group: str) -> Cell | None:
    """The cell of one subject; None where validation can choose no tap, or the base was not measured."""
    fraction = one.comparison.full
    chosen = choose_tap(one.subject, fraction)
    score = one.subject.score(base, fraction)
    if chosen is None or score is None:
        return None
    records = one.subject.taps[chosen.tap], one.subject.taps[base]
    difference: Difference | None = Difference(chosen.score.value - score.value)
    # A committed reference keeps the outcomes of few taps: that is no reason to complain of each of the others.
    if chosen.tap == base or all(record.outcomes_sha256 is not None for record in records):
        difference = selected_difference(one.subject, base, fraction, pairs)
    assert difference is not None
    counts = group == one.group and not one.aside
    contrast = f"{chosen.tap} - {base}"
    return cell_of(one.name, group, contrast, in_points(difference, chosen.score, score), counts, one.data)


def _by_family(cells: Sequence[Cell]) -> list[Cell]:
    """Holm over all cells that count, and apart from them over those of every other group."""
    families = dict.fromkeys(_family(cell) for cell in cells)
    return [one for name in families for one in adjusted([cell for cell in cells if _family(cell) == name])]


def _family(cell: Cell) -> str:
    return "" if cell.counts else cell.group


def _count(tested: Sequence[Cell], models: int, tasks: int, without: int) -> str:
    gains, losses = sum(cell.above for cell in tested), sum(cell.below for cell in tested)
    chose_final = sum(cell.contrast == f"{LAST} - {LAST}" for cell in tested)
    text = (
        f"{gains} of {len(tested)} cells ({models} backbones, {tasks} tasks) gain after Holm, more than half are "
        f"needed; {losses} lose; validation chose final in {chose_final}"
    )
    return text + (f"; {without} more have no interval." if without else ".")


def _by_probe(tested: Sequence[Cell]) -> str:
    groups = {cell.group: [one for one in tested if one.group == cell.group] for cell in tested}
    return f"By probe: {'; '.join(f'{name} {spread(mean_of(own))}, {tally(own)}' for name, own in groups.items())}."


def _beside(cells: Sequence[Cell]) -> list[str]:
    """Groups that are set aside for one reason, in a sentence; the table has the others too."""
    parts = []
    for name in dict.fromkeys(cell.group for cell in cells if not cell.counts and ", " not in cell.group):
        own = [cell for cell in cells if cell.group == name and not cell.counts]
        known = [cell for cell in own if cell.p is not None]
        few = 2 * len(known) < len(own)
        certainty = f"{len(known)} of {len(own)} with an interval" if few else tally(known)
        parts.append(f"{name} {spread(mean_of(own if few else known))}, {certainty}")
    return [f"Beside it: {'; '.join(parts)}."] if parts else []
