"""How numbers and comparisons are put into words, the same in tables, figures and the terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.notes import notes_of
from geofm_eval.plurals import counted
from geofm_eval.records import Record, Score, marks_legend
from geofm_eval.report.formats import Column, T, Table
from geofm_eval.results.comparison import Comparison
from geofm_eval.results.run import Run
from geofm_eval.results.units import SIMULATED, UNKNOWN, MetricFormat, unit_named, unit_of


def heading(comparison: Comparison, catalog: Catalog, what: str, how: str | None = None) -> str:
    """Title of a table or figure; simulated data and samples are named in it.

    Args:
        comparison: what is shown.
        catalog: for the title of the task.
        what: metric and the like.
        how: what the records have in common besides the task; None takes their adaptation.
    """
    case = comparison.record.case
    task = catalog.tasks.get(case.task)
    name = f"{task.title} ({case.task})" if task else case.task
    shuffled = comparison.record.provenance.protocol == "shuffle_splits"
    sample = "Shuffle splits of a sample: " if shuffled else "Sample with a custom split: "
    evidence = {"simulated": f"{SIMULATED}: ", "sample": sample, "own": "Own data: "}
    return f"{evidence.get(str(comparison.record.evidence), '')}{name}, {how or case.adaptation}: {what}"


def table_of(
    comparison: Comparison,
    catalog: Catalog,
    name: str,
    what: str,
    columns: Sequence[Column[T]],
    rows: Sequence[T],
    notes: Iterable[str] = (),
    how: str | None = None,
    unit: MetricFormat | None = None,
) -> Table[T]:
    """A table about records that may be compared, with what is said under all of these.

    Args:
        comparison: the records.
        catalog: for titles.
        name: ends the slug; empty for the slug of the comparison.
        what: ends the title.
        columns: see :class:`Table`, as for rows and notes; shared notes follow these.
        rows: what columns read.
        notes: of this table alone.
        how: see :func:`heading`.
        unit: None takes that of the scores.
    """
    slug = f"{comparison.slug}-{name}" if name else comparison.slug
    notes = (*notes, *shared_notes(comparison, catalog))
    return Table(slug, heading(comparison, catalog, what, how), columns, rows, unit or unit_of(comparison), notes)


def family(record: Record, catalog: Catalog) -> str:
    """Family of a model in words, from the catalog; a record alone tells controls only."""
    spec = catalog.models.get(record.case.model)
    if spec is not None:
        return spec.family.replace("_", " ")
    return "control" if record.case.is_control else UNKNOWN


def recipe_name(record: Record) -> str:
    """Slug of a record's recipe, with its version from the second on, such as ``probing, version 2``."""
    recipe = record.provenance.recipe or {}
    name, version = str(recipe.get("slug", "not recorded")), recipe.get("version", 1)
    return name if version == 1 else f"{name}, version {version}"


def recipe_sentence(record: Record) -> str:
    """The recipe, which is the same for every model of a table."""
    recipe: dict[str, Any] = dict(record.provenance.recipe or {})
    if not recipe:
        return "Recipe: not recorded."
    title = recipe.pop("title", None)
    slug = recipe.pop("slug", None)
    fields = ", ".join(f"{name} = {value}" for name, value in sorted(recipe.items()))
    return f"Recipe {slug} ({title}): {fields}."


def interval_sentence(scores: Sequence[Score]) -> str:
    """Method and coverage of the intervals of a table."""
    kinds = {
        f"{interval.level * 100:g} %, {interval.method}, covering {interval.covers}"
        for score in scores
        if (interval := score.interval) is not None
    }
    return f"Intervals: {'; '.join(sorted(kinds))}." if kinds else "No intervals were computed."


def unsealed_sentence(run: Run) -> str:
    """How many records of a run have no checksum; empty where all have one."""
    if not run.unsealed:
        return ""
    return (
        f"{run.unsealed} of {counted(len(run.records), 'record')} without a checksum, written before record schema 3: "
        "a damaged number in them can go unnoticed"
    )


