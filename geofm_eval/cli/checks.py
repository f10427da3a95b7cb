"""The command check: load a model, a task, or both, before a run."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec, load_catalog
from geofm_eval.cli.application import CatalogOption, app, console, say
from geofm_eval.cli.completion import entry_names
from geofm_eval.errors import ContractError
from geofm_eval.paths import geofm_runs
from geofm_eval.plurals import counted

if TYPE_CHECKING:
    from geofm_eval.checking import BackboneCheck, Preview, TaskCheck


@app.command()
def check(
    names: Annotated[
        list[str],
        typer.Argument(metavar="[MODEL] [TASK]", help="A model, a task, or both.", autocompletion=entry_names),
    ],
    catalog: CatalogOption = None,
    recipe: Annotated[str, typer.Option(help="Recipe of the inputs.")] = "probing",
    weights: Annotated[Path | None, typer.Option(help="Your own weights for MODEL.")] = None,
    items: Annotated[int, typer.Option(min=1, help="Samples of TASK to read.")] = 32,
    picture: Annotated[Path | None, typer.Option(help="PNG file. Default: below reports/runs/check.")] = None,
) -> None:
    """Load MODEL and encode a batch; read TASK and compare its splits; show what MODEL receives from TASK."""
    known = load_catalog(catalog or ())
    model, task = named(known, names)
    chosen = known.recipe(recipe)

    from geofm_eval import checking

    # Embeddings have no network, so only a task can show what they are.
    task = known.task(model.tasks[0]) if task is None and model is not None and model.precomputed else task
    data = None if task is None else checking.check_task(task, items)
    if data is not None:
        _show_task(data)
    if model is not None and model.precomputed and data is not None:
        found = checking.check_embeddings(model, data.task, data.splits)
        say("\n".join(found.lines))
        _warn(found.warnings)
    elif model is not None:
        if data is not None:
            preview = checking.preview_input(model, data.task, chosen, data.images)
            _show_preview(preview)
            target = picture or geofm_runs() / "check" / f"{preview.model}-{preview.task}.png"
            say(f"picture: {checking.save_picture(preview, data.task, target)}")
        images = () if data is None else data.images
        _show_model(checking.check_model(model, chosen, task, images, weights))
    say(f"{' and '.join(names)}: nothing found that would stop a run")


def named(known: Catalog, names: list[str]) -> tuple[ModelSpec | None, TaskSpec | None]:
    """Return the model and the task that one or two names mean, in either order; a name may be both.

    Raises:
        ContractError: a name is unknown, or there are two models, two tasks, or more than two names.
    """
    from geofm_eval.fetch import look_up

    if len(names) > 2:
        raise ContractError(f"expected a model, a task, or one of each, found {len(names)} names")
    for name in names:
        look_up(known, name)
    models = [known.models[name] for name in names if name in known.models]
    tasks = [known.tasks[name] for name in names if name in known.tasks]
    if len(names) == 2 and not (models and tasks):
        what = "models" if models else "tasks"
        raise ContractError(f"{names[0]} and {names[1]} are both {what}; give a model, a task, or one of each")
    return (models[0] if models else None), (tasks[-1] if tasks else None)


def _show_task(found: "TaskCheck") -> None:
    say("\n".join(found.lines))
    if found.counts:
        table = Table("class", *found.counts)
        for label, name in enumerate(found.task.classes):
            table.add_row(name, *(str(counts[label]) for counts in found.counts.values()))
        console.print(table)
    if found.bands:
        table = Table("band", "unit", "2 %", "median", "98 %")
        for band in found.bands:
            numbers = (f"{value:.5g}" for value in (band.low, band.median, band.high))
            table.add_row(band.band, band.unit or "unknown", *numbers)
        console.print(table)
    _warn(found.warnings)


def _show_preview(found: "Preview") -> None:
    header = ("channel", "band", "status", "product", "unit", "mean (data)", "mean (input)", "sd (input)", "invalid")
    table = Table(*header)
    for index, channel in enumerate(found.channels):
        raw = "-" if channel.raw_mean is None else f"{channel.raw_mean:.1f}"
        table.add_row(
            str(index),
            channel.band,
            channel.status,
            found.report.product_found,
            channel.unit,
            raw,
            f"{channel.mean:+.3f}",
            f"{channel.sd:.3f}",
            f"{channel.invalid:.1%}",
        )
    console.print(table)
    height, width = found.pixels.shape[-2:]
    say(f"{counted(found.items, 'training sample')}, input {height} x {width} px (resize: {found.report.resize})")
    _warn(found.warnings)


def _show_model(found: "BackboneCheck") -> None:
    say(f"{found.loaded.spec.slug}: loads")
    say("\n".join(f"  {line}" for line in found.lines))
    table = Table("taps", "tokens", "width")
    for (tokens, width), taps in groupby(found.taps, key=lambda tap: found.taps[tap]):
        first, *others = taps
        table.add_row(f"{first} to {others[-1]}" if others else first, str(tokens), str(width))
    console.print(table)
    _warn(found.warnings)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        say(f"warning: {warning}")
