"""The suite from a wheel: what the wheel contains, and that ``geofm-eval run`` does what pytest does in a checkout."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geofm_eval.cli import app
from geofm_eval.cli.suite import pytest_arguments
from geofm_eval.installation import suite_root

SCRIPTS = ("benchmarks/speed/", "benchmarks/studies/")
"""What a wheel leaves out: scripts about the tool itself."""

LIST = """
import setuptools
from distutils.core import run_setup
build = run_setup("setup.py", stop_after="config").get_command_obj("build_py")
build.ensure_finalized()
print(*build.get_outputs(include_bytecode=False), sep="\\n")
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Arguments of every session of pytest that a command starts; none of them runs."""
    made: list[list[str]] = []

    def session(arguments: Sequence[str], plugins: Sequence[object]) -> pytest.ExitCode:
        made.append(list(arguments))
        return pytest.ExitCode.NO_TESTS_COLLECTED

    monkeypatch.setattr(pytest, "main", session)
    return made


def test_a_wheel_has_every_file_of_the_library_and_the_suite(repository: Path):
    """Setuptools lists what it would copy; ``make ci`` builds a wheel."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIST], cwd=repository, capture_output=True, text=True, check=True
    )
    packed = {line.removeprefix("build/lib/").removeprefix("geofm_eval_suite/") for line in done.stdout.splitlines()}
    found = [
        path.relative_to(repository).as_posix()
        for folder in ("geofm_eval", "fixtures", "benchmarks")
        for path in (repository / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    needed = {name for name in found if not name.startswith(SCRIPTS)}
    assert packed == needed | {"conftest.py", "pyproject.toml", "reports/reference/study.tar.xz"}


def test_run_passes_options_and_the_exit_status_on(calls: list[list[str]], tmp_path: Path):
    words = ["-k", "eurosat_sim", "--suite", "bench", "-n", "2", "--runs", str(tmp_path)]
    assert CliRunner().invoke(app, ["run", *words]).exit_code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert calls[0][-len(words) - 1 :] == [str(suite_root() / "benchmarks"), *words]


def test_a_file_that_the_suite_lacks_is_a_usage_error(calls: list[list[str]]):
    done = CliRunner().invoke(app, ["run", "benchmarks/test_prob.py"])
    assert done.exit_code == pytest.ExitCode.USAGE_ERROR
    assert "benchmarks/test_prob.py: there is no such file in the suite; use one of test_drift.py" in done.output
    assert not calls


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        ([], ["{root}/benchmarks"]),
        (["benchmarks", "-q"], ["{root}/benchmarks", "-q"]),
        (["-q", "benchmarks/test_tune.py"], ["-q", "{root}/benchmarks/test_tune.py"]),
        (["../site/geofm_eval_suite/benchmarks/test_probe.py::a[b/c]"], ["{root}/benchmarks/test_probe.py::a[b/c]"]),
        (
            ["--deselect", "benchmarks/test_probe.py::a"],
            ["{root}/benchmarks", "--deselect", "benchmarks/test_probe.py::a"],
        ),
    ],
)
def test_files_of_the_suite_are_named_as_in_a_checkout(words: list[str], passed: list[str]):
    root = suite_root()
    assert pytest_arguments(words, root)[-len(passed) :] == [word.format(root=root) for word in passed]


def test_a_file_of_arguments_may_name_cases(tmp_path: Path):
    cases = tmp_path / "cases.txt"
    cases.write_text("benchmarks/test_probe.py::a\nbenchmarks/test_probe.py::b\n")
    file = suite_root() / "benchmarks" / "test_probe.py"
    assert pytest_arguments([f"@{cases}", "-q"], suite_root())[-3:] == [f"{file}::a", f"{file}::b", "-q"]


def test_the_cache_of_pytest_may_be_switched_off():
    assert not any(word.startswith("cache_dir") for word in pytest_arguments(["-p", "no:cacheprovider"], suite_root()))
    assert any(word.startswith("cache_dir") for word in pytest_arguments([], suite_root()))


@pytest.mark.parametrize(
    ("words", "expected"),
    [("run --models rcf,pocket_crossmodal", "rcf,pocket_crossmodal_s1"), ("check prithvi", "prithvi_v1_rgb")],
)
def test_shells_complete_names(words: str, expected: str):
    variables = {"_GEOFM_EVAL_COMPLETE": "complete_bash", "COMP_WORDS": f"geofm-eval {words}", "COMP_CWORD": "2"}
    variables["COMP_CWORD"] = str(len(words.split()))
    done = CliRunner().invoke(app, [], prog_name="geofm-eval", env=variables)
    assert expected in done.output.split()
