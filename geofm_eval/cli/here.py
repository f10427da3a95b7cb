"""Commands on models, data and the cache: models, tasks, doctor, fetch, cache."""

from typing import Annotated

import typer
from rich.table import Table

from geofm_eval.cache import KINDS, list_cache, prune_cache
from geofm_eval.catalog import ModelSpec, TaskSpec, compatible, load_catalog
from geofm_eval.catalog.models import Commercial
from geofm_eval.catalog.tasks import UNKNOWN
from geofm_eval.cli.application import CatalogOption, app, complain, console, say
from geofm_eval.cli.completion import entry_names, task_names
from geofm_eval.errors import GeofmError, Unavailable
from geofm_eval.gaps import availability
from geofm_eval.metric import METRICS, POINT
from geofm_eval.paths import geofm_cache, home_line
from geofm_eval.plurals import counted
from geofm_eval.starters import choose_starters

HERE = "files here"
NOT_CHECKED = "Files were not loaded; geofm-eval check MODEL TASK loads them."
"""Title of a column, and what it does not say."""


@app.command()
def models(
    catalog: CatalogOption = None,
    commercial: Annotated[Commercial | None, typer.Option(help="Only models whose licence says so.")] = None,
    starter: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only the starter models of TASK.", autocompletion=task_names)
    ] = None,
) -> None:
    """List the models: family, bands, size, licence, and whether their files are here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).models
    chosen = known.models if starter is None else choose_starters(known, [known.task(starter)]).slugs
    header = ("model", "family", "bands", "input", "blocks", "width", "parameters", "licence", "commercial", HERE)
    table = Table(*header)
    for slug in chosen:
        model = known.models[slug]
        if commercial not in (None, model.commercial):
            continue
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
            model.commercial,
            _here(gaps[slug]),
        )
    console.print(table)
    say(NOT_CHECKED)


@app.command()
def tasks(catalog: CatalogOption = None) -> None:
    """List the tasks: metric, margin (loss that the gate tolerates), licence, and whether their files are here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).tasks
    header = ("task", "version", "metric", "margin", "classes", "bands", "data", "licence", "suites", HERE)
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
            "no: bands not named" if UNKNOWN in task.bands else _here(gaps[slug]),
        )
    console.print(table)
    say(NOT_CHECKED)


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
    """List the pairs of model and task whose files are here, and how to obtain what is missing; loads nothing."""
    known = load_catalog(catalog or ())
    here = availability(known)
    say(f"home   {home_line('GEOFM_HOME is not set: only simulated data and random weights run')}")
    say(f"cache  {geofm_cache()}")
    say(f"device {_device()}\n")
    tasks = [task for task in known.tasks.values() if UNKNOWN not in task.bands]
    pairs = [(model.slug, task.slug) for model in known.models.values() for task in tasks if compatible(model, task)]
    runnable = [(m, t) for m, t in pairs if here.models[m] is None and here.tasks[t] is None]
    say(f"{len(runnable)} of {counted(len(pairs), 'pair')} of model and task have their files here. {NOT_CHECKED}")
    for task in known.tasks:
        names = [m for m, t in runnable if t == task]
        if names:
            say(f"  {task}: {', '.join(names)}")
    missing = [(slug, gap) for slug, gap in (*here.models.items(), *here.tasks.items()) if gap is not None]
    say("\nNothing is missing." if not missing else "\nMissing:")
    for slug, gap in missing:
        say(f"  {slug}: {gap.what}\n      {gap.how_to_get}")


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Models and tasks.", autocompletion=entry_names)
    ],
    catalog: CatalogOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be downloaded, and its size.")] = False,
) -> None:
    """Download weights and data to GEOFM_HOME; without a public address, print where to get them."""
    from geofm_eval import fetch as fetching

    known = load_catalog(catalog or ())
    chosen = [fetching.look_up(known, name) for name in names]
    failed = False
    for spec in chosen:
        try:
            if isinstance(spec, TaskSpec):
                lines = _task_lines(spec, dry_run)
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
