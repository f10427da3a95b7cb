"""Finding 4: a single-level decoder on an earlier block beats the same on the last block."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.dense import CHOSEN, DEPTH, MULTI, SINGLE_BLOCKS, scaled_block
from geofm_eval.findings.finding import (
    Cell,
    Finding,
    Verdict,
    adjusted,
    cell_of,
    decide,
    decided,
    in_points,
    joint,
    points_per_unit,
    spread,
    tally,
    undecidable,
)
from geofm_eval.findings.scope import model_aside
from geofm_eval.report.choice import Difference, Pairs
from geofm_eval.report.comparison import identity
from geofm_eval.report.dense.cells import Address, case_studies
from geofm_eval.report.dense.cells import Cell as Trained
from geofm_eval.report.dense.effects import last_block, mean_difference
from geofm_eval.report.run import RunContent

TITLE = "a single-level decoder on an earlier block beats one on the last"
FIXED = tuple(f"block {block} of {DEPTH}" for block in SINGLE_BLOCKS[:-1])
"""Groups that count: contrasts that are fixed before any score is read."""

PROBED = "block chosen by the dense probe"
SAME, PROBE = "upernet_same - upernet", "upernet_probe - upernet"
BESIDE = (PROBED, SAME, PROBE)
"""Groups that do not count: validation chose, or the number of trained parameters is the same."""

FEWEST_MODELS, FEWEST_CELLS = 2, 4


@dataclass(frozen=True)
class Contrast:
    """Two trained cases that differ in the blocks that they read.

    Args:
        group: such as ``block 5 of 12``.
        cell: the case that may gain.
        base: the one that it is set against.
    """

    group: str
    cell: Trained
    base: Trained

    @property
    def data(self) -> str:
        """Equal for cases that were tested on the same items."""
        return identity(self.cell.record)["items_sha256"]

    def measured(self, pairs: Pairs) -> Cell:
        """The difference in points, with its paired interval over seeds and images."""
        case = self.cell.record.case
        name = f"{case.model}-{case.task}-{case.adaptation}"
        difference = in_points(mean_difference([(self.cell, self.base)], pairs), self.cell.score, self.base.score)
        contrast = f"{_reads(self.cell)} - {_reads(self.base)}"
        return cell_of(name, self.group, contrast, difference, self.group in FIXED, self.data)


def heads_and_depth(content: RunContent, pairs: Pairs, catalog: Catalog) -> Finding | None:
    """Whether the single-level decoder gains by block 5 or 7 of twelve, in most cells of model, tuning and labels.

    Args:
        content: records of one evidence class.
        pairs: for paired intervals.
        catalog: for the depth of models, and for what counts.

    Returns:
        None without a single-level decoder on two blocks of one backbone.
    """
    contrasts = list(_contrasts(content, catalog))
    fixed = [one for one in contrasts if one.group in FIXED]
    if not fixed:
        return None
    # The better of two blocks may count, so that both are one family.
    ours = adjusted([one.measured(pairs) for one in fixed])
    cells = list(ours)
    for group in BESIDE:
        cells += adjusted([one.measured(pairs) for one in contrasts if one.group == group])
    tested = {name: [cell for cell in ours if cell.group == name and cell.p is not None] for name in FIXED}
    backbones = len({one.cell.model for one in fixed})
    least = min(map(len, tested.values()))
    if backbones < FEWEST_MODELS or least < FEWEST_CELLS or 2 * sum(map(len, tested.values())) < len(ours):
        why = (
            f"{backbones} backbones; cells with a paired interval: "
            f"{', '.join(f'{name} {len(own)}' for name, own in tested.items())}. Needed are {FEWEST_MODELS} backbones, "
            f"{FEWEST_CELLS} cells of either block, and intervals for half of all."
        )
        return undecidable(4, TITLE, cells, content, why)
    groups = [name for name in (*FIXED, *BESIDE) if any(one.group == name for one in contrasts)]
    means = {name: _mean([one for one in contrasts if one.group == name], pairs) for name in groups}
    verdicts = [decide(own, means[name]) for name, own in tested.items()]
    order: tuple[Verdict, ...] = ("supported", "undecided", "refuted")
    verdict = next(one for one in order if one in verdicts)
    reasons = (_count(tested, means, backbones, fixed), *_beside(cells, means))
    return decided(4, TITLE, verdict, _mean(fixed, pairs), cells, content, reasons, means)


def _contrasts(content: RunContent, catalog: Catalog) -> Iterator[Contrast]:
    models = {record.case.model for record in content.scored}
    for study in case_studies(content)[0]:
        found = study.by_address
        for cell in sorted(study.cells, key=lambda cell: cell.address):
            if model_aside(cell.record, models, catalog):
                continue
            for group, address in _partners(cell, catalog):
                if address in found:
                    yield Contrast(group, cell, found[address])


def _partners(cell: Trained, catalog: Catalog) -> Iterator[tuple[str, Address]]:
    """What a case is set against, by group; nothing for most."""
    adaptation, model = cell.adaptation, cell.model
    if adaptation.variant:
        return
    if adaptation.blocks:
        group = SAME if adaptation.blocks == "same" else PROBE
        yield group, (model, replace(adaptation, blocks="").slug, MULTI)
    if not adaptation.head.startswith("single"):
        return
    spec = catalog.models.get(model)
    depth = DEPTH if spec is None else spec.depth
    last = last_block(catalog, cell)
    for block, group in zip(SINGLE_BLOCKS, FIXED, strict=False):
        if cell.layer == f"block{scaled_block(block, depth):02d}" != last:
            yield group, (model, adaptation.slug, last)
    if cell.layer == CHOSEN:
        yield PROBED, (model, adaptation.slug, last)


def _reads(cell: Trained) -> str:
    """Such as ``block05``, ``block07 (chosen)`` or ``upernet_same``."""
    training, adaptation = cell.record.training, cell.adaptation
    if cell.layer == CHOSEN and training is not None:
        return f"{training.taps[0]} (chosen)"
    if adaptation.head.startswith("single"):
        return cell.layer
    return "_".join(part for part in (adaptation.head, adaptation.blocks) if part)


def _mean(contrasts: Sequence[Contrast], pairs: Pairs) -> Difference:
    """Mean in points: of one task with the interval that its cells have together, tasks then joined."""
    tasks: defaultdict[tuple[str, str], list[Contrast]] = defaultdict(list)
    for one in contrasts:
        tasks[one.cell.record.case.task, one.data].append(one)
    parts = []
    for (_, data), own in tasks.items():
        factors = [points_per_unit(one.cell.score, one.base.score) for one in own]
        mean = mean_difference([(one.cell, one.base) for one in own], pairs, factors)
        parts.append((len(own) / len(contrasts), mean, data))
    return joint(parts)


def _count(
    tested: Mapping[str, Sequence[Cell]], means: Mapping[str, Difference], backbones: int, fixed: Sequence[Contrast]
) -> str:
    tasks = sorted({one.cell.record.case.task for one in fixed})
    parts = [f"{name} {spread(means[name])}, {tally(own)}" for name, own in tested.items()]
    return (
        f"Cells of {backbones} backbones, tuning and labels on {', '.join(tasks)}: {'; '.join(parts)}; more than half "
        "at one of these blocks are needed, after Holm over both."
    )


def _beside(cells: Sequence[Cell], means: Mapping[str, Difference]) -> list[str]:
    parts = [
        f"{name} {spread(means[name])}, {tally(own)}"
        for name in BESIDE
        if (own := [cell for cell in cells if cell.group == name])
    ]
    return [f"Beside it: {'; '.join(parts)}."] if parts else []
