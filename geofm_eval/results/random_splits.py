"""How much better scores are with a random split of own data than with spatial blocks.

Samples near each other are alike, so that a random split tests on samples that training has almost seen.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog
from geofm_eval.records import Record
from geofm_eval.results.comparison import Comparison, comparisons
from geofm_eval.results.leaderboard import choose_taps
from geofm_eval.results.run import Run
from geofm_eval.results.taps import ChosenTap
from geofm_eval.stats.difference import Difference


@dataclass(frozen=True)
class RandomSplit:
    """Mean scores of the same models, at their chosen taps, in both splits, and random minus blocks."""

    blocks: Comparison
    random: Comparison
    models: tuple[str, ...]
    block_score: float
    random_score: float
    difference: Difference

    @property
    def slugs(self) -> tuple[str, str]:
        """Names of both comparisons."""
        return self.blocks.slug, self.random.slug


def compare_random_splits(run: Run, catalog: Catalog) -> list[RandomSplit]:
    """Compare every task that is divided by blocks with the same task divided at random, probe by probe."""
    found = [one for one in comparisons(run)[0] if _rule(one.record) in ("blocks", "random")]
    pairs = (
        (one, other)
        for one in found
        for other in found
        if _rule(one.record) == "blocks" and _rule(other.record) == "random" and _same_task(one, other, catalog)
    )
    return [made for pair in pairs if (made := _compared(*pair, run)) is not None]


def _rule(record: Record) -> object:
    return record.provenance.split_rule.get("by")


def _same_task(one: Comparison, other: Comparison, catalog: Catalog) -> bool:
    first, second = one.record, other.record
    if (first.case.adaptation, first.provenance.recipe) != (second.case.adaptation, second.provenance.recipe):
        return False
    names = {first.case.task, second.case.task}
    specs = [catalog.tasks[name] for name in names if name in catalog.tasks]
    if any(spec.variant_of in names for spec in specs):
        return True
    data, others = ((one.provenance.items_sha256, one.provenance.labels_sha256) for one in (first, second))
    return all(data) and data == others


def _compared(blocks: Comparison, random: Comparison, run: Run) -> RandomSplit | None:
    fraction = blocks.full
    if fraction not in random.fractions or blocks.any_score.metric != random.any_score.metric:
        return None
    first, second = (choose_taps(one, fraction)[0] for one in (blocks, random))
    controls = {subject.model for subject in blocks.subjects if subject.is_control}
    common = sorted(first.keys() & second.keys())
    models = [model for model in common if model not in controls] or common
    if not models:
        return None
    own, other = ([chosen[model] for model in models] for chosen in (first, second))
    block_score, random_score = (sum(one.score.value for one in side) / len(models) for side in (own, other))
    difference = _difference(own, other, run, fraction)
    return RandomSplit(blocks, random, tuple(models), block_score, random_score, difference)


def _difference(blocks: Sequence[ChosenTap], random: Sequence[ChosenTap], run: Run, fraction: str) -> Difference:
    """Random minus blocks: paired where both are cross-validated over the same samples."""
    records = [(one.record, other.record) for one, other in zip(blocks, random, strict=True)]
    if all(record.provenance.protocol == "folds" for pair in records for record in pair) and _same_samples(records):
        paired = run.pairs.mean_difference([(one, other, fraction) for one, other in records]).times(-1)
        if paired.low is not None:
            return paired
    value = sum(other.score.value - one.score.value for one, other in zip(blocks, random, strict=True)) / len(blocks)
    (below, above), (own_below, own_above) = _reach(random), _reach(blocks)
    if math.isnan(below + above + own_below + own_above):
        return Difference(value)
    return Difference(value, value - math.hypot(below, own_above), value + math.hypot(above, own_below))


def _same_samples(records: Sequence[tuple[Record, Record]]) -> bool:
    return all(one.provenance.items_sha256 == other.provenance.items_sha256 for one, other in records)


def _reach(chosen: Sequence[ChosenTap]) -> tuple[float, float]:
    """Mean distance of both ends from the score: errors of models on the same samples do not average out."""
    ends = list(_ends(chosen))
    return sum(low for low, _ in ends) / len(ends), sum(high for _, high in ends) / len(ends)


def _ends(chosen: Sequence[ChosenTap]) -> Iterator[tuple[float, float]]:
    for one in chosen:
        interval = one.score.interval
        yield (
            (math.nan, math.nan)
            if interval is None
            else (
                one.score.value - interval.low,
                interval.high - one.score.value,
            )
        )
