"""Tables of trained cases: ranking, factorial, marginal effects, blocks."""

from collections.abc import Iterator, Sequence
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.factors.marginal import Effect, twin_of
from geofm_eval.plurals import counted
from geofm_eval.records import Score, Training
from geofm_eval.report.formats import Column, Row, Table, attributes, described, ends, listed
from geofm_eval.report.probes.tables import real_bands, remarks
from geofm_eval.report.trainings.notes import grid_notes, reads, trainings_table, unit_of_trainings
from geofm_eval.report.trainings.pareto import fronts
from geofm_eval.report.wording import interval_sentence, named, table_of
from geofm_eval.results.trainings import FACTORIAL, TrainedCases, TrainedCell
from geofm_eval.results.units import UNKNOWN, MetricFormat
from geofm_eval.stats.difference import Difference


def ranking_table(cases: TrainedCases, catalog: Catalog) -> Table[TrainedCell]:
    """All trained cases in the order of their test scores."""
    unit, best = unit_of_trainings(cases), fronts(cases)
    ranks = {cell.address: rank for rank, cell in enumerate(cases.cells, start=1)}
    subjects = {subject.model: subject for subject in cases.comparison.subjects}
    columns: list[Column[TrainedCell]] = [
        Column("rank", lambda cell: ranks[cell.address], short="", right=True),
        Column(None, lambda cell: described(cell.record, "evidence task")),
        Column("model", lambda cell: cell.record, "model control", short="model"),
        Column("adaptation", lambda cell: cell.record.case.adaptation, "adaptation", short="adaptation"),
        Column("reads", lambda cell: reads(cell.training), short="reads"),
        Column(None, _setup_fields),
        Column(f"{unit.label} [interval]", lambda cell: cell.score, "score low high", short="score [interval]"),
        Column(None, lambda cell: attributes(cell.score.interval, interval_covers="covers")),
        Column(None, lambda cell: " ".join(map(repr, cell.score.per_draw)), "per_seed"),
        Column(None, lambda cell: attributes(cell.score, "n n_train")),
        Column("seeds", lambda cell: len(cell.training.seeds)),
        Column("over tuned twin [interval]", lambda cell: over_twin(cell, cases, catalog),
               ends("over_tuned_twin"), short="over tuned twin", right=True),
        Column("token (m)", lambda cell: cell.training.token_gsd_m, "token_gsd_m", "{:g}".format),
        Column("context (m)", lambda cell: cell.training.context_m, "context_m", "{:g}".format),
        Column("grid ceiling", lambda cell: cell.training.grid_ceiling, "grid_ceiling"),
        Column("trained / all parameters", _parameters),
        Column(None, _cost_fields),
        Column("seconds", lambda cell: cell.seconds, "seconds", "{:.0f}".format, short="seconds", right=True),
        Column(None, lambda cell: cell in best[cell.adaptation.fraction], "pareto"),
        Column("best epochs", _epochs),
        Column("rate", lambda cell: cell.training.seeds[0].rate, "rate", "{:g}".format),
        Column(None, _epochs, "epochs"),
        Column("bands", lambda cell: real_bands(cell.record)),
        Column("notes", lambda cell: (*remarks(subjects[cell.model], catalog), *_peculiar(cell.training))),
    ]  # fmt: skip
    what, how = f"ranking by test {unit.label}", cases.how
    return table_of(cases.comparison, catalog, "ranking", what, columns, cases.cells, _notes(cases), how, unit)


def _peculiar(training: Training) -> Iterator[str]:
    if training.taps_by == "validation":
        yield f"blocks chosen by the dense probe on validation: {', '.join(training.taps)}"
    if training.absent_classes:
        yield f"the score includes classes that training chips lack: {', '.join(training.absent_classes)}"


def _epochs(cell: TrainedCell) -> str:
    return " ".join(str(one.epoch) for one in cell.training.seeds)


def _setup_fields(cell: TrainedCell) -> Row:
    return {
        "layer": cell.layer,
        **attributes(cell.training, "decoder tuning"),
        "fraction": cell.adaptation.fraction,
        "taps": " ".join(cell.training.taps),
        "taps_by": cell.training.taps_by,
        "schedule": str(cell.training.recipe.get("slug")),
        "metric": cell.score.metric,
    }


def _cost_fields(cell: TrainedCell) -> Row:
    cost = cell.record.cost
    return {
        **attributes(cost, "trained_parameters parameters flops images_per_second peak_memory_bytes"),
        **{f"{stage}_seconds": cost.seconds.get(stage) for stage in ("encode", "train", "search")},
    }


def over_twin(cell: TrainedCell, cases: TrainedCases, catalog: Catalog) -> Difference | None:
    """Difference to the best fully tuned random twin of the same label fraction; None where there is none.

    The best is chosen on validation.
    """
    twin = twin_of(cell.model, catalog)
    tuned = [
        c for c in cases.cells if c.model == twin and c.adaptation.tuning == "full" and c.fraction == cell.fraction
    ]
    if not tuned or cell.record.case.is_control:
        return None
    best = max(tuned, key=lambda c: c.sign * c.validated)
    return cases.pairs.difference(cell.record, best.record, cell.fraction)


def _parameters(cell: TrainedCell) -> str:
    counts = (cell.record.cost.trained_parameters, cell.record.cost.parameters)
    return " / ".join(UNKNOWN if count is None else f"{count / 1e6:.3g} M" for count in counts)


