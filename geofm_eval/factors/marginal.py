"""Marginal effects of decoder, tuning, labels, blocks and pretraining, with paired intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.dense import CHOSEN, DEPTH, MULTI, NARROW
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.trainings import Address, TrainedCases, TrainedCell
from geofm_eval.stats.counts import Term, contrast_interval
from geofm_eval.stats.difference import LEVEL, Difference

Partner = Callable[[TrainedCell], Address | None]
"""From a cell with the level to the address of the same cell with the base level; None for other cells."""


@dataclass(frozen=True)
class Effect:
    """Mean difference between two levels of a factor (``full - frozen`` of ``tuning``) over ``pairs`` of cells.

    ``model`` is None for all models without controls. The interval is over seeds and images.
    """

    factor: str
    contrast: str
    model: str | None
    difference: Difference
    pairs: tuple[str, ...]


def effects(cases: TrainedCases, catalog: Catalog) -> list[Effect]:
    """Return all effects that a cases has cells for: pooled ones first, then model by model."""
    found: list[Effect] = []
    for factor, contrast, partner in _contrasts(cases, catalog):
        matched = [
            (cell, cases.by_address[address])
            for cell in cases.candidates
            if (address := partner(cell)) in cases.by_address and address
        ]
        models = sorted({cell.model for cell, _ in matched})
        for model in (None, *models) if len(models) > 1 else models:
            own = [(cell, base) for cell, base in matched if model in (None, cell.model)]
            names = tuple(f"{cell.model}-{cell.name}" for cell, _ in own)
            found.append(Effect(factor, contrast, model, mean_difference(own, cases.pairs), names))
    return sorted(found, key=lambda effect: effect.model is not None)


def pooled(found: Sequence[Effect]) -> list[Effect]:
    """Return one effect per contrast: over all models, or of the only one."""
    over_all = [effect for effect in found if effect.model is None]
    known = {effect.contrast for effect in over_all}
    return [*over_all, *(effect for effect in found if effect.model is not None and effect.contrast not in known)]


def mean_difference(
    matched: Sequence[tuple[TrainedCell, TrainedCell]], pairs: Pairs, factors: Sequence[float] | None = None
) -> Difference:
    """Return the mean difference of test scores over pairs of comparable cells, with its paired interval.

    The interval is over seeds and images. Each pair is a cell and its base; ``factors`` multiply the differences.
    """
    by = [1.0] * len(matched) if factors is None else list(factors)
    value = sum(f * (cell.score.value - base.score.value) for f, (cell, base) in zip(by, matched, strict=True))
    value /= len(matched)
    # A training in several pairs, for example a twin that models share, is one term: its seeds are drawn once.
    weights: defaultdict[str, float] = defaultdict(float)
    known: dict[str, NDArray[Any]] = {}
    for factor, (cell, base) in zip(by, matched, strict=True):
        counts, others = (pairs.counts(one.record, one.fraction) for one in (cell, base))
        if counts is None or others is None:
            return Difference(value)
        # The same training under two names has no difference, whatever the seeds.
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


def _contrasts(cases: TrainedCases, catalog: Catalog) -> Iterator[tuple[str, str, Partner]]:
    for tuning in ("full", "lora", "lora_fc1", "lnbias"):
        yield "tuning", f"{tuning} - frozen", _changed("tuning", tuning, "frozen")
    yield "labels", "100 % - 10 %", _changed("fraction", 1.0, 0.1)
    yield "schedule", "equal steps - equal epochs", _changed("variant", "long", "")
    yield "upsampling", "2x upsampled - plain", _changed("variant", "up2", "")
    yield "dates", "one weight per date - attention", _changed("variant", "dateweights", "")
    yield "augmentation", "random crops - fixed grid", _changed("variant", "aug", "")
    upernets = {cell.adaptation.head for cell in cases.cells if cell.adaptation.head.startswith("upernet")}
    for upernet in sorted(upernets):
        yield "decoder", f"lightms - {upernet}", _changed("head", "lightms", upernet)
        yield "decoder", f"tokenlinear - {upernet}", to_upernet(catalog, ("tokenlinear",), upernet)
        single = to_upernet(catalog, ("single", NARROW["single"]), upernet)
        yield "decoder", f"single at the last block - {upernet}", single
        yield "capacity", f"one block four times - {upernet}", _changed("blocks", "same", "", MULTI)
        yield "depth", f"blocks chosen by the dense probe - {upernet}", _changed("blocks", "probe", "", MULTI)
    yield "depth", "single at the chosen block - at the last", _to_last(catalog, CHOSEN)
    for layer in sorted({c.layer for c in cases.cells if c.adaptation.head.startswith("single") and c.layer != CHOSEN}):
        yield "depth", f"single at {layer} - at the last", _to_last(catalog, layer)
    yield "pretraining", "pretrained - random twin", lambda cell: (
        twin_of(cell.model, catalog), cell.record.case.adaptation, cell.layer
    )  # fmt: skip


def _changed(field: str, level: object, base: object, layer: str | None = None) -> Partner:
    """From cells whose adaptation has a level of a field to those with the base level (that read ``layer``)."""

    def partner(cell: TrainedCell) -> Address | None:
        if getattr(cell.adaptation, field) != level:
            return None
        return cell.model, replace(cell.adaptation, **{field: base}).slug, layer or cell.layer  # type: ignore[arg-type]

    return partner


def depth_of(model: str, catalog: Catalog) -> int:
    """Return the number of blocks of a model; twelve for one that the catalog lacks."""
    spec = catalog.models.get(model)
    return DEPTH if spec is None else spec.depth


def twin_of(model: str, catalog: Catalog) -> str:
    """Return the slug of a model's random twin."""
    spec = catalog.models.get(model)
    return spec.twin if spec is not None and spec.twin else f"{model}_random"


def last_block(catalog: Catalog, cell: TrainedCell) -> str:
    """Return the last block of a cell's model."""
    return f"block{depth_of(cell.model, catalog) - 1:02d}"


def to_upernet(catalog: Catalog, heads: Sequence[str], upernet: str) -> Partner:
    """From a decoder that reads only the last block to the one that reads four."""

    def partner(cell: TrainedCell) -> Address | None:
        if cell.adaptation.head not in heads or cell.layer != last_block(catalog, cell):
            return None
        return cell.model, replace(cell.adaptation, head=upernet).slug, MULTI

    return partner


def _to_last(catalog: Catalog, layer: str) -> Partner:
    def partner(cell: TrainedCell) -> Address | None:
        last = last_block(catalog, cell)
        fits = cell.adaptation.head.startswith("single") and cell.layer == layer != last
        return (cell.model, cell.adaptation.slug, last) if fits else None

    return partner
