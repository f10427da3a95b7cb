"""Tables of a case study: ranking, factorial, marginal effects, cost, blocks; to be read, and as rows of numbers."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.factors.marginal import Effect
from geofm_eval.records import display_name
from geofm_eval.report.formats import Footnotes, Row, Table
from geofm_eval.report.probes.tables import real_bands, remarks
from geofm_eval.report.trainings.notes import grid_notes, reads, unit_of_study
from geofm_eval.report.trainings.pareto import fronts
from geofm_eval.report.wording import heading, interval_sentence, named, shared_notes
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.trainings import FACTORIAL, CaseStudy, TrainedCell
from geofm_eval.results.units import UNKNOWN, MetricFormat
from geofm_eval.stats.difference import Difference


def ranking_table(study: CaseStudy, catalog: Catalog, pairs: Pairs) -> Table:
    """All trained cases in the order of their test scores."""
    unit, footnotes = unit_of_study(study), Footnotes()
    header = ("rank", "model", "adaptation", "reads", f"{unit.label} [interval]", "seeds", "over tuned twin [interval]",
              "token (m)", "context (m)", "grid ceiling", "trained / all parameters", "seconds", "best epochs",
              "rate", "bands", "notes")  # fmt: skip
    rows = [
        _ranking_cells(rank, cell, study, catalog, pairs, unit, footnotes) for rank, cell in enumerate(study.cells, 1)
    ]
    return Table(
        slug=f"{study.slug}-ranking",
        title=heading(study.comparison, catalog, f"ranking by test {unit.label}", study.how),
        header=header,
        rows=tuple(rows),
        footnotes=footnotes.texts,
        notes=(*_notes(study), *shared_notes(study.comparison, catalog)),
    )


def _ranking_cells(
    rank: int,
    cell: TrainedCell,
    study: CaseStudy,
    catalog: Catalog,
    pairs: Pairs,
    unit: MetricFormat,
    footnotes: Footnotes,
) -> tuple[str, ...]:
    training, cost = cell.record.training, cell.record.cost
    assert training is not None
    texts = [*remarks(next(s for s in study.comparison.subjects if s.model == cell.model), catalog)]
    if training.taps_by == "validation":
        texts.append(f"blocks chosen by the dense probe on validation: {', '.join(training.taps)}")
    if training.absent_classes:
        texts.append(f"training chips lack {', '.join(training.absent_classes)}, which count in the score")
    return (
        str(rank),
        display_name(cell.record),
        cell.record.case.adaptation,
        reads(training),
        unit.score(cell.score),
        str(len(training.seeds)),
        unit.difference(over_twin(cell, study, catalog, pairs)),
        f"{training.token_gsd_m:g}",
        f"{training.context_m:g}",
        unit.value(training.grid_ceiling),
        f"{_millions(cost.trained_parameters)} / {_millions(cost.parameters)}",
        f"{cell.seconds:.0f}",
        " ".join(str(one.epoch) for one in training.seeds),
        f"{training.seeds[0].rate:g}",
        real_bands(cell.record),
        " ".join(footnotes.mark(text) for text in texts),
    )


def over_twin(cell: TrainedCell, study: CaseStudy, catalog: Catalog, pairs: Pairs) -> Difference | None:
    """Difference to the best fully tuned random twin of the same label fraction; None where there is none.

    The best is chosen on validation.
    """
    spec = catalog.models.get(cell.model)
    twin = spec.twin if spec is not None and spec.twin else f"{cell.model}_random"
    tuned = [
        c for c in study.cells if c.model == twin and c.adaptation.tuning == "full" and c.fraction == cell.fraction
    ]
    if not tuned or cell.record.case.is_control:
        return None
    best = max(tuned, key=lambda c: c.sign * c.validated)
    return pairs.difference(cell.record, best.record, cell.fraction)


def _millions(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / 1e6:.3g} M"


def _notes(study: CaseStudy) -> list[str]:
    training = study.cells[0].record.training
    assert training is not None
    chips = training.chips
    notes = [
        f"Schedule {training.recipe.get('slug')}: {training.recipe.get('epochs')} epochs, batch "
        f"{training.recipe.get('batch')}; best epoch and learning rate by validation (tuned: "
        f"{', '.join(f'{rate:g}' for rate in _rates(study)) or 'the one of the schedule'}, chosen by the first seed), "
        "test read once.",
        f"{chips.get('test')} test {'items' if study.pooled else 'chips'}; mean over seeds. "
        + interval_sentence([cell.score for cell in study.cells]),
        "Tuned twin: the random twin of the same architecture, fully tuned on as many labels. Seconds: encoding, all "
        "seeds, all learning rates.",
        "Grid ceiling: score of an oracle that says each token's most frequent class (or mean); decoders that "
        "interpolate can exceed it. Token and context: metres per side of a token and of a window.",
        *grid_notes(study),
    ]
    if study.left_out:
        notes.append(f"Without a score: {named(dict(list(study.left_out.items())[:8]))}"
                     + (f" and {len(study.left_out) - 8} more." if len(study.left_out) > 8 else "."))  # fmt: skip
    return notes


def _rates(study: CaseStudy) -> list[float]:
    return sorted({r for c in study.cells if c.record.training and len(c.record.training.rates) > 1
                   for r in c.record.training.rates})  # fmt: skip


def factorial_table(study: CaseStudy, catalog: Catalog) -> Table | None:
    """Frozen and tuned at 10 % and 100 % of the labels, one row per model and decoder; None without such cells."""
    unit = unit_of_study(study)
    lines: dict[tuple[str, str, str], dict[tuple[str, float], TrainedCell]] = {}
    for cell in study.factorial:
        head = cell.adaptation.head + (f"_{cell.adaptation.blocks}" if cell.adaptation.blocks else "")
        key = (cell.adaptation.tuning, cell.adaptation.fraction)
        lines.setdefault((cell.model, head, cell.layer), {})[key] = cell
    if not lines:
        return None
    rows = [
        (model, head, layer, *(unit.score(found[key].score) if key in found else UNKNOWN for key in FACTORIAL))
        for (model, head, layer), found in sorted(lines.items())
    ]
    return Table(
        slug=f"{study.slug}-factorial",
        title=heading(study.comparison, catalog, f"tuning x labels x decoder, test {unit.label}", study.how),
        header=("model", "decoder", "reads", "frozen, 10 %", "frozen, 100 %", "tuned, 10 %", "tuned, 100 %"),
        rows=tuple(rows),
        notes=(*_notes(study), *shared_notes(study.comparison, catalog)),
    )


def effects_table(study: CaseStudy, found: Sequence[Effect], catalog: Catalog) -> Table:
    """Marginal effects, one row per contrast and model."""
    unit = unit_of_study(study)
    better = "higher" if study.cells[0].score.direction == "higher" else "lower"
    rows = [
        (e.factor, e.contrast, e.model or "all models", unit.difference(e.difference), str(len(e.pairs)), clear(e))
        for e in found
    ]
    return Table(
        slug=f"{study.slug}-effects",
        title=heading(study.comparison, catalog, f"marginal effects on test {unit.label}", study.how),
        header=("factor", "contrast", "model", "difference [interval]", "pairs of cells", "clear"),
        rows=tuple(rows),
        notes=(
            f"{unit.name}: {better} is better. Mean over the pairs of cells that differ in this alone, paired interval "
            "over seeds and images (or groups of images); controls take no part. Clear: the interval leaves 0 out.",
            *([FLIPS] if not study.pooled and any(flips(cell) for cell in study.cells) else []),
            *grid_notes(study),
            *shared_notes(study.comparison, catalog),
        ),
    )


def clear(effect: Effect) -> str:
    """Whether the interval leaves zero out."""
    low, high = effect.difference.low, effect.difference.high
    return UNKNOWN if low is None or high is None else "yes" if low > 0 or high < 0 else "no"


FLIPS = "Tuned backbones see random crops and flips, frozen ones a fixed grid without flips (but for _aug)."


def flips(cell: TrainedCell) -> bool:
    """True where a cell's schedule mirrors the crops that it encodes in every epoch."""
    training = cell.record.training
    return training is not None and bool(training.recipe.get("flips"))


