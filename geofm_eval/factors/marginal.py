"""What decoder, tuning, labels, blocks and pretraining change: marginal effects with paired intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import Catalog, DenseAdaptation
from geofm_eval.catalog.dense import CHOSEN, DEPTH, MULTI, NARROW
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.trainings import Address, CaseStudy, TrainedCell
from geofm_eval.stats.counts import Term, contrast_interval
from geofm_eval.stats.difference import LEVEL, Difference

Partner = Callable[[TrainedCell], Address | None]
"""From a cell with the level to the address of the same cell with the base level; None for other cells."""


@dataclass(frozen=True)
class Effect:
    """Mean difference between two levels of a factor, over the cells that have both.

    Args:
        factor: such as ``tuning``.
        contrast: such as ``full - frozen``.
        model: slug; None for all models that are no controls.
        difference: in the metric, with its interval over seeds and images.
        pairs: names of the cells with the level, with their model.
    """

    factor: str
    contrast: str
    model: str | None
    difference: Difference
    pairs: tuple[str, ...]


def effects(study: CaseStudy, catalog: Catalog, pairs: Pairs) -> list[Effect]:
    """All effects that a study has cells for: pooled ones first, then model by model."""
    found: list[Effect] = []
    for factor, contrast, partner in _contrasts(study, catalog):
        matched = [
            (cell, study.by_address[address])
            for cell in study.candidates
            if (address := partner(cell)) in study.by_address and address
        ]
        models = sorted({cell.model for cell, _ in matched})
        for model in (None, *models) if len(models) > 1 else models:
            own = [(cell, base) for cell, base in matched if model in (None, cell.model)]
            found.append(
                Effect(
                    factor, contrast, model, mean_difference(own, pairs), tuple(f"{c.model}-{c.name}" for c, _ in own)
                )
            )
    return sorted(found, key=lambda effect: effect.model is not None)


def pooled(found: Sequence[Effect]) -> list[Effect]:
    """One effect per contrast: over all models, or of the only one."""
    over_all = [effect for effect in found if effect.model is None]
    known = {effect.contrast for effect in over_all}
    return [*over_all, *(effect for effect in found if effect.model is not None and effect.contrast not in known)]


def mean_difference(
    matched: Sequence[tuple[TrainedCell, TrainedCell]], pairs: Pairs, factors: Sequence[float] | None = None
) -> Difference:
    """Mean difference of test scores over pairs of cells of one study, with its paired interval over seeds and images.

    Each pair is a cell and its base; ``factors`` multiply every difference before the mean is taken (by default 1).
    """
    by = [1.0] * len(matched) if factors is None else list(factors)
    value = sum(f * (cell.score.value - base.score.value) for f, (cell, base) in zip(by, matched, strict=True))
    value /= len(matched)
    # A training that stands in several pairs, such as a twin that models share, is one term: its seeds are drawn once.
    weights: defaultdict[str, float] = defaultdict(float)
    known: dict[str, NDArray[Any]] = {}
    for factor, (cell, base) in zip(by, matched, strict=True):
        counts, others = (pairs.counts(one.record, one.fraction) for one in (cell, base))
        if counts is None or others is None:
            return Difference(value)
        # The same training under two names differs by nothing, whatever the seeds.
        if not np.array_equal(counts, others):
            for one, found, sign in ((cell, counts, 1), (base, others, -1)):
                weights[one.record.case.id] += sign * factor / len(matched)
                known[one.record.case.id] = found
    first = matched[0][0].record
    terms = [Term(weight, known[case], first.scores[matched[0][0].fraction].metric) for case, weight in weights.items()]
    if not terms:
        return Difference(0.0, 0.0, 0.0)
    interval = contrast_interval(terms, pairs.groups(first), LEVEL)
    return Difference.within(value, interval)


def _contrasts(study: CaseStudy, catalog: Catalog) -> Iterator[tuple[str, str, Partner]]:
    for tuning in ("full", "lora", "lora_fc1", "lnbias"):
        yield "tuning", f"{tuning} - frozen", _changed(lambda a, t=tuning: a.tuning == t, tuning="frozen")  # type: ignore[misc]
    yield "labels", "100 % - 10 %", _changed(lambda a: a.fraction == 1, fraction=0.1)
    yield "schedule", "equal steps - equal epochs", _changed(lambda a: a.variant == "long", variant="")
    yield "upsampling", "2x upsampled - plain", _changed(lambda a: a.variant == "up2", variant="")
    yield "dates", "one weight per date - attention", _changed(lambda a: a.variant == "dateweights", variant="")
    yield "augmentation", "random crops - fixed grid", _changed(lambda a: a.variant == "aug", variant="")
    upernets = {cell.adaptation.head for cell in study.cells if cell.adaptation.head.startswith("upernet")}
    for upernet in sorted(upernets):
        yield "decoder", f"lightms - {upernet}", _changed(lambda a: a.head == "lightms", head=upernet)
        yield "decoder", f"tokenlinear - {upernet}", to_upernet(catalog, ("tokenlinear",), upernet)
        yield (
            "decoder",
            f"single at the last block - {upernet}",
            to_upernet(catalog, ("single", NARROW["single"]), upernet),
        )
        yield "capacity", f"one block four times - {upernet}", _to_multi("same")
        yield "depth", f"blocks chosen by the dense probe - {upernet}", _to_multi("probe")
    yield "depth", "single at the chosen block - at the last", _to_last(catalog, CHOSEN)
    for layer in sorted({c.layer for c in study.cells if c.adaptation.head.startswith("single") and c.layer != CHOSEN}):
        yield "depth", f"single at {layer} - at the last", _to_last(catalog, layer)
    yield "pretraining", "pretrained - random twin", _to_twin(catalog)


def _changed(applies: Callable[[DenseAdaptation], bool], **base: object) -> Partner:
    def partner(cell: TrainedCell) -> Address | None:
        if not applies(cell.adaptation):
            return None
        return cell.model, replace(cell.adaptation, **base).slug, cell.layer  # type: ignore[arg-type]

    return partner


def last_block(catalog: Catalog, cell: TrainedCell) -> str:
    """The last block of a cell's model; of one that the catalog lacks, the deepest of twelve."""
    spec = catalog.models.get(cell.model)
    return f"block{(spec.depth if spec is not None else DEPTH) - 1:02d}"


def to_upernet(catalog: Catalog, heads: Sequence[str], upernet: str) -> Partner:
    """From a decoder that reads the last block alone to the one that reads four."""

    def partner(cell: TrainedCell) -> Address | None:
        if cell.adaptation.head not in heads or cell.layer != last_block(catalog, cell):
            return None
        return cell.model, replace(cell.adaptation, head=upernet).slug, MULTI

    return partner


def _to_multi(blocks: str) -> Partner:
    def partner(cell: TrainedCell) -> Address | None:
        if cell.adaptation.blocks != blocks:
            return None
        return cell.model, replace(cell.adaptation, blocks="").slug, MULTI

    return partner


def _to_last(catalog: Catalog, layer: str) -> Partner:
    def partner(cell: TrainedCell) -> Address | None:
        last = last_block(catalog, cell)
        fits = cell.adaptation.head.startswith("single") and cell.layer == layer != last
        return (cell.model, cell.adaptation.slug, last) if fits else None

    return partner


def _to_twin(catalog: Catalog) -> Partner:
    def partner(cell: TrainedCell) -> Address | None:
        spec = catalog.models.get(cell.model)
        twin = spec.twin if spec is not None and spec.twin else f"{cell.model}_random"
        return twin, cell.record.case.adaptation, cell.layer

    return partner
