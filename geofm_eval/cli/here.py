"""Commands on models, data and the cache: models, tasks, doctor, preflight, fetch, cache."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from geofm_eval.cache import KINDS, list_cache, prune_cache
from geofm_eval.catalog import ModelSpec, TaskSpec, compatible, load_catalog
from geofm_eval.cli.application import CatalogOption, app, complain, console, say
from geofm_eval.errors import GeofmError, Unavailable
from geofm_eval.gaps import availability
from geofm_eval.metric import METRICS, POINT
from geofm_eval.paths import geofm_cache, geofm_runs, home_line
from geofm_eval.plurals import counted


@app.command()
def models(catalog: CatalogOption = None) -> None:
    """List the models: family, bands, size, licence, and whether they can run here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).models
    table = Table("model", "family", "bands", "input", "blocks", "width", "parameters", "licence", "runnable here")
    for slug, model in known.models.items():
        bands = "all of the task" if model.bands == ("*",) else f"{len(model.bands)} {model.product}"
        bands = "none: embeddings" if model.precomputed else bands
        size = f"{model.image_size} px" if model.image_size else "as is"
        table.add_row(
            slug,
            model.family.replace("_", " "),
            bands,
            size,
            str(model.depth),
            str(model.width or "-"),
            _count(model),
            model.licence,
            _here(gaps[slug]),
        )
    console.print(table)


