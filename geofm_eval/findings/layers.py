"""Finding 2: the tap that validation chooses beats ``final`` in most cells of model and task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.catalog import Catalog
from geofm_eval.findings.finding import (
    GAIN,
    Finding,
    FindingCell,
    adjusted,
    cell_of,
    decided,
    spread,
    tally,
    undecidable,
)
from geofm_eval.findings.means import Means, Pairing
from geofm_eval.findings.most import most_words, not_counted, shortage, verdict_on_most, without
from geofm_eval.plurals import counted
from geofm_eval.results.comparison import LAST, last_block
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.reselected import selected_difference
from geofm_eval.results.run import Run
from geofm_eval.results.scope import Probed, probed
from geofm_eval.results.taps import choose_tap
from geofm_eval.results.units import in_points
from geofm_eval.stats.difference import Difference

TITLE = "the tap that validation chooses beats final"
BEFORE_NORM = "minus the last block"
"""Group of the cells that count, set against the last block before the norm."""


@dataclass(frozen=True)
class Gain:
    """A cell and the two scores that it is the difference of."""

    cell: FindingCell
    pairing: Pairing
    one: Probed


def layer_gain(run: Run, catalog: Catalog) -> Finding | None:
    """Whether test scores at the tap that validation chooses exceed those at ``final`` in most cells.

    Returns:
        None without a probe of several taps.
    """
    found = probed(run, catalog)
    made = [gain for one in found if (gain := _gain(one, LAST, run.pairs, one.group)) is not None]
    if not made:
        return None
    gains = _by_family(made)
    blocks = [
        _gain(one, block, run.pairs, BEFORE_NORM)
        for one in found
        if not one.aside and (block := last_block(one.subject)) is not None
    ]
    gains += _adjusted([gain for gain in blocks if gain is not None])
    cells = [gain.cell for gain in gains]
    counting = [gain for gain in gains if gain.cell.counts]
    tested = [gain for gain in counting if gain.cell.p is not None]
    ours = [gain.cell for gain in tested]
    backbones = {gain.one.subject.model for gain in tested}
    means = _means(gains, run.pairs)
    missing = shortage(ours, backbones, len(counting))
    if missing is not None:
        return undecidable(2, TITLE, cells, run, missing, means)
    mean = Means(run.pairs).over([gain.pairing for gain in tested])
    tasks = {gain.one.comparison.record.case.task for gain in tested}
    data = f"{counted(len(tasks), 'task')} on {counted(len({cell.data for cell in ours}), 'data set')}"
    reasons = [
        f"{counted(len(backbones), 'backbone')}, {data}: {most_words(ours, GAIN, mean)}.",
        _by_probe(ours, means),
        *([without(len(counting) - len(ours))] if len(counting) > len(ours) else []),
        *_not_counted(cells, means),
    ]
    return decided(2, TITLE, verdict_on_most(ours, mean, GAIN), mean, cells, run, tuple(reasons), means)


def _gain(one: Probed, base: str, pairs: Pairs, group: str) -> Gain | None:
    """Make the cell of one subject; None where validation can choose no tap, or the base was not measured."""
    fraction = one.comparison.full
    chosen = choose_tap(one.subject, fraction)
    score = one.subject.score(base, fraction)
    if chosen is None or score is None:
        return None
    records = chosen.record, one.subject.taps[base]
    difference: Difference | None = Difference(chosen.score.value - score.value)
    # A committed reference keeps the outcomes of few taps: that is no reason to complain of each of the others.
    if records[0] is records[1] or all(record.outcomes_sha256 is not None for record in records):
        difference = selected_difference(one.subject, base, fraction, pairs)
    assert difference is not None
    counts = group == one.group and not one.aside
    contrast = f"{chosen.tap} - {base}"
    cell = cell_of(one.name, group, contrast, in_points(difference, chosen.score, score), counts, one.data)
    return Gain(cell, Pairing(*records, fraction), one)


def _means(gains: Sequence[Gain], pairs: Pairs) -> dict[str, Difference]:
    """Mean of every group: of the cells with an interval, or of all of them where those are few."""
    groups = dict.fromkeys(gain.cell.group for gain in gains)
    own = {name: [gain for gain in gains if gain.cell.group == name] for name in groups}
    known = {name: [gain for gain in some if gain.cell.p is not None] for name, some in own.items()}
    kept = {name: known[name] if 2 * len(known[name]) >= len(some) else some for name, some in own.items()}
    return Means(pairs).of_groups({name: [gain.pairing for gain in some] for name, some in kept.items()})


def _by_family(gains: Sequence[Gain]) -> list[Gain]:
    """Adjust (Holm) over all cells that count, and apart from them over those of every other group."""
    families = dict.fromkeys(_family(gain.cell) for gain in gains)
    return [one for name in families for one in _adjusted([gain for gain in gains if _family(gain.cell) == name])]


def _adjusted(gains: Sequence[Gain]) -> list[Gain]:
    cells = adjusted([gain.cell for gain in gains])
    return [replace(gain, cell=cell) for gain, cell in zip(gains, cells, strict=True)]


def _family(cell: FindingCell) -> str:
    return "" if cell.counts else cell.group


def _by_probe(tested: Sequence[FindingCell], means: Mapping[str, Difference]) -> str:
    groups = {cell.group: [one for one in tested if one.group == cell.group] for cell in tested}
    chose_final = sum(cell.contrast == f"{LAST} - {LAST}" for cell in tested)
    parts = [f"{name} {spread(means[name])}, {tally(own)}" for name, own in groups.items()]
    return f"By probe: {'; '.join(parts)}. Validation chose final in {counted(chose_final, 'cell')}."


def _not_counted(cells: Sequence[FindingCell], means: Mapping[str, Difference]) -> list[str]:
    parts = []
    for name in dict.fromkeys(cell.group for cell in cells if not cell.counts and ", " not in cell.group):
        own = [cell for cell in cells if cell.group == name and not cell.counts]
        known = [cell for cell in own if cell.p is not None]
        few = 2 * len(known) < len(own)
        certainty = f"{len(known)} of {len(own)} with an interval" if few else tally(known)
        parts.append(f"{name} {spread(means[name])}, {certainty}")
    return not_counted(parts)
