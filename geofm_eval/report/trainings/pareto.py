"""Score against cost: what a second of training buys."""

from collections import Counter
from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.records import display_name
from geofm_eval.report.formats import Table
from geofm_eval.report.trainings.notes import grid_notes, unit_of_study
from geofm_eval.report.wording import heading, shared_notes
from geofm_eval.results.trainings import CaseStudy, TrainedCell
from geofm_eval.results.units import percent


def front(study: CaseStudy, fraction: float) -> list[TrainedCell]:
    """Cells that no other with as many labels beats in score at as little time, from cheap to expensive."""
    found: list[TrainedCell] = []
    for cell in sorted(study.cells, key=lambda c: (c.seconds, -c.quality)):
        if cell.adaptation.fraction == fraction and (not found or cell.quality > found[-1].quality):
            found.append(cell)
    return found


def fronts(study: CaseStudy) -> dict[float, list[TrainedCell]]:
    """The front of every label fraction, all labels first."""
    fractions = sorted({cell.adaptation.fraction for cell in study.cells}, reverse=True)
    return {fraction: front(study, fraction) for fraction in fractions}


def has_front(study: CaseStudy) -> bool:
    """True where two cases have as many labels: one alone is cheaper and better than nothing."""
    counts = Counter(cell.adaptation.fraction for cell in study.cells)
    return max(counts.values(), default=0) > 1


def pareto_table(study: CaseStudy, catalog: Catalog) -> Table | None:
    """What a second of training buys: the fronts first; None without two cases to compare."""
    if not has_front(study):
        return None
    unit, best = unit_of_study(study), fronts(study)
    first = [cell for own in best.values() for cell in own]
    rest = sorted((cell for cell in study.cells if cell not in first), key=lambda cell: cell.seconds)
    rows = [
        (
            percent(cell.adaptation.fraction),
            display_name(cell.record),
            cell.name,
            unit.score(cell.score),
            f"{cell.seconds:.1f}",
            "front" if cell in first else _beaten(cell, best[cell.adaptation.fraction]),
        )
        for cell in [*first, *rest]
    ]
    return Table(
        slug=f"{study.slug}-pareto",
        title=heading(study.comparison, catalog, f"test {unit.label} against training time", study.how),
        header=("labels", "model", "adaptation and layer", f"{unit.label} [interval]", "seconds", "dominated by"),
        rows=tuple(rows),
        notes=(
            "Seconds: encoding all chips of a frozen backbone once, all seeds, all learning rates or folds, where they "
            "were trained; validation, test and the dense probe are not in them. Front: of as many labels nothing "
            "cheaper scores higher.",
            *grid_notes(study),
            *shared_notes(study.comparison, catalog),
        ),
    )


def _beaten(cell: TrainedCell, best: Sequence[TrainedCell]) -> str:
    by = next(c for c in reversed(best) if c.seconds <= cell.seconds and c.quality >= cell.quality)
    return f"{display_name(by.record)} {by.name}"
