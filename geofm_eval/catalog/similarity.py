"""Similarity cases: one per model and data set."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geofm_eval.catalog.cases import Case
from geofm_eval.catalog.dense import MULTI
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.tasks import TaskSpec

if TYPE_CHECKING:
    from geofm_eval.catalog.load import Catalog

SIMILARITY = "similarity"
"""Kind of the cases that measure how similar the layers of backbones are."""


def similarity_cases(catalog: "Catalog", probes: Sequence[Case]) -> list[Case]:
    """List one case for every probed model and data set.

    Features do not depend on labels: of several tasks on the same samples, for example the targets of NeuCo-Bench, the
    first has the case. Tasks with a label per pixel have no pooled features and no case.
    """
    first: dict[tuple[str, str], Case] = {}
    for case in probes:
        task = catalog.task(case.task)
        if not task.dense:
            alike = Case(SIMILARITY, case.model, case.task, "frozen", MULTI)
            first.setdefault((case.model, _items(task)), alike)
    return list(first.values())


def twin_of(catalog: "Catalog", model: ModelSpec) -> str | None:
    """Return the slug of a model's random twin, the same architecture with random weights; None if there is none."""
    slug = model.twin or f"{model.slug}_random"
    return slug if slug in catalog.models else None


def _items(task: TaskSpec) -> str:
    """Everything that determines pixels and split of a task, regardless of the label and of folds."""
    options = {name: value for name, value in task.options_without_target.items() if name != "blocks"}
    pixels = (task.reader, task.root, task.standin, task.protocol, task.bands, task.sizes, options)
    return json.dumps(pixels, sort_keys=True)
