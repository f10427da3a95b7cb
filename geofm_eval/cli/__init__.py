"""The command line, and its entry point."""

from geofm_eval.cli import here, runs
from geofm_eval.cli.app import app, complain
from geofm_eval.errors import GeofmError
from geofm_eval.terminal import allow_any_terminal

__all__ = ["app", "here", "run", "runs"]


def run() -> None:
    """Entry point: errors raised on purpose end with their message and status 1, not with a traceback."""
    allow_any_terminal()
    try:
        app()
    except GeofmError as error:
        complain(str(error))
        raise SystemExit(1) from None
