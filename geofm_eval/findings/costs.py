"""What frozen backbones and small decoders save, as cells of finding 3 that do not count."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.dense import NARROW
from geofm_eval.factors.marginal import to_upernet
from geofm_eval.findings.finding import FindingCell, cell_of
from geofm_eval.results.trainings import Address, TrainedCases, TrainedCell
from geofm_eval.stats.difference import Difference

FROZEN_SAVES = "seconds saved by a frozen backbone (%)"
SINGLE_SAVES = "seconds saved by a single-level decoder (%)"
SINGLE_SMALLER = "parameters saved by a single-level decoder (%)"
"""Groups; a saving has no interval."""

Amount = Callable[[TrainedCell], float | None]


def cost_cells(cases: TrainedCases, cells: Sequence[TrainedCell], catalog: Catalog) -> Iterator[FindingCell]:
    """Savings over all pairs of cells that differ in one thing alone, one cell per group that has such pairs."""
    found = {cell.address: cell for cell in cells}
    tuned = [(cell, found.get(_frozen(cell))) for cell in cells if cell.adaptation.tuning == "full"]
    heads = ("single", NARROW["single"])
    partners = [to_upernet(catalog, heads, upernet) for upernet in ("upernet", NARROW["upernet"])]
    singles = [(found.get(address), cell) for cell in cells for to in partners if (address := to(cell)) is not None]
    decoders = [(large, small) for large, small in singles if small.adaptation.tuning == "frozen"]
    for group, contrast, pairs, amount in (
        (FROZEN_SAVES, "frozen instead of full", tuned, _seconds),
        (SINGLE_SAVES, "single at the last block instead of upernet", singles, _seconds),
        (SINGLE_SMALLER, "single at the last block instead of upernet", decoders, _trained_parameters),
    ):
        saved = _saved(pairs, amount)
        if saved is not None:
            yield cell_of(cases.slug, group, contrast, Difference(100 * saved), counts=False)


def _frozen(cell: TrainedCell) -> Address:
    return cell.model, replace(cell.adaptation, tuning="frozen").slug, cell.layer


def _saved(pairs: Sequence[tuple[TrainedCell | None, TrainedCell | None]], amount: Amount) -> float | None:
    """Proportion that the second of every pair saves of what the first ones take; None without a pair that is known."""
    known = [
        (large, small)
        for one, other in pairs
        if one is not None and other is not None
        if (large := amount(one)) and (small := amount(other))
    ]
    return 1 - sum(small for _, small in known) / sum(large for large, _ in known) if known else None


def _seconds(cell: TrainedCell) -> float | None:
    """Seconds of encoding and of training all seeds, without the search for a learning rate."""
    seconds = cell.record.cost.seconds
    return seconds.get("encode", 0.0) + seconds["train"] if "train" in seconds else None


def _trained_parameters(cell: TrainedCell) -> float | None:
    return cell.record.cost.trained_parameters
