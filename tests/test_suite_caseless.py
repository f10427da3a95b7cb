"""Tests of ``benchmarks/`` that have no case: they check the tool itself, next to the cases or alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_suite import LAYERS, SmallSuite, install

RULES = '''
"""What has no case."""

import os

import pytest

from geofm_eval.errors import DataError, Unavailable

pytestmark = [pytest.mark.sim, pytest.mark.closed]


@pytest.fixture
def absent():
    raise Unavailable("data", "reports/x.tar.xz", "Restore it.")


def test_rule():
    pass


@pytest.mark.parametrize("verdict", ["supported", "refuted"])
def test_rule_of(verdict):
    assert verdict == "supported", f"found {verdict}"


def test_rule_that_stops():
    raise DataError("x.tar.xz: damaged")


def test_rule_without_data(absent):
    pass


def test_rule_that_kills():
    if os.environ.get("KILLS"):
        os.abort()
'''

CHOSEN = ("--models", "oak", "--tasks", "colours", "--adaptations", "knn")
FAILED = "failed: 1 x AssertionError: found refuted", "failed: 1 x DataError: x.tar.xz: damaged"


@pytest.fixture
def suite(tmp_path: Path) -> SmallSuite:
    made = install(tmp_path)
    for path in (tmp_path / "benchmarks").glob("test_*.py"):
        if path.name != "test_probe.py":
            path.unlink()
    (tmp_path / "benchmarks" / "test_rules.py").write_text(RULES, encoding="utf-8")
    return made


def runs(suite: SmallSuite) -> list[str]:
    return [path.name for path in suite.folder.glob("reports/runs/*")]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_they_run_beside_cases_and_leave_no_record(suite: SmallSuite, workers: str) -> None:
    named = replace(suite, paths=("benchmarks/test_probe.py", "benchmarks/test_rules.py"))
    done = named.run(*CHOSEN, "--run", "run", "-n", workers)
    assert done.status == 1, done.text
    assert all(line in done.text for line in FAILED), done.text
    assert "test_rules.py::test_rule_of[refuted]" in done.text
    assert f"verdicts: {len(LAYERS)} no_range" in done.text
    assert "skipped: 1 x data unavailable: reports/x.tar.xz. Restore it." in done.text
    assert "Traceback" not in done.text
    files = (suite.folder / "reports" / "runs" / "run").rglob("*.json*")
    written = {path.name for path in files if path.parent.name != "plan"}
    assert written == {"run.json", *(f"oak-colours-knn-{layer}.json" for layer in LAYERS)}


def test_alone_they_leave_no_run(suite: SmallSuite) -> None:
    done = suite.run("-k", "rule", "-n", "2", KILLS="1")
    assert done.status == 1, done.text
    assert all(line in done.text for line in FAILED), done.text
    assert "failed: 1 x the worker died in this case" in done.text
    assert "verdicts:" not in done.text
    assert runs(suite) == []


def test_whoever_chooses_cases_by_name_gets_no_other_tests(suite: SmallSuite) -> None:
    done = suite.run(*CHOSEN, "--collect-only", "-q")
    assert done.text.count("::") == len(LAYERS), done.text
    assert runs(suite) == []