def _notes(cases: TrainedCases) -> list[str]:
    training = cases.cells[0].training
    notes = [
        f"Schedule {training.recipe.get('slug')}: {training.recipe.get('epochs')} epochs, batch "
        f"{training.recipe.get('batch')}. Validation chooses the epoch and the learning rate of tuned backbones "
        f"(rates: {', '.join(f'{rate:g}' for rate in _rates(cases)) or 'that of the schedule'}; with the first seed). "
        "The test split is scored once.",
        f"{counted(cases.cells[0].score.n, 'test sample' if cases.pooled else 'test chip')}; mean over seeds. "
        + interval_sentence([cell.score for cell in cases.cells]),
        "Tuned twin: the random twin, fully tuned on as many labels. Seconds: encoding, all seeds and all learning "
        "rates.",
        "Grid ceiling: score of an oracle that predicts each token's most frequent class (or mean); decoders that "
        "interpolate can exceed it. Token and context: metres per side of a token and of a window.",
        *grid_notes(cases),
    ]
    if cases.left_out:
        notes.append(f"Without a score: {named(dict(list(cases.left_out.items())[:8]))}"
                     + (f" and {len(cases.left_out) - 8} more." if len(cases.left_out) > 8 else "."))  # fmt: skip
    return notes


def _rates(cases: TrainedCases) -> list[float]:
    return sorted({rate for c in cases.cells if len(c.training.rates) > 1 for rate in c.training.rates})


def factorial_table(cases: TrainedCases, catalog: Catalog) -> Table[Sequence[Any]] | None:
    """Frozen and tuned at 10 % and 100 % of the labels, one row per model and decoder; None without such cells."""
    unit = unit_of_trainings(cases)
    lines: dict[tuple[str, str, str], dict[tuple[str, float], Score]] = {}
    for cell in cases.factorial:
        head = cell.adaptation.head + (f"_{cell.adaptation.blocks}" if cell.adaptation.blocks else "")
        key = (cell.adaptation.tuning, cell.adaptation.fraction)
        lines.setdefault((cell.model, head, cell.layer), {})[key] = cell.score
    if not lines:
        return None
    columns = listed("model", "decoder", "reads", "frozen, 10 %", "frozen, 100 %", "tuned, 10 %", "tuned, 100 %")
    rows = [(*key, *map(found.get, FACTORIAL)) for key, found in sorted(lines.items())]
    what, how = f"tuning x labels x decoder, test {unit.label}", cases.how
    return table_of(cases.comparison, catalog, "factorial", what, columns, rows, _notes(cases), how, unit)


def effects_table(cases: TrainedCases, found: Sequence[Effect], catalog: Catalog) -> Table[Effect] | None:
    """Marginal effects, one row per contrast and model; None where a single case has nothing to be compared with."""
    if len(cases.cells) < 2:
        return None
    unit, score = unit_of_trainings(cases), cases.cells[0].score
    columns: list[Column[Effect]] = [
        Column(None, lambda effect: {**described(cases.cells[0].record, "evidence task"), "metric": score.metric}),
        Column("factor", lambda effect: effect.factor, "factor", short=""),
        Column("contrast", lambda effect: effect.contrast, "contrast", short="contrast"),
        Column("model", lambda effect: effect.model or "all models"),
        Column(None, lambda effect: effect.model or "all", "model"),
        Column("difference [interval]", lambda effect: effect.difference, "difference low high",
               short="difference [interval]"),
        Column("pairs of cells", lambda effect: len(effect.pairs), "pairs", short="pairs", right=True),
        Column(None, lambda effect: " ".join(effect.pairs), "cells"),
        Column(None, lambda effect: effect.model or "all models", short=""),
        Column("clear", clear),
    ]  # fmt: skip
    flips = not cases.pooled and any(cell.training.recipe.get("flips") for cell in cases.cells)
    notes = [
        f"{unit.name}: {score.direction} is better. Mean over the pairs of cells that differ only in this, without "
        "controls; intervals are paired over seeds and images (or groups of images). Clear: the interval excludes 0.",
        *([FLIPS] if flips else []),
    ]
    return trainings_table(cases, catalog, "effects", f"marginal effects on test {unit.label}", columns, found, notes)


def clear(effect: Effect) -> str | None:
    """Whether the interval leaves zero out; None without one."""
    low, high = effect.difference.low, effect.difference.high
    return None if low is None or high is None else "yes" if low > 0 or high < 0 else "no"


FLIPS = "Tuned backbones train on random crops and flips, frozen ones on a fixed grid without flips (except _aug)."


def block_table(cases: TrainedCases, catalog: Catalog) -> Table[Sequence[Any]] | None:
    """Single-level decoder by block; None without such cells."""
    unit, singles = unit_of_trainings(cases), cases.singles
    if not singles:
        return None
    layers = sorted({cell.layer for cell in singles})
    found = {(cell.model, cell.adaptation.slug, cell.layer): cell for cell in singles}
    lines = sorted({(model, slug) for model, slug, _ in found})
    rows = [(*line, *(_at(found.get((*line, layer)), unit) for layer in layers)) for line in lines]
    note = "chosen: the block with the best validation score of the dense probe; its name is in brackets."
    what, columns = f"single-level decoder by block, test {unit.label}", listed("model", "adaptation", *layers)
    return trainings_table(cases, catalog, "blocks", what, columns, rows, [note])


def _at(cell: TrainedCell | None, unit: MetricFormat) -> str | None:
    if cell is None:
        return None
    return unit.score(cell.score) + (f" ({cell.training.taps[0]})" if cell.training.taps_by == "validation" else "")
