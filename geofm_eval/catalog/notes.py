"""What must be known of embeddings to read their results: inputs, versions, years and sources of labels."""

import re
from collections.abc import Iterable, Iterator

from geofm_eval.catalog.bands import canonical
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.tasks import TaskSpec

_TARGETS = ("target", "label", "labels", "column")
"""Options of readers that name the target."""


def notes_of(models: Iterable[ModelSpec], task: TaskSpec) -> tuple[str, ...]:
    """Return what is printed with the results of some models on a task, each sentence once.

    Args:
        models: models in the order of a table.
        task: the task.
    """
    found = [note for model in models for note in _of_model(model, task)]
    if task.label_source == "model":
        found.append("The labels come from a model: scores measure agreement with it, not with observations.")
    return tuple(dict.fromkeys(found))


def _of_model(model: ModelSpec, task: TaskSpec) -> Iterator[str]:
    stated = model.embedding
    yield from (f"{model.slug}: {note}" for note in model.notes)
    inputs = [name for name in stated.inputs if canonical(name) in _target_names(task)]
    if inputs:
        yield (
            f"{model.slug}: the target is an input of this model ({', '.join(inputs)}), so it is reconstructed and not "
            "predicted."
        )
    if stated.product_version:
        yield (
            f"{model.slug}: results measured on a product ({_product(model)}) do not carry over to the model behind it."
        )
    if stated.quantised:
        yield f"{model.slug}: embeddings are stored as {stated.quantised}."
    if stated.product_year and task.label_year and stated.product_year != task.label_year:
        yield f"{model.slug}: the product is of {stated.product_year}, the labels are of {task.label_year}."


def _product(model: ModelSpec) -> str:
    year = f", {model.embedding.product_year}" if model.embedding.product_year else ""
    return f"version {model.embedding.product_version}{year}"


def stated_targets(task: TaskSpec) -> list[str]:
    """Return the names that a task's options give its target, for example that of the column of the labels."""
    columns = task.options.get("columns")
    # The option target of reader vector is chip or mask.
    given = [task.options.get(name) for name in _TARGETS if (task.reader, name) != ("vector", "target")]
    given += [columns.get("label")] if isinstance(columns, dict) else []
    named = [one for value in given for one in (value if isinstance(value, list | tuple) else [value])]
    return list(dict.fromkeys(one for one in named if isinstance(one, str)))


def _target_names(task: TaskSpec) -> set[str]:
    """Names of the task's target and their parts: ``S1_VV``, ``S1`` and ``VV``."""
    texts = stated_targets(task)
    return {canonical(part) for text in texts for part in (text, *re.split(r"[^A-Za-z0-9]+", text)) if part}
