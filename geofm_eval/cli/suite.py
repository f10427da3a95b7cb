"""The run command: the pytest suite from any folder, in a checkout or installed from a wheel."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofm_eval.cli.application import app, complain
from geofm_eval.cli.completion import suite_words
from geofm_eval.errors import ContractError
from geofm_eval.installation import suite_root
from geofm_eval.paths import geofm_runs

if TYPE_CHECKING:
    import pytest

FILE = re.compile(r"(?:[^-].*/)?(?P<file>benchmarks/test_\w+\.py)(?P<case>::.*)?", re.DOTALL)
"""A file of the suite or a case in it. The summary of a session prints folders before it."""


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

    try:
        found = pytest_arguments(arguments or [], suite_root())
    except ContractError as error:
        complain(str(error))
        raise typer.Exit(int(pytest.ExitCode.USAGE_ERROR)) from None
    raise typer.Exit(int(pytest.main(found, plugins=[_Named()])))


def pytest_arguments(words: Sequence[str], root: Path) -> list[str]:
    """Return the arguments of pytest that run the suite as in its checkout, with these options.

    Args:
        words: options of pytest and of the suite; ``benchmarks/test_NAME.py`` selects a file or a case, and ``@FILE``
            contains one word per line.
        root: folder of the suite.

    Raises:
        ContractError: a file is not in the suite.
    """
    # Folders that pytest and the suite write to by default are below the root, which an installation may forbid.
    own = ["-c", f"{root / 'pyproject.toml'}", "--runs", f"{geofm_runs().absolute()}"]
    given = list(_from_files(words))
    if not any(word.endswith("no:cacheprovider") for word in given):  # without it, pytest rejects the option
        own += ["-o", f"cache_dir={Path.cwd() / '.pytest_cache'}"]
    if given[:1] in (["benchmarks"], ["benchmarks/"]):  # as after pytest, in a checkout
        given = given[1:]
    # --deselect takes an id as pytest prints it.
    pairs = zip(["", *given], given, strict=False)
    placed = [word if before == "--deselect" else _placed(word, root) for before, word in pairs]
    everything = [f"{root / 'benchmarks'}"] if placed == given else []
    return [*own, *everything, *placed]


class _Named:
    """Plugin with which messages about options name the command that was called."""

    def pytest_addoption(self, parser: "pytest.Parser") -> None:
        parser.prog = "geofm-eval run"


def _from_files(words: Sequence[str]) -> Iterator[str]:
    """Words, with the lines of ``@FILE`` in its place; pytest has a message for a file that does not exist."""
    for word in words:
        file = Path(word.removeprefix("@"))
        yield from file.read_text(encoding="utf-8").splitlines() if word[:1] == "@" and file.is_file() else [word]


def _placed(word: str, root: Path) -> str:
    """A file or case of the suite with its folder; any other word as it is."""
    found = FILE.fullmatch(word)
    if found is None:
        return word
    file = root / found["file"]
    if not file.is_file():
        known = ", ".join(sorted(path.name for path in file.parent.glob("test_*.py")))
        raise ContractError(f"{found['file']}: there is no such file in the suite; use one of {known}")
    return f"{file}{found['case'] or ''}"
