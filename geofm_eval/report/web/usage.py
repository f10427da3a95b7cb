"""*Use it*: for each recommended model, a snippet that reads features at the chosen tap and applies the saved probe."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from geofm_eval.answer import TaskAnswer
from geofm_eval.catalog import Catalog, ModelSpec, Recipe, TaskSpec, load_catalog
from geofm_eval.records import Record
from geofm_eval.results.comparison import LAST
from geofm_eval.results.run import PROBE

SAVED_PROBES = ("linear", "ridge")
"""Probes that ``geofm-eval export --probe`` saves."""


class UseIt(NamedTuple):
    """How to use one model for one task.

    Args:
        task: name of the task.
        command: writes the probe; empty without a probe to save.
        code: runs after the command, in the same folder; empty without a snippet.
        note: what the snippet needs, or why there is none.
    """

    task: str
    command: str
    code: str
    note: str


def uses_of(answers: Sequence[TaskAnswer], catalog: Catalog) -> list[dict[str, Any]]:
    """Return the recommended models, each with its tasks, for the page."""
    found: dict[str, list[UseIt]] = {}
    for answer in answers:
        for choice in answer.choices:
            found.setdefault(choice.model, []).append(use_it(choice.entry.record, catalog))
    return [{"model": model, "tasks": [one._asdict() for one in own]} for model, own in sorted(found.items())]


def use_it(record: Record, catalog: Catalog) -> UseIt:
    """Return how to use the model of a record at its tap."""
    case = record.case
    spec, task = catalog.models.get(case.model), catalog.tasks.get(case.task)
    if spec is None or task is None:
        return UseIt(case.task, "", "", "The catalog of this page does not have the model and the task.")
    adaptation = catalog.adaptations.get(case.adaptation)
    if case.kind != PROBE or adaptation is None or adaptation.coding != "float32":
        return UseIt(case.task, "", "", f"Trained networks and coded features are not saved: measure {case.id} again.")
    saved = adaptation.probe in SAVED_PROBES and not task.dense
    own = {case.model, case.task} - _built_in()
    recipe = str((record.provenance.recipe or {}).get("slug", "probing"))
    command = _command(record, recipe, own=bool(own)) if saved else ""
    dated = _dated(spec, task, catalog.recipes.get(recipe))
    read = _from_table(record) if spec.precomputed else _from_images(record, adaptation.pooling, dated=dated)
    code = _code(record, recipe, read, saved=saved, own=bool(own))
    return UseIt(case.task, command, code, _note(own=bool(own), saved=saved))


def _note(*, own: bool, saved: bool) -> str:
    parts = ["catalog.toml is the file that defines them."] if own else []
    parts += [] if saved else ["Only linear and ridge probes of whole images are saved; the snippet gives features."]
    return " ".join(parts)


def _built_in() -> set[str]:
    known = load_catalog()
    return {*known.models, *known.tasks}


def _command(record: Record, recipe: str, *, own: bool) -> str:
    case = record.case
    more = " --catalog catalog.toml" if own else ""
    more += "" if recipe == "probing" else f" --recipe {recipe}"
    what = f"--model {case.model} --tap {case.layer} --probe {case.adaptation}"
    return f"geofm-eval export {case.task} {what} --out .{more}"


def _dated(model: ModelSpec, task: TaskSpec, recipe: Recipe | None) -> bool:
    """Whether the dates of a series are encoded one by one."""
    at_once = recipe is not None and model.temporal and recipe.temporal == "native"
    return task.dates is not None and not at_once


class _Reading(NamedTuple):
    """Imports and lines that compute ``features`` from ``samples``."""

    imports: list[str]
    lines: list[str]


def _from_table(record: Record) -> _Reading:
    case = record.case
    block = f'workspace.block("{case.model}", "{case.task}", samples.name)'
    return _Reading([], [f'features = {block}.features("{case.layer}")[:8]'])


def _from_images(record: Record, pooling: str, *, dated: bool) -> _Reading:
    model, task, tap = (f'"{name}"' for name in (record.case.model, record.case.task, record.case.layer))
    imports, cut = ["from geofm_eval.extraction import features_at"], []
    if record.case.layer != LAST:
        imports.insert(0, "from geofm_eval.backbones.truncated import truncate")
        batch = "batch.one_by_one()" if dated else "batch"
        cut = [f"backbone = truncate(backbone, {tap}, {batch})  # without the later blocks"]
    return _Reading(imports, [
        "images = [samples.read(number) for number in range(8)]  # or geofm_eval.data.pixels.to_unit(array, task)",
        f"adapter = workspace.adapter({model}, {task})",
        "batch = adapter(images)  # selects, resizes and normalises the bands",
        f"backbone = workspace.backbone({model}, {task})",
        *cut,
        f'features = features_at(backbone, batch, {tap}, "{pooling}", adapter.native)',
    ])  # fmt: skip


def _code(record: Record, recipe: str, read: _Reading, *, saved: bool, own: bool) -> str:
    case = record.case
    names = ["Settings", "Workspace", "load_catalog", *(["load_probe"] if saved else [])]
    catalog = '["catalog.toml"]' if own else ""
    settings = "Settings()" if recipe == "probing" else f'Settings(recipe="{recipe}")'
    lines = [
        f"from geofm_eval import {', '.join(names)}",
        *read.imports,
        "",
        f"workspace = Workspace(load_catalog({catalog}), {settings})",
        f'samples = list(workspace.splits("{case.task}").values())[-1]',
        *read.lines,
    ]
    last = [f'probe = load_probe("{case.id}.safetensors")', "print(probe.predict(features))"]
    return "\n".join([*lines, *(last if saved else ["print(features.shape)"])])