def shared_notes(comparison: Comparison, catalog: Catalog) -> tuple[str, ...]:
    """Notes of every table of a comparison."""
    record, notes = comparison.record, []
    if comparison.simulated:
        notes.append("Simulated data: these numbers exercise the tool and say nothing about real imagery.")
    notes += marks_legend(subject.record for subject in comparison.subjects)
    specs = [catalog.models.get(subject.model) for subject in comparison.subjects]
    pockets = [spec.slug for spec in specs if spec is not None and spec.simulated_pretraining]
    if pockets:
        notes.append(
            f"Pretrained by this project on simulated scenes, as positive controls: {', '.join(pockets)}. Their scores "
            "are no evidence about published models."
        )
    notes += embedding_notes(comparison, catalog)
    shuffled = record.provenance.protocol == "shuffle_splits"
    if record.provenance.split_definition == "custom" and not shuffled:
        notes.append("The split is the data folder's own (custom): scores are not comparable with the official split.")
    task = catalog.tasks.get(record.case.task)
    if record.training is not None and task is not None and task.protocol == "shuffle_splits":
        notes.append(
            "The data have no official split. Test samples are those of the first four of the forty published "
            "shuffles, validation samples those of the next four, and the rest are for training. Not comparable with "
            "probes over all shuffles."
        )
    if shuffled and record.scores:
        notes.append(
            f"Shuffle splits: {counted(len(comparison.any_score.per_draw), 'random test set')}; inner cross-validation "
            "on the other samples chooses penalty and tap. R2 is pooled over all out-of-fold predictions."
        )
    if record.scores and comparison.any_score.metric == "r2":
        notes.append("R2: explained proportion of the test target's variance; below 0 is worse than its mean.")
    if sizes := _token_sentence(comparison):
        notes.append(sizes)
    if record.provenance.split_rule:
        notes.append(division_sentence(record))
    if record.provenance.dropped:
        notes.append(f"Samples left out: {dropped_sentence(record)}.")
    notes.append(recipe_sentence(record))
    return tuple(notes)


def embedding_notes(comparison: Comparison, catalog: Catalog) -> tuple[str, ...]:
    """What must be known of a comparison's embeddings and labels that were made by other models."""
    task = catalog.tasks.get(comparison.record.case.task)
    specs = [catalog.models.get(subject.model) for subject in comparison.subjects]
    return () if task is None else notes_of([spec for spec in specs if spec is not None], task)


def _token_sentence(comparison: Comparison) -> str:
    """Token, context and grid ceiling of every model in a dense probe: they confound comparisons; empty elsewhere."""
    shown: dict[str, list[str]] = {}
    metric = comparison.any_score.metric if comparison.record.scores else ""
    for subject in comparison.subjects:
        inputs = subject.record.provenance.inputs
        extra = {} if inputs is None else inputs.model_extra or {}
        if "token_gsd_m" in extra:
            # Of numbers the ceiling is an error in the target's unit, whatever metric the probe has.
            unit = unit_named(metric) if metric in ("miou", "iou") else MetricFormat("", "", 1.0, 2)
            text = f"{extra['token_gsd_m']:g} m, {extra['context_m']:g} m, {unit.value(extra['grid_ceiling'])}"
            shown.setdefault(text, []).append(subject.model)
    parts = "; ".join(f"{text} ({', '.join(models)})" for text, models in shown.items())
    return f"Token, context, grid ceiling: {parts}." if parts else ""


def division_sentence(record: Record) -> str:
    """How own data were divided, such as ``Split: by blocks, block_m 2400, from variogram, blocks 31``."""
    rule = record.provenance.split_rule
    parts = [f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in rule.items()]
    folds = "; cross-validated in folds" if record.provenance.protocol == "folds" else ""
    return f"Split: {', '.join(parts)}{folds}."


def dropped_sentence(record: Record) -> str:
    """How many items were left out for which reason, such as ``test 2 (the target is NaN)``."""
    return "; ".join(
        f"{split} {count} ({reason})"
        for split, reasons in record.provenance.dropped.items()
        for reason, count in sorted(reasons.items())
    )


def named(reasons: dict[str, str]) -> str:
    """Models with their reasons in one sentence."""
    return "; ".join(f"{model} ({reason})" for model, reason in sorted(reasons.items()))