def block_table(study: CaseStudy, catalog: Catalog) -> Table | None:
    """Single-level decoder by block; None without such cells."""
    unit = unit_of_study(study)
    singles = study.singles
    if not singles:
        return None
    layers = sorted({cell.layer for cell in singles})
    lines = sorted({(cell.model, cell.adaptation.slug) for cell in singles})
    rows = []
    for model, slug in lines:
        own = {c.layer: c for c in singles if (c.model, c.adaptation.slug) == (model, slug)}
        rows.append((model, slug, *(_at(own.get(layer), unit) for layer in layers)))
    return Table(
        slug=f"{study.slug}-blocks",
        title=heading(study.comparison, catalog, f"single-level decoder by block, test {unit.label}", study.how),
        header=("model", "adaptation", *layers),
        rows=tuple(rows),
        notes=(
            "chosen: the block with the best validation score of the dense probe, named in brackets.",
            *grid_notes(study),
            *shared_notes(study.comparison, catalog),
        ),
    )


def _at(cell: TrainedCell | None, unit: MetricFormat) -> str:
    if cell is None or cell.record.training is None:
        return UNKNOWN
    chosen = f" ({cell.record.training.taps[0]})" if cell.record.training.taps_by == "validation" else ""
    return unit.score(cell.score) + chosen


