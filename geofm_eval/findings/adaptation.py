"""Finding 3: the adaptation, decoder or tuning, matters as much as the backbone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.catalog import Catalog
from geofm_eval.factors.distances import distance_of, further
from geofm_eval.factors.explained import error_of
from geofm_eval.factors.factorial import (
    BACKBONE,
    BLOCK,
    DECODER,
    TUNING,
    Factorial,
    replicates,
    trained_factorial,
)
from geofm_eval.factors.noise import ErrorOfMeans
from geofm_eval.factors.regret import ADAPTATION, regrets
from geofm_eval.findings.costs import cost_cells
from geofm_eval.findings.finding import (
    AS_GOOD,
    MARGIN,
    Finding,
    FindingCell,
    Verdict,
    adjusted,
    cell_of,
    decided,
    joint,
    spread,
    undecidable,
)
from geofm_eval.findings.most import most_words, shortage, tally_noninferior, verdict_on_most
from geofm_eval.results.run import Run
from geofm_eval.results.scope import data_of, excluded_model, excluded_task
from geofm_eval.results.trainings import TrainedCases, TrainedCell, comparable_trainings
from geofm_eval.results.units import points_per_unit
from geofm_eval.stats.difference import Difference

TITLE = "the adaptation matters as much as the backbone"
COUNTED = (DECODER, TUNING)
"""Groups that count: how far apart these lie against how far apart backbones lie, on the same cells."""

NEITHER = "both distances below one point"
"""Group of the tasks on which all differences are too small for a verdict."""

TUNINGS = ("frozen", "full")
ORDER: tuple[Verdict, ...] = ("supported", "undecided", "refuted")

RATES = 3
"""Fewest learning rates of a tuned backbone: poor tuning would make tuning seem to matter."""

SHOWN = 4
"""Excluded cases that are named."""


@dataclass(frozen=True)
class CountedFactorial:
    """A balanced factorial of the cells of one task that count (frozen or fully tuned) and were searched well enough.

    ``factorial`` is None where fewer than two factors vary, ``error`` where outcomes are absent.
    """

    cases: TrainedCases
    cells: tuple[TrainedCell, ...]
    factorial: Factorial[TrainedCell] | None
    error: ErrorOfMeans | None

    @property
    def points(self) -> float:
        """What the metric is multiplied by to be in points, of an error those of a typical one."""
        score = self.cells[0].score
        mean = sum(cell.score.value for cell in self.cells) / len(self.cells)
        return abs(points_per_unit(score, score.model_copy(update={"value": mean})))

    @property
    def data(self) -> str:
        """Equal for factorials on the same test items."""
        return data_of(self.cells[0].record)

    @property
    def backbones(self) -> tuple[str, ...]:
        """Levels of the factor; none where it does not vary."""
        factors = () if self.factorial is None else self.factorial.factors
        return next((one.levels for one in factors if one.name == BACKBONE), ())


@dataclass(frozen=True)
class Compared:
    """A cell with its difference and the factorial that it comes from."""

    cell: FindingCell
    difference: Difference
    table: CountedFactorial


def adaptation_matters(run: Run, catalog: Catalog) -> Finding | None:
    """Whether scores differ as much between decoders, or between frozen and tuned, as between backbones.

    Returns:
        None where no task has two decoders, or backbones both frozen and tuned.
    """
    tables = list(_tables(run, catalog))
    if all(len({(cell.adaptation.head, cell.adaptation.tuning) for cell in table.cells}) < 2 for table in tables):
        return None
    found = [one for table in tables for one in _contrasts(table)]
    ours = _adjusted([one for one in found if one.cell.counts])
    groups = dict.fromkeys(one.cell.group for one in found if not one.cell.counts)
    uncounted = [one for name in groups for one in _adjusted([other for other in found if other.cell.group == name])]
    excluded = _excluded(tables, [one.cell for one in uncounted])
    costs = [cell for table in tables for cell in cost_cells(table.cases, table.cells, catalog)]
    cells = [*(one.cell for one in (*ours, *uncounted)), *costs]
    by_kind = {name: [one for one in ours if one.cell.group == name] for name in COUNTED}
    missing = {name: text for name, own in by_kind.items() if (text := _shortage(own)) is not None}
    tested = {
        name: [one for one in own if one.cell.p is not None] for name, own in by_kind.items() if name not in missing
    }
    lacking = [f"{name[0].upper()}{name[1:]}: {text}" for name, text in missing.items()]
    if not tested:
        return undecidable(3, TITLE, cells, run, " ".join((*lacking, *excluded)))
    means = {
        name: joint([(1 / len(own), one.difference, one.table.data) for one in own]) for name, own in tested.items()
    }
    # The kind of adaptation that fares best decides.
    verdicts = {
        name: verdict_on_most([one.cell for one in own], means[name], AS_GOOD, len(tested))
        for name, own in tested.items()
    }
    best = min(verdicts, key=lambda name: ORDER.index(verdicts[name]))
    counts = {name: [one.cell for one in own] for name, own in tested.items()}
    reasons = (_count(counts, means, best), *lacking, *_regrets(tables), *excluded)
    return decided(3, TITLE, verdicts[best], means[best], cells, run, reasons, means)


def _adjusted(some: Sequence[Compared]) -> list[Compared]:
    cells = adjusted([one.cell for one in some])
    return [replace(one, cell=cell) for one, cell in zip(some, cells, strict=True)]


def _shortage(some: Sequence[Compared]) -> str | None:
    known = [one for one in some if one.cell.p is not None]
    backbones = {name for one in known for name in one.table.backbones}
    return shortage([one.cell for one in known], backbones, len(some))


def _tables(run: Run, catalog: Catalog) -> Iterator[CountedFactorial]:
    scored = run.scored
    models, tasks = {record.case.model for record in scored}, {record.case.task for record in scored}
    for cases in comparable_trainings(run)[0]:
        if excluded_task(cases.cells[0].record.case.task, tasks, catalog):
            continue
        own = [
            cell
            for cell in cases.cells
            if cell.adaptation.tuning in TUNINGS and not excluded_model(cell.record, models, catalog)
        ]
        if own:
            factorial = trained_factorial([cell for cell in own if searched(cell)], catalog)
            error = None if factorial is None else error_of(factorial, run.pairs)
            yield CountedFactorial(cases, tuple(own), factorial, error)


def searched(cell: TrainedCell) -> bool:
    """True for frozen backbones, and for tuned ones whose learning rate was chosen among enough of them."""
    training = cell.record.training
    return cell.adaptation.tuning == "frozen" or (training is not None and len(training.rates) >= RATES)


def _contrasts(table: CountedFactorial) -> Iterator[Compared]:
    """Yield one cell per kind of adaptation that varies together with the backbone."""
    factorial = table.factorial
    backbone = None if factorial is None else factorial.axis(BACKBONE)
    if factorial is None or backbone is None:
        return
    means = replicates([cell.score for cell in factorial.cells]).mean(1).reshape(factorial.shape)
    for name in (*COUNTED, BLOCK):
        axis = factorial.axis(name)
        if axis is not None:
            found, base = (distance_of(means, one, table.error) for one in (axis, backbone))
            difference = Difference(found.value - base.value)
            if table.error is not None:
                difference = further(found, base, table.error)
            sizes = [table.points * one.value for one in (found, base)]
            group = name if max(sizes) >= MARGIN else NEITHER
            contrast = f"{name} {sizes[0]:.1f} - {BACKBONE} {sizes[1]:.1f}"
            scaled = difference.times(table.points)
            slug, counts = table.cases.slug, group in COUNTED
            cell = cell_of(slug, group, contrast, scaled, counts, table.data, AS_GOOD)
            yield Compared(cell, scaled, table)


def _count(by_kind: Mapping[str, Sequence[FindingCell]], means: Mapping[str, Difference], best: str) -> str:
    parts = [
        f"{name} {spread(means[name])}, {most_words(own, AS_GOOD, means[name], len(by_kind))}; {tally_noninferior(own)}"
        for name, own in by_kind.items()
    ]
    return (
        "Distance between two levels (root mean square, noise subtracted) minus that between two backbones, per task: "
        f"{'; '.join(parts)}. Effect: {best}."
    )


def _regrets(tables: Sequence[CountedFactorial]) -> list[str]:
    parts = []
    for table in tables:
        found = [] if table.factorial is None else regrets(table.factorial, table.error)
        last = [one for one in found if one.labels == found[-1].labels]
        by = {one.factor: one for one in last}
        wrong = by.get(ADAPTATION) or by.get(TUNING) or by.get(DECODER)
        if wrong is not None and BACKBONE in by:
            cost, against = (spread(one.mean.times(table.points)) for one in (wrong.kept, by[BACKBONE].rechosen))
            parts.append(
                f"{table.cases.slug}: wrong {wrong.factor} with the best backbone {cost}, wrong backbone with its best "
                f"{wrong.factor} {against}"
            )
    return [f"Mean loss in points: {'; '.join(parts)}."] if parts else []


def _excluded(tables: Sequence[CountedFactorial], uncounted: Sequence[FindingCell]) -> list[str]:
    untried = [cell for table in tables for cell in table.cells if not searched(cell)]
    small = [cell.id for cell in uncounted if cell.group == NEITHER]
    texts = []
    if untried:
        names = ", ".join(sorted(cell.record.case.id for cell in untried)[:SHOWN])
        more = f" and {len(untried) - SHOWN} more" if len(untried) > SHOWN else ""
        texts.append(f"Excluded because they were tuned at fewer than {RATES} learning rates: {names}{more}.")
    if small:
        texts.append(f"Excluded because no two levels differ by a point: {', '.join(dict.fromkeys(small))}.")
    return texts
