"""The command line, and its entry point."""

from geofm_eval.cli import checks, entries, exports, here, missing, runs, suite
from geofm_eval.cli.application import app, complain
from geofm_eval.errors import GeofmError
from geofm_eval.terminal import allow_any_terminal

__all__ = ["app", "checks", "entries", "exports", "here", "missing", "run", "runs", "suite"]


def run() -> None:
    """Run the command line; errors of this library end with their message and exit status 1, without a traceback."""
    allow_any_terminal()
    try:
        app()
    except GeofmError as error:
        complain(str(error))
        raise SystemExit(1) from None