@app.command()
def tasks(catalog: CatalogOption = None) -> None:
    """List the tasks: metric, margin (loss that the gate tolerates), licence, and whether they can run here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).tasks
    header = ("task", "version", "metric", "margin", "classes", "bands", "data", "licence", "suites", "runnable here")
    table = Table(*header)
    for slug, task in known.tasks.items():
        bands = f"{len(task.bands)} {task.product}"
        data = _simulated(task) if task.simulated else task.root
        table.add_row(
            slug,
            str(task.version),
            task.metric,
            _delta(task),
            str(len(task.classes)),
            bands,
            data,
            task.licence,
            " ".join(task.suites),
            _here(gaps[slug]),
        )
    console.print(table)


def _delta(task: TaskSpec) -> str:
    """Margin of the gate: ``1 point`` or ``0.4 t/ha``."""
    delta = task.delta_of(task.metric)
    if delta is None:
        return "-"
    if METRICS[task.metric].in_target_unit:
        return f"{delta:g} {task.target_unit}"
    return f"{delta * 100:g} point{'' if delta == POINT else 's'}"


def _simulated(task: TaskSpec) -> str:
    """Properties of a stand-in: ``simulated, spectral, oracle 0.92``."""
    known = [task.tier, None if task.oracle is None else f"oracle {task.oracle:g}"]
    return ", ".join(["simulated", *(word for word in known if word)])


@app.command()
def doctor(catalog: CatalogOption = None) -> None:
    """List what can run here, and how to obtain what is missing."""
    known = load_catalog(catalog or ())
    here = availability(known)
    say(f"home   {home_line('GEOFM_HOME is not set: only simulated data and random weights run')}")
    say(f"cache  {geofm_cache()}")
    say(f"device {_device()}\n")
    pairs = [(m.slug, t.slug) for m in known.models.values() for t in known.tasks.values() if compatible(m, t)]
    runnable = [(m, t) for m, t in pairs if here.models[m] is None and here.tasks[t] is None]
    say(f"{len(runnable)} of {counted(len(pairs), 'pair')} of model and task can run here:")
    for task in known.tasks:
        names = [m for m, t in runnable if t == task]
        if names:
            say(f"  {task}: {', '.join(names)}")
    missing = [(slug, gap) for slug, gap in (*here.models.items(), *here.tasks.items()) if gap is not None]
    say("\nNothing is missing." if not missing else "\nMissing:")
    for slug, gap in missing:
        say(f"  {slug}: {gap.what}\n      {gap.how_to_get}")


@app.command()
def preflight(
    model: str,
    task: str,
    catalog: CatalogOption = None,
    recipe: Annotated[str, typer.Option(help="Recipe of the inputs.")] = "probing",
    items: Annotated[int, typer.Option(min=1, help="Training samples to read.")] = 32,
    picture: Annotated[Path | None, typer.Option(help="PNG file. Default: below reports/runs/preflight.")] = None,
) -> None:
    """Show what MODEL receives from TASK: band, product and unit of every channel, mean and sd after normalisation."""
    known = load_catalog(catalog or ())
    spec, own, chosen = known.task(task), known.model(model), known.recipe(recipe)

    from geofm_eval import checking

    result = checking.preflight(own, spec, chosen, items)
    report = result.report
    header = ("channel", "band", "status", "product", "unit", "mean (data)", "mean (input)", "sd (input)", "invalid")
    table = Table(*header)
    for index, channel in enumerate(result.channels):
        raw = "-" if channel.raw_mean is None else f"{channel.raw_mean:.1f}"
        table.add_row(
            str(index),
            channel.band,
            channel.status,
            report.product_found,
            channel.unit,
            raw,
            f"{channel.mean:+.3f}",
            f"{channel.sd:.3f}",
            f"{channel.invalid:.1%}",
        )
    console.print(table)
    height, width = result.pixels.shape[-2:]
    say(f"{counted(result.items, 'training sample')}, input {height} x {width} px (resize: {report.resize})")
    for warning in result.warnings:
        say(f"note: {warning}")
    target = picture or geofm_runs() / "preflight" / f"{model}-{task}.png"
    say(f"picture: {checking.save_picture(result, spec, target)}")


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models and tasks.")],
    catalog: CatalogOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be downloaded, and its size.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the files that GEOFM_HOME has.")] = False,
) -> None:
    """Download weights and data to GEOFM_HOME; without a public address, print where to get them."""
    from geofm_eval import fetch as fetching

    known = load_catalog(catalog or ())
    chosen = [fetching.look_up(known, name) for name in names]
    failed = False
    for spec in chosen:
        try:
            if isinstance(spec, TaskSpec):
                lines = fetching.check_task(spec) if check else _task_lines(spec, dry_run)
            elif check:
                lines = fetching.check_model(spec)
            elif dry_run:
                lines = fetching.plan_model(spec)
            else:
                lines = fetching.fetch_model(spec, fetching.transfer_on(console))
        except GeofmError as error:
            # The other names are still fetched.
            complain(f"{spec.slug}: {error}")
            failed = True
        else:
            say("\n".join(lines))
    if failed:
        raise typer.Exit(1)


def _task_lines(task: TaskSpec, dry_run: bool) -> list[str]:
    from geofm_eval import fetch as fetching

    return fetching.plan_task(task) if dry_run else fetching.fetch_task(task, fetching.transfer_on(console))


@app.command()
def cache(
    prune: Annotated[str | None, typer.Option(help=f"Remove entries of this kind: {', '.join(KINDS)}.")] = None,
    older: Annotated[float, typer.Option(help="With --prune: only entries unused for this many days.")] = 0.0,
) -> None:
    """List the entries of the cache, or prune it."""
    if prune is not None:
        removed = prune_cache(prune, older)
        entries = counted(len(removed), "entry", "entries")
        say(f"removed {entries}, {sum(e.bytes for e in removed) / 1e6:.1f} MB")
        return
    table = Table("kind", "entry", "MB", "days old")
    for entry in list_cache():
        table.add_row(entry.kind, entry.key, f"{entry.bytes / 1e6:.1f}", f"{entry.age_days:.1f}")
    console.print(table)


def _count(model: ModelSpec) -> str:
    return "-" if model.parameters is None else f"{model.parameters / 1e6:.2f} M"


def _here(gap: Unavailable | None) -> str:
    return "yes" if gap is None else f"no: {gap.kind}"


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
