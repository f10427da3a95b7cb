"""The application that commands are added to, and its output."""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geofm_eval.version import __version__

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


class Output(Console):
    """The standard output; a reader that ends first, as in ``| head -1``, is no error."""

    def on_broken_pipe(self) -> None:
        """End with status 0."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        raise SystemExit(0)


def _width() -> int | None:
    """Wide enough for complete names in pipes and logs; a terminal keeps its own width, and COLUMNS sets any other."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else 260


console = Output(highlight=False, width=_width())


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
