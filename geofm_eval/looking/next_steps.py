"""The next commands for a new entry, and what its starter models cost."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.catalog import Catalog, ModelSpec
from geofm_eval.costs.forward_pass import operations
from geofm_eval.gaps import model_gap
from geofm_eval.installation import suite_command
from geofm_eval.looking.draft import Draft
from geofm_eval.looking.matching import EmbeddingDraft
from geofm_eval.starters import STARTER, choose_starters

OPERATIONS_PER_SECOND = 2e10
"""Floating-point operations per second that the estimates of minutes assume, about one CPU core."""


@dataclass(frozen=True)
class RunCost:
    """What a starter model costs: its download in MB (None if unknown, 0 if it is here), and minutes for the task."""

    model: ModelSpec
    megabytes: float | None
    minutes: float


def costs(catalog: Catalog, draft: Draft) -> list[RunCost]:
    """Estimate the costs of the starter models of a new task at :data:`OPERATIONS_PER_SECOND`."""
    side, images = draft.task.pixels or 64, draft.items * (draft.task.dates or 1)
    return [
        RunCost(model, _megabytes(model), operations(model, side) * images / OPERATIONS_PER_SECOND / 60)
        for model in _chosen(catalog, draft)
    ]


def commands(catalog: Catalog, draft: Draft | EmbeddingDraft, file: Path, model: str = "") -> list[str]:
    """Return the commands that lead from new entries to a ranking.

    Args:
        catalog: with the new entries.
        draft: what they were written from.
        file: the catalog file.
        model: name of the entry of embeddings; empty without one.
    """
    added = f"--catalog {shlex.quote(str(file))}"
    if isinstance(draft, EmbeddingDraft):
        checks = [f"geofm-eval check {model} {task} {added}" for task in draft.tasks if _is_base(catalog, task)]
        return [*checks, f"{suite_command()} {added} --tasks {','.join(draft.tasks)} --models {STARTER} -q"]
    task = draft.task.slug
    check = f"geofm-eval check {f'{model} ' if model else ''}{task} {added}"
    if not draft.looks and draft.embeddings is None:
        return [check, f"geofm-eval init EMBEDDINGS --into {shlex.quote(str(file))}"]
    tasks = f"{task},{task}_random" if draft.located else task
    absent = [model.slug for model in _chosen(catalog, draft) if model_gap(model) is not None]
    fetched = (
        [f"geofm-eval fetch {' '.join(absent)}    # or fewer; models that are absent are skipped"] if absent else []
    )
    # Without the selection, decoders would be trained too, which takes hours.
    probes = " --adaptations linear" if draft.task.dense else ""
    return [check, *fetched, f"{suite_command()} {added} --tasks {tasks} --models {STARTER}{probes} -q"]


def _is_base(catalog: Catalog, slug: str) -> bool:
    """Whether a task is no variant; variants have the same samples, so one check is enough."""
    return catalog.task(slug).variant_of is None


def _chosen(catalog: Catalog, draft: Draft) -> tuple[ModelSpec, ...]:
    """Starter models of a task; none of them reads a task without images."""
    return choose_starters(catalog, [catalog.task(draft.task.slug)]).models if draft.looks else ()


def _megabytes(model: ModelSpec) -> float | None:
    if model_gap(model) is None:
        return 0.0
    size = None if model.weights is None else model.weights.bytes
    return None if size is None else size / 1e6