def cell_rows(study: CaseStudy, catalog: Catalog, pairs: Pairs) -> list[Row]:
    """One row of numbers per trained case."""
    best = fronts(study)
    return [
        _cell_row(cell, over_twin(cell, study, catalog, pairs), cell in best[cell.adaptation.fraction])
        for cell in study.cells
    ]


def _cell_row(cell: TrainedCell, twin: Difference | None, on_front: bool) -> Row:
    training, cost, score = cell.record.training, cell.record.cost, cell.score
    assert training is not None
    interval = score.interval
    return {
        "evidence": cell.record.evidence, "task": cell.record.case.task, "model": cell.model,
        "control": cell.record.case.is_control, "adaptation": cell.record.case.adaptation, "layer": cell.layer,
        "decoder": training.decoder, "tuning": training.tuning, "fraction": cell.adaptation.fraction,
        "taps": " ".join(training.taps), "taps_by": training.taps_by, "schedule": str(training.recipe.get("slug")),
        "metric": score.metric, "score": score.value,
        "low": None if interval is None else interval.low, "high": None if interval is None else interval.high,
        "interval_covers": None if interval is None else interval.covers,
        "per_seed": " ".join(repr(value) for value in score.per_draw), "n": score.n, "n_train": score.n_train,
        "over_tuned_twin": None if twin is None else twin.value,
        "over_tuned_twin_low": None if twin is None else twin.low,
        "over_tuned_twin_high": None if twin is None else twin.high,
        "token_gsd_m": training.token_gsd_m, "context_m": training.context_m, "grid_ceiling": training.grid_ceiling,
        "trained_parameters": cost.trained_parameters, "parameters": cost.parameters, "flops": cost.flops,
        "images_per_second": cost.images_per_second, "peak_memory_bytes": cost.peak_memory_bytes,
        **{f"{stage}_seconds": cost.seconds.get(stage) for stage in ("encode", "train", "search")},
        "seconds": cell.seconds, "pareto": on_front, "rate": training.seeds[0].rate,
        "epochs": " ".join(str(one.epoch) for one in training.seeds),
    }  # fmt: skip


def effect_rows(study: CaseStudy, found: Sequence[Effect]) -> list[Row]:
    """One row of numbers per contrast and model, with the cells that it rests on."""
    case = study.cells[0].record.case
    return [
        {
            "evidence": study.cells[0].record.evidence,
            "task": case.task,
            "metric": study.cells[0].score.metric,
            "factor": effect.factor,
            "contrast": effect.contrast,
            "model": effect.model or "all",
            "difference": effect.difference.value,
            "low": effect.difference.low,
            "high": effect.difference.high,
            "pairs": len(effect.pairs),
            "cells": " ".join(effect.pairs),
        }
        for effect in found
    ]
