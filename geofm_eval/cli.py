"""The command line: models, tasks, doctor, preflight, fetch, cache, collate, compare, expect, advise."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from geofm_eval import __version__
from geofm_eval.catalog import ModelSpec, TaskSpec, compatible, load_catalog
from geofm_eval.catalog.tasks import POINT
from geofm_eval.errors import ContractError, GeofmError, Unavailable
from geofm_eval.gaps import availability, runnable_pairs
from geofm_eval.paths import geofm_cache, geofm_runs, home_line
from geofm_eval.terminal import allow_any_terminal

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
# Wide enough for whole slugs when the output is a pipe or a log; a terminal keeps its own width.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)


def say(text: str) -> None:
    """Print a line as it is: brackets are no markup, and paths and addresses stay whole."""
    console.print(text, markup=False, soft_wrap=True)


# As in geofm_eval.compare, which is not loaded at the start.
FailOn = Literal["regression", "undecided"]
Together = Literal["family", "run"]
Style = Literal["text", "markdown", "json"]

CatalogOption = Annotated[
    list[Path] | None, typer.Option("--catalog", help="Your own TOML file with models and tasks (repeatable).")
]


def _version(value: bool) -> None:
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Evaluate geospatial foundation models; the suite itself runs as: pytest benchmarks."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@app.command()
def models(catalog: CatalogOption = None) -> None:
    """List the models with family, bands, size, licence and whether they can run here."""
    known = load_catalog(catalog or ())
    gaps = availability(known).models
    table = Table("model", "family", "bands", "input", "blocks", "width", "parameters", "licence", "runnable here")
    for slug, model in known.models.items():
        bands = "all of the task" if model.bands == ("*",) else f"{len(model.bands)} {model.product}"
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
    """List the tasks with metric, margin (the loss that matters to the gate), licence and whether they can run here."""
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
    """Difference that matters to the gate, such as ``1 point`` or ``0.4 t/ha``."""
    delta = task.delta_of(task.metric)
    if delta is None:
        return "-"
    if task.metric == "rmse":
        return f"{delta:g} {task.target_unit}"
    return f"{delta * 100:g} point{'' if delta == POINT else 's'}"


def _simulated(task: TaskSpec) -> str:
    """What a stand-in declares: ``simulated, spectral, oracle 0.92``."""
    known = [task.tier, None if task.oracle is None else f"oracle {task.oracle:g}"]
    return ", ".join(["simulated", *(word for word in known if word)])


@app.command()
def doctor(catalog: CatalogOption = None) -> None:
    """Say what is runnable here, and what each missing piece needs."""
    known = load_catalog(catalog or ())
    here = availability(known)
    say(f"home   {home_line('GEOFM_HOME is not set: only simulated data and random weights run')}")
    say(f"cache  {geofm_cache()}")
    say(f"device {_device()}\n")
    pairs = runnable_pairs(known)
    total = sum(compatible(m, t) for m in known.models.values() for t in known.tasks.values())
    say(f"{len(pairs)} of {total} pairs of model and task are runnable here:")
    for task in known.tasks:
        names = [m for m, t in pairs if t == task]
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
    recipe: str = "probing",
    items: Annotated[int, typer.Option(min=1, help="Training items to read.")] = 32,
    picture: Annotated[Path | None, typer.Option(help="PNG of one item; default reports/runs/preflight/.")] = None,
) -> None:
    """Show what MODEL really receives from TASK: per channel band, product, unit, mean and sd after normalisation."""
    known = load_catalog(catalog or ())
    spec, own, chosen = known.task(task), known.model(model), known.recipe(recipe)

    from geofm_eval import checking

    result = checking.preflight(own, spec, chosen, items)
    report = result.report
    table = Table(
        "channel", "band", "status", "product", "unit", "mean (data)", "mean (input)", "sd (input)", "invalid"
    )
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
    say(f"{result.items} training items, input {height} x {width} px (resize: {report.resize})")
    for warning in result.warnings:
        say(f"note: {warning}")
    target = picture or geofm_runs() / "preflight" / f"{model}-{task}.png"
    say(f"picture: {checking.save_picture(result, spec, target)}")


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models and tasks.")],
    catalog: CatalogOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and how large it is.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check what is in GEOFM_HOME already.")] = False,
) -> None:
    """Fetch weights into GEOFM_HOME; for data, and weights without a public address, say where to get them."""
    from geofm_eval import fetch as fetching

    known = load_catalog(catalog or ())
    chosen = [fetching.look_up(known, name) for name in names]
    failed = False
    for spec in chosen:
        try:
            if isinstance(spec, TaskSpec):
                lines = fetching.check_task(spec) if check else fetching.describe_task(spec)
            elif check:
                lines = fetching.check_model(spec)
            elif dry_run:
                lines = fetching.plan_model(spec)
            else:
                lines = fetching.fetch_model(spec, fetching.transfer_on(console))
        except GeofmError as error:
            # What else was asked for is fetched all the same.
            _complain(f"{spec.slug}: {error}")
            failed = True
        else:
            say("\n".join(lines))
    if failed:
        raise typer.Exit(1)


@app.command()
def cache(
    prune: Annotated[str | None, typer.Option(help="Remove entries of this kind: features, sweeps, standins.")] = None,
    older: Annotated[float, typer.Option(help="With --prune: only those unused for so many days.")] = 0.0,
) -> None:
    """List what the cache holds, or prune it."""
    from geofm_eval.cache import list_cache, prune_cache

    if prune is not None:
        removed = prune_cache(prune, older)
        say(f"removed {len(removed)} entries, {sum(e.bytes for e in removed) / 1e6:.1f} MB")
        return
    table = Table("kind", "entry", "MB", "days old")
    for entry in list_cache():
        table.add_row(entry.kind, entry.key, f"{entry.bytes / 1e6:.1f}", f"{entry.age_days:.1f}")
    console.print(table)


@app.command()
def collate(run: Path, catalog: CatalogOption = None) -> None:
    """Collate the records of RUN (a folder, or a name below reports/runs) into tables and figures."""
    from geofm_eval.report.collation import collate as collate_run

    say(collate_run(_folder(run), load_catalog(catalog or ())).text)


@app.command()
def compare(
    baseline: Annotated[Path, typer.Argument(help="Folder, name below reports/runs, or archive of a run.")],
    run: Annotated[Path, typer.Argument(help="The run that is judged, given alike.")],
    fail_on: Annotated[
        FailOn, typer.Option(help="What makes the status 1; undecided: regressions, and whatever could not be tested.")
    ] = "regression",
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Status 1 also for any case, model or task that RUN does not have.")
    ] = False,
    family: Annotated[
        Together,
        typer.Option(help="run: hold the 5 % of false verdicts for all primary cases of the run together (for CI)."),
    ] = "family",
    style: Annotated[Style, typer.Option("--format", help="Markdown is fit for a comment on a pull request.")] = "text",
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    catalog: CatalogOption = None,
) -> None:
    """Say per primary case whether RUN is better, equivalent or worse than BASELINE; status 1 where it is worse."""
    from geofm_eval import compare as comparing
    from geofm_eval.report.gate import json_of, lines_of, markdown_of
    from geofm_eval.store import write_bytes

    runs = comparing.find_run(baseline), comparing.find_run(run)
    found = comparing.compare(*runs, load_catalog(catalog or ()), family)
    asked = fail_on, require_all
    if style == "text":
        lines = lines_of(found, *asked)
        text = "\n".join(line.text for line in lines) + "\n"
    else:
        text = (markdown_of if style == "markdown" else json_of)(found, *asked)
    if output is not None:
        write_bytes(output, text.encode())
    elif style == "text":
        for line in lines:
            console.print(line.text, style="red" if line.alarm else None, markup=False, emoji=False, soft_wrap=True)
    else:
        typer.echo(text, nl=False)
    if found.failures(*asked):
        raise typer.Exit(1)


@app.command()
def advise(
    run: Path,
    task: Annotated[str, typer.Option(help="Task that the backbone is for.")],
    model: Annotated[str | None, typer.Option(help="Backbone; by default all that are no controls.")] = None,
    catalog: CatalogOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Build MODEL cut, time it, solve the probe.")] = False,
    weights: Annotated[Path | None, typer.Option(help="With --confirm: the file that MODEL was measured with.")] = None,
    device: Annotated[str, typer.Option(help="With --confirm: torch device.")] = "cpu",
) -> None:
    """Say which block to read, where to cut and what to tune, with the evidence for it in RUN (as for collate).

    With --confirm the status is 1 where the cut backbone gives other features or another score than the record's.
    """
    from geofm_eval.report.advice import advised

    if confirm and model is None:
        raise ContractError("--confirm builds one backbone: name it with --model")
    known = load_catalog(catalog or ())
    found = advised(_folder(run), known, task, model)
    confirmation = None
    if confirm:
        from geofm_eval.measure.confirming import confirm_first  # here, because it loads torch

        confirmation = confirm_first(found.advices[0], found.content, known, weights=weights, device=device)
    if as_json:
        typer.echo(found.json(confirmation))
    else:
        say(found.text(confirmation))
    if confirmation is not None and not confirmation.holds:
        raise typer.Exit(1)


@app.command()
def expect(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished runs: folders, or names. With --reseal: tasks.")
    ],
    why: Annotated[str, typer.Option(help="Why ranges change; needed where one gets looser.")] = "",
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Only these tasks.")] = "",
    into: Annotated[Path, typer.Option(help="Folder of the range files.")] = Path("benchmarks/expected"),
    reseal: Annotated[
        bool, typer.Option("--reseal", help="Accept range files of these tasks as edited by hand; needs --why.")
    ] = False,
    catalog: CatalogOption = None,
) -> None:
    """Set expected ranges from finished runs, old -> new; probes are solved again with last-digit noise.

    The status is 1, and nothing is written, where a range would get looser without --why.
    """
    if reseal:
        from geofm_eval.expected.resealing import reseal as accept

        say(accept(into, [str(task) for task in runs], why))
        return
    from geofm_eval.measure.setting_ranges import expect as set_ranges

    chosen = [name.strip() for name in tasks.split(",") if name.strip()]
    found = set_ranges([_folder(run) for run in runs], load_catalog(catalog or ()), into, chosen, why)
    say(found.text)
    if not found.written:
        raise typer.Exit(1)


def _folder(run: Path) -> Path:
    """Folder of a run that is given as such, or by its name below reports/runs."""
    return run if run.is_dir() else geofm_runs() / run


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


def run() -> None:
    """Entry point: errors raised on purpose end with their message and status 1, not with a traceback."""
    allow_any_terminal()
    try:
        app()
    except GeofmError as error:
        _complain(str(error))
        raise SystemExit(1) from None


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False).print(f"error: {message}", markup=False, soft_wrap=True)
