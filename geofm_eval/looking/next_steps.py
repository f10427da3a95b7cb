"""The next commands for a new entry, and what its starter models cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.catalog import Catalog, ModelSpec
from geofm_eval.gaps import model_gap
from geofm_eval.looking.draft import Draft
from geofm_eval.starters import STARTER, Starters, choose_starters

OPERATIONS_PER_SECOND = 2e10
"""Floating-point operations of one CPU core, on the safe side; only for the estimate of minutes."""

PATCH = 16
"""Pixels per side of a patch where the entry does not say."""


@dataclass(frozen=True)
class RunCost:
    """What a starter model costs: its download in MB (None if unknown, 0 if it is here), and minutes for the task."""

    model: ModelSpec
    megabytes: float | None
    minutes: float


def costs(catalog: Catalog, draft: Draft) -> list[RunCost]:
    """Estimate the costs of the starter models of a new task on one CPU core."""
    side = draft.task.pixels or 64
    return [
        RunCost(model, _megabytes(model), _operations(model, side) * draft.items / OPERATIONS_PER_SECOND / 60)
        for model in _chosen(catalog, draft).models
    ]


def commands(catalog: Catalog, draft: Draft, file: Path, model: str = "") -> list[str]:
    """Return the commands that lead from a new entry, and that of its embeddings, to a ranking."""
    task = draft.task.slug
    tasks = f"{task},{task}_random" if draft.located else task
    absent = [model.slug for model in _chosen(catalog, draft).models if model_gap(model) is not None]
    fetched = (
        [f"geofm-eval fetch {' '.join(absent)}    # or fewer; models that are absent are skipped"] if absent else []
    )
    # Without the selection, decoders would be trained too, which takes hours.
    probes = " --adaptations linear" if draft.task.dense else ""
    return [
        f"geofm-eval check {f'{model} ' if model else ''}{task} --catalog {file}",
        *fetched,
        f"pytest benchmarks --catalog {file} --tasks {tasks} --models {STARTER}{probes} -q",
    ]


def _chosen(catalog: Catalog, draft: Draft) -> Starters:
    return choose_starters(catalog, [catalog.task(draft.task.slug)])


def _megabytes(model: ModelSpec) -> float | None:
    if model_gap(model) is None:
        return 0.0
    size = None if model.weights is None else model.weights.bytes
    return None if size is None else size / 1e6


def _operations(model: ModelSpec, side: int) -> float:
    """Two operations per parameter and token of one image."""
    return 2.0 * (model.parameters or 0) * ((model.image_size or side) / _patch(model)) ** 2


def _patch(model: ModelSpec) -> int:
    named: Sequence[str] = re.findall(r"patch(\d+)", str(model.options.get("model", "")))
    return int(named[0]) if named else int(model.options.get("patch", PATCH))
