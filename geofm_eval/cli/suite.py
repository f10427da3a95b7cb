"""The run command: the pytest suite from any folder, in a checkout or installed from a wheel."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from geofm_eval.cli.application import app
from geofm_eval.cli.completion import suite_words
from geofm_eval.installation import suite_root
from geofm_eval.paths import geofm_runs

FILE = re.compile(r"benchmarks/test_\w+\.py(::.*)?", re.DOTALL)


@app.command("run", add_help_option=False, context_settings={"ignore_unknown_options": True})
def run_suite(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[OPTIONS OF PYTEST]", autocompletion=suite_words)
    ] = None,
) -> None:
    """Run the benchmark suite: -k eurosat_sim --suite bench -n 2, for example; --help lists all options of pytest.

    Exit statuses are those of pytest. Runs are written to reports/runs below the working directory, GEOFM_RUNS or
    --runs.
    """
    import pytest  # here, because only this command needs it

    raise typer.Exit(int(pytest.main(pytest_arguments(arguments or [], suite_root()))))


def pytest_arguments(words: Sequence[str], root: Path) -> list[str]:
    """Return the arguments of pytest that run the suite as in its checkout, with these options.

    Args:
        words: options of pytest and of the suite; ``benchmarks/test_NAME.py`` selects a file or a case.
        root: folder of the suite.
    """
    # Folders that pytest and the suite write to by default are below the root, which an installation may forbid.
    own = ["-c", f"{root / 'pyproject.toml'}", "-o", f"cache_dir={Path.cwd() / '.pytest_cache'}"]
    placed = [f"{root / word}" if FILE.fullmatch(word) else word for word in words]
    everything = [f"{root / 'benchmarks'}"] if placed == list(words) else []
    return [*own, "--runs", f"{geofm_runs().absolute()}", *everything, *placed]
