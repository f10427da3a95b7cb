"""The application that commands are added to, and its output."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geofm_eval.version import __version__

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
# Wide enough for complete names in pipes and logs; a terminal keeps its own width.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)


def say(text: str) -> None:
    """Print a line unchanged: no markup, and no line breaks in paths and addresses."""
    console.print(text, markup=False, soft_wrap=True)


def complain(message: str) -> None:
    """Print an error to stderr."""
    Console(stderr=True, highlight=False).print(f"error: {message}", markup=False, soft_wrap=True)


CatalogOption = Annotated[
    list[Path] | None, typer.Option("--catalog", help="TOML file with your own models and tasks (repeatable).")
]


def _version(value: bool) -> None:
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evaluate geospatial foundation models. To run the benchmark suite: geofm-eval run."""
    if context.invoked_subcommand != "run":  # pytest shows the log itself
        logging.basicConfig(level=logging.INFO, format="%(message)s")
