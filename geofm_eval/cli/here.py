"""Commands on models, data and the cache: models, tasks, fetch, cache."""

import json
from typing import Annotated

import typer
from rich.table import Table

from geofm_eval.cache import KINDS, list_cache, prune_cache
from geofm_eval.catalog import ModelSpec, TaskSpec, load_catalog
from geofm_eval.catalog.models import Commercial
from geofm_eval.catalog.tasks import UNKNOWN
from geofm_eval.cli.application import CatalogOption, app, complain, console, say
from geofm_eval.cli.completion import entry_names, task_names
from geofm_eval.errors import GeofmError, Unavailable
from geofm_eval.gaps import availability
from geofm_eval.metric import METRICS, POINT
from geofm_eval.plurals import counted
from geofm_eval.starters import choose_starters

HERE = "files here"
NOT_CHECKED = "Files were not loaded; geofm-eval check MODEL TASK loads them."
"""Title of a column, and what it does not say."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def models(
    catalog: CatalogOption = None,
    commercial: Annotated[Commercial | None, typer.Option(help="Only models whose licence says so.")] = None,
    starter: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only the starter models of TASK.", autocompletion=task_names)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also random twins and RGB-only variants.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models: family, bands, size, licence, and whether their files are here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).models
    chosen = [known.models[slug] for slug in choose_starters(known, [known.task(starter)]).slugs] if starter else None
    listed = list(known.models.values()) if chosen is None else chosen
    listed = [model for model in listed if commercial in (None, model.commercial)]
    shown = [model for model in listed if every or chosen is not None or not is_variant(model)]
    if as_json:
        typer.echo(json.dumps([_fields_of_model(model, gaps[model.slug]) for model in shown], indent=1))
        return
    header = ("model", "family", "bands", "input", "blocks", "width", "parameters", "licence", "commercial", HERE)
    _show(header, [_row_of_model(model, gaps[model.slug]) for model in shown])
    if len(shown) < len(listed):
        say(f"{len(listed) - len(shown)} random twins and RGB-only variants are not listed; --all lists them.")
    say(NOT_CHECKED)


@app.command()
def tasks(catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """List the tasks: metric, margin (loss that the gate tolerates), licence, and whether their files are here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).tasks
    if as_json:
        fields = [_fields_of_task(task, gaps[task.slug]) for task in known.tasks.values()]
        typer.echo(json.dumps(fields, indent=1))
        return
    header = ("task", "version", "metric", "margin", "classes", "bands", "data", "licence", "suites", HERE)
    _show(header, [_row_of_task(task, gaps[task.slug]) for task in known.tasks.values()])
    say(NOT_CHECKED)


def _row_of_model(model: ModelSpec, gap: Unavailable | None) -> tuple[str, ...]:
    bands = "all of the task" if model.bands == ("*",) else f"{len(model.bands)} {model.product}"
    return (
        model.slug,
        model.family.replace("_", " "),
        "none: embeddings" if model.precomputed else bands,
        f"{model.image_size} px" if model.image_size else "as is",
        str(model.depth),
        str(model.width or "-"),
        _count(model),
        model.licence,
        model.commercial,
        _here(gap),
    )


def _row_of_task(task: TaskSpec, gap: Unavailable | None) -> tuple[str, ...]:
    return (
        task.slug,
        str(task.version),
        task.metric,
        _delta(task),
        str(len(task.classes)),
        f"{len(task.bands)} {task.product}",
        _simulated(task) if task.simulated else task.root,
        task.licence,
        " ".join(task.suites),
        "no: bands not named" if UNKNOWN in task.bands else _here(gap),
    )


def _show(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table. The first and the last column are always shown, others from left to right as the width allows."""
    widths = [max(len(text) for text in texts) + 3 for texts in zip(header, *rows, strict=True)]
    order = [0, len(header) - 1, *range(1, len(header) - 1)]
    kept = [column for place, column in enumerate(order) if sum(widths[c] for c in order[: place + 1]) < console.width]
    kept = sorted({*order[:2], *kept})
    table = Table(*(header[column] for column in kept))
    for row in rows:
        table.add_row(*(row[column] for column in kept))
    console.print(table)
    if absent := [name for column, name in enumerate(header) if column not in kept]:
        say(f"Columns without room: {', '.join(absent)}. Widen the terminal, set COLUMNS, or use --json.")


def is_variant(model: ModelSpec) -> bool:
    """Whether an entry is the random twin or the RGB-only variant of another."""
    return model.variant_of is not None and (model.is_control or model.rgb_only)


def _fields_of_model(model: ModelSpec, gap: Unavailable | None) -> dict[str, object]:
    """Columns of the table in JSON; ``missing`` is null if the files are here."""
    names = ("title", "family", "bands", "product", "image_size", "depth", "width", "parameters", "licence")
    fields = {name: getattr(model, name) for name in (*names, "commercial", "variant_of")}
    return {"model": model.slug, **fields, "missing": None if gap is None else gap.kind}


def _fields_of_task(task: TaskSpec, gap: Unavailable | None) -> dict[str, object]:
    """Columns of the table in JSON; ``missing`` is null if the files are here."""
    names = ("title", "version", "metric", "classes", "bands", "product", "root", "simulated", "licence", "suites")
    fields = {name: getattr(task, name) for name in names}
    return {"task": task.slug, **fields, "missing": None if gap is None else gap.kind}


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
