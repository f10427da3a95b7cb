"""Names that a shell completes: models, tasks and adaptations of the catalog, own ones of ``--catalog`` included."""

from collections.abc import Iterable, Iterator

import typer

from geofm_eval.catalog import SUITES, Catalog, dense_adaptation, load_catalog
from geofm_eval.catalog.dense import HEADS, TUNINGS
from geofm_eval.errors import GeofmError


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a model."""
    return _beginning(incomplete, _catalog(context).models)


def task_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a task."""
    return _beginning(incomplete, _catalog(context).tasks)


def entry_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a model or a task."""
    known = _catalog(context)
    return _beginning(incomplete, dict.fromkeys([*known.models, *known.tasks]))


def suite_words(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the value of an option of the suite; names of a list are separated by commas."""
    words = context.params.get("arguments") or [""]
    known = load_catalog()
    values: dict[str, Iterable[str]] = {
        "--models": known.models,
        "--tasks": known.tasks,
        "--adaptations": [*known.adaptations, *_dense_adaptations()],
        "--suite": SUITES,
        "--recipe": known.recipes,
    }
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(last, values.get(words[-1], ()))]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _catalog(context: typer.Context) -> Catalog:
    """The catalog of the command line so far; the built-in one if its files cannot be read."""
    try:
        return load_catalog(context.params.get("catalog") or ())
    except GeofmError:
        return load_catalog()


def _dense_adaptations() -> Iterator[str]:
    """Those of usual names: every decoder and tuning, with 10 and 100 % of the labels."""
    slugs = (f"{head}_{tuning}_p{percent}" for head in HEADS for tuning in TUNINGS for percent in ("010", "100"))
    return (slug for slug in slugs if dense_adaptation(slug) is not None)
