"""The command doctor: what is here, what is missing, and what to do first."""

from collections.abc import Iterable
from typing import Annotated

import typer

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec, compatible, load_catalog
from geofm_eval.catalog.tasks import UNKNOWN
from geofm_eval.cli.application import CatalogOption, app, say
from geofm_eval.cli.here import NOT_CHECKED, is_variant
from geofm_eval.gaps import Availability, availability
from geofm_eval.paths import geofm_cache, geofm_home, home_line
from geofm_eval.plurals import counted

UNSET = "GEOFM_HOME is not set: only simulated data and random weights run"


@app.command()
def doctor(
    catalog: CatalogOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every pair of model and task, and how to obtain each missing piece.")
    ] = False,
) -> None:
    """Say which weights and data are here, and how to obtain what is missing; loads nothing."""
    known = load_catalog(catalog or ())
    here = availability(known)
    say(f"home   {home_line(UNSET)}")
    say(f"cache  {geofm_cache()}")
    say(f"device {_device()}\n")
    say("\n".join(_everything(known, here) if every else _summary(known, here)))


def _summary(known: Catalog, here: Availability) -> list[str]:
    """Counts, names of what is missing, and the cheapest next step."""
    models = [model for model in known.models.values() if model.weights is not None and not is_variant(model)]
    tasks = [task for task in known.tasks.values() if not task.simulated]
    simulated = len(known.tasks) - len(tasks)
    absent, lacking = ([one.slug for one in found if _gap(here, one)] for found in (models, tasks))
    lines = [
        f"Here: {len(models) - len(absent)} of {counted(len(models), 'model')} with weights, "
        f"{len(tasks) - len(lacking)} of {counted(len(tasks), 'task')} with files. {simulated} simulated tasks need no "
        "files.",
        f"{_count_pairs(known, here)} {NOT_CHECKED}",
    ]
    for what, names in (("Models", absent), ("Tasks", lacking)):
        lines += [f"{what} without their files: {', '.join(names)}"] if names else []
    lines += _next_step(model for model in models if model.slug in absent)
    if absent or lacking:
        lines.append(
            "geofm-eval fetch NAME --dry-run: how to obtain one of them. geofm-eval doctor --all: every detail."
        )
    return lines


def _gap(here: Availability, one: ModelSpec | TaskSpec) -> bool:
    return (here.tasks if isinstance(one, TaskSpec) else here.models)[one.slug] is not None


def _next_step(absent: Iterable[ModelSpec]) -> list[str]:
    """The download of known size that is smallest."""
    sized = [(model.weights.bytes, model.slug) for model in absent if model.weights and model.weights.bytes]
    if not sized:
        return []
    size, slug = min(sized)
    home = "" if geofm_home() else "export GEOFM_HOME=FOLDER, then "
    return [f"Cheapest next step: {home}geofm-eval fetch {slug} ({size / 1e6:,.1f} MB)"]


def _everything(known: Catalog, here: Availability) -> list[str]:
    lines = [f"{_count_pairs(known, here)} {NOT_CHECKED}"]
    pairs = _runnable(known, here)
    for task in known.tasks:
        names = [model for model, own in pairs if own == task]
        lines += [f"  {task}: {', '.join(names)}"] if names else []
    missing = [(slug, gap) for slug, gap in (*here.models.items(), *here.tasks.items()) if gap is not None]
    lines.append("\nMissing:" if missing else "\nNothing is missing.")
    return [*lines, *(f"  {slug}: {gap.what}\n      {gap.how_to_get}" for slug, gap in missing)]


def _pairs(known: Catalog) -> list[tuple[str, str]]:
    tasks = [task for task in known.tasks.values() if UNKNOWN not in task.bands]
    return [(model.slug, task.slug) for model in known.models.values() for task in tasks if compatible(model, task)]


def _runnable(known: Catalog, here: Availability) -> list[tuple[str, str]]:
    return [(m, t) for m, t in _pairs(known) if here.models[m] is None and here.tasks[t] is None]


def _count_pairs(known: Catalog, here: Availability) -> str:
    total = counted(len(_pairs(known)), "pair")
    return f"{len(_runnable(known, here))} of {total} of model and task have their files here."


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
