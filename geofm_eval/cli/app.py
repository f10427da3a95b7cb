"""The command line: models, tasks, doctor, preflight, fetch, cache, collate, compare, expect, advise."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geofm_eval import __version__

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
# Wide enough for whole slugs when the output is a pipe or a log; a terminal keeps its own width.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)


def say(text: str) -> None:
    """Print a line as it is: brackets are no markup, and paths and addresses stay whole."""
    console.print(text, markup=False, soft_wrap=True)


def complain(message: str) -> None:
    """Print an error, apart from the output."""
    Console(stderr=True, highlight=False).print(f"error: {message}", markup=False, soft_wrap=True)


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
