"""Finding 4: a single-level decoder on an earlier block beats the same on the last block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.dense import CHOSEN, DEPTH, MULTI, SINGLE_BLOCKS, scaled_block
from geofm_eval.factors.marginal import depth_of, last_block, mean_difference
from geofm_eval.findings.finding import (
    GAIN,
    Finding,
    FindingCell,
    Verdict,
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
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import Run
from geofm_eval.results.scope import data_of, excluded_model
from geofm_eval.results.trainings import Address, TrainedCell, comparable_trainings
from geofm_eval.results.units import in_points
from geofm_eval.stats.difference import Difference

TITLE = "a single-level decoder on an earlier block beats one on the last"
FIXED = tuple(f"block {block} of {DEPTH}" for block in SINGLE_BLOCKS[:-1])
"""Groups that count: contrasts that are fixed before any score is read."""

PROBED = "block chosen by the dense probe"
SAME, PROBE = "upernet_same - upernet", "upernet_probe - upernet"
NOT_COUNTED = (PROBED, SAME, PROBE)
"""Groups that do not count: validation chose, or the number of trained parameters is the same."""


@dataclass(frozen=True)
class DecoderContrast:
    """Two trained cases that differ in the blocks that they read: the one that may gain, and its base."""

    group: str
    cell: TrainedCell
    base: TrainedCell

    @property
    def data(self) -> str:
        """Equal for cases that were tested on the same items."""
        return data_of(self.cell.record)

    @property
    def name(self) -> str:
        """Id of the cell: ``pocket_mae-pastis_sim-single_w064_full_p100``."""
        case = self.cell.record.case
        return f"{case.model}-{case.task}-{case.adaptation}"

    @property
    def reads(self) -> str:
        """Blocks that are compared: ``block05 - block11``."""
        return f"{_reads(self.cell)} - {_reads(self.base)}"

    @property
    def pairing(self) -> Pairing:
        """The scores that the cell is the difference of."""
        return Pairing(self.cell.record, self.base.record, self.cell.fraction)

    def measured(self, pairs: Pairs) -> FindingCell:
        """The difference in points, with its paired interval over seeds and images."""
        difference = in_points(mean_difference([(self.cell, self.base)], pairs), self.cell.score, self.base.score)
        return cell_of(self.name, self.group, self.reads, difference, self.group in FIXED, self.data)


def heads_and_depth(run: Run, catalog: Catalog) -> Finding | None:
    """Whether the single-level decoder gains by block 5 or 7 of twelve, in most cells of model, tuning and labels.

    Returns:
        None without a single-level decoder on two blocks of one backbone.
    """
    contrasts = list(_contrasts(run, catalog))
    fixed = [one for one in contrasts if one.group in FIXED]
    if not fixed:
        return None
    groups = {name: [one for one in contrasts if one.group == name] for name in (*FIXED, *NOT_COUNTED)}
    ours = adjusted([one.measured(run.pairs) for one in fixed])
    others = (adjusted([one.measured(run.pairs) for one in groups[name]]) for name in NOT_COUNTED)
    cells = [*ours, *(cell for own in others for cell in own)]
    tested = {name: [cell for cell in ours if cell.group == name and cell.p is not None] for name in FIXED}
    known = {(cell.id, cell.contrast) for cell in cells if cell.p is not None}
    means = Means(run.pairs).of_groups(
        {name: [one.pairing for one in own if (one.name, one.reads) in known] for name, own in groups.items()}
    )
    missing = [_shortage(name, groups[name], own) for name, own in tested.items()]
    if any(missing):
        return undecidable(4, TITLE, cells, run, " ".join(text for text in missing if text), means)
    # Either of two blocks may support the claim; to refute it both must.
    verdicts = [verdict_on_most(own, means[name], GAIN, len(FIXED)) for name, own in tested.items()]
    order: tuple[Verdict, ...] = ("supported", "undecided", "refuted")
    verdict = next(one for one in order if one in verdicts)
    mean = means[FIXED[verdicts.index(verdict)]]
    absent = len(ours) - sum(map(len, tested.values()))
    reasons = (*_count(tested, means, fixed), *([without(absent)] if absent else []), *_not_counted(cells, means))
    return decided(4, TITLE, verdict, mean, cells, run, reasons, means)


def _shortage(name: str, contrasts: Sequence[DecoderContrast], tested: Sequence[FindingCell]) -> str | None:
    known = {cell.id for cell in tested}
    missing = shortage(tested, {one.cell.model for one in contrasts if one.name in known}, len(contrasts))
    return None if missing is None else f"{name[0].upper()}{name[1:]}: {missing}"


def _contrasts(run: Run, catalog: Catalog) -> Iterator[DecoderContrast]:
    models = {record.case.model for record in run.scored}
    for cases in comparable_trainings(run)[0]:
        found = cases.by_address
        for cell in sorted(cases.cells, key=lambda cell: cell.address):
            if excluded_model(cell.record, models, catalog):
                continue
            for group, address in _partners(cell, catalog):
                if address in found:
                    yield DecoderContrast(group, cell, found[address])


def _partners(cell: TrainedCell, catalog: Catalog) -> Iterator[tuple[str, Address]]:
    """Yield what a case is compared with, by group; nothing for most."""
    adaptation, model = cell.adaptation, cell.model
    if adaptation.variant:
        return
    if adaptation.blocks:
        group = SAME if adaptation.blocks == "same" else PROBE
        yield group, (model, replace(adaptation, blocks="").slug, MULTI)
    if not adaptation.head.startswith("single"):
        return
    depth, last = depth_of(model, catalog), last_block(catalog, cell)
    for block, group in zip(SINGLE_BLOCKS, FIXED, strict=False):
        if cell.layer == f"block{scaled_block(block, depth):02d}" != last:
            yield group, (model, adaptation.slug, last)
    if cell.layer == CHOSEN:
        yield PROBED, (model, adaptation.slug, last)


def _reads(cell: TrainedCell) -> str:
    training, adaptation = cell.record.training, cell.adaptation
    if cell.layer == CHOSEN and training is not None:
        return f"{training.taps[0]} (chosen)"
    if adaptation.head.startswith("single"):
        return cell.layer
    return "_".join(part for part in (adaptation.head, adaptation.blocks) if part)


def _count(
    tested: Mapping[str, Sequence[FindingCell]], means: Mapping[str, Difference], fixed: Sequence[DecoderContrast]
) -> Iterator[str]:
    tasks = sorted({one.cell.record.case.task for one in fixed})
    backbones = len({one.cell.model for one in fixed})
    yield f"Cells: {counted(backbones, 'backbone')} x tuning x labels on {', '.join(tasks)}, for each of two blocks."
    for name, own in tested.items():
        words = most_words(own, GAIN, means[name], len(FIXED))
        yield f"{name[0].upper()}{name[1:]} {spread(means[name])}: {words}; {tally(own)}."


def _not_counted(cells: Sequence[FindingCell], means: Mapping[str, Difference]) -> list[str]:
    parts = [
        f"{name} {spread(means[name])}, {tally([cell for cell in cells if cell.group == name])}"
        for name in NOT_COUNTED
        if name in means
    ]
    return not_counted(parts)
