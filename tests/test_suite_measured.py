"""A session that selected cases and measured none of them does not pass; what was reused counts as measured."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.verdicts import Measured
from tests.small_suite import SmallSuite, install

CHOSEN = ("--models", "oak", "--tasks", "colours", "--adaptations", "knn")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SmallSuite:
    return install(tmp_path_factory.mktemp("suite"))


def said(text: str) -> str:
    (line,) = {line for line in text.splitlines() if line.startswith("nothing was measured")}
    return line


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_gpu_that_is_not_there_does_not_exit_0(suite: SmallSuite, workers: str) -> None:
    how = ("--device", "cuda", "-n", workers, "--junitxml", "gpu.xml")
    done = suite.run(*CHOSEN, *how, CUDA_VISIBLE_DEVICES="")
    assert done.status == 1, done.text
    line = said(done.text)
    assert line.startswith(
        "nothing was measured: all 4 selected cases were skipped; most frequent reason (4 cases): "
        "device unavailable: cuda (torch sees 0 GPUs"
    )
    assert len(line) <= 400
    cases = ElementTree.parse(suite.folder / "gpu.xml").getroot().iter("testcase")
    assert [case.get("name") for case in cases if case.find("failure") is not None] == ["measured"]


def test_weights_that_are_absent_do_not_exit_0_unless_something_else_was_measured(suite: SmallSuite) -> None:
    alone = ("--models", "absent", "--tasks", "colours", "--adaptations", "knn")
    done = suite.run(*alone)
    assert done.status == 1, done.text
    assert "(4 cases): weights unavailable: " in said(done.text)
    extra = ("--models", "absent,oak", *CHOSEN[2:], "--run", "extra")
    measured = suite.run(*extra)
    assert measured.status == 0, measured.text
    assert "nothing was measured" not in measured.text
    again = suite.run(*extra, "--resume")
    assert "resumed: 4 records reused" in again.text
    assert again.status == 0, "what is taken from records counts as measured: " + again.text


def test_a_selection_that_matches_nothing_says_so_and_keeps_the_status_of_pytest(suite: SmallSuite) -> None:
    done = suite.run(*CHOSEN, "-k", "nothing_has_this_name")
    assert done.status == pytest.ExitCode.NO_TESTS_COLLECTED, done.text
    assert "no case matches -k and -m" in said(done.text)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_id_that_does_not_exist_is_named(suite: SmallSuite, workers: str) -> None:
    """With ``-n`` the workers collect, and pytest-xdist alone ends as if nothing had been selected."""
    ids = [f"benchmarks/test_probe.py::test_probe[oak-colours-knn-{layer}]" for layer in ("final", "nowhere")]
    done = replace(suite, paths=tuple(ids)).run(*CHOSEN, "-n", workers)
    assert done.status == pytest.ExitCode.USAGE_ERROR, done.text
    assert "ERROR: not found: " in done.text
    assert "nothing was measured" not in done.text


def test_collecting_alone_measures_nothing_and_passes(suite: SmallSuite) -> None:
    assert suite.run(*CHOSEN, "--collect-only", "-q").status == 0


CASE, RULE = "benchmarks/test_probe.py::test_probe[oak-colours-knn-final]", "benchmarks/test_findings.py::test_rule"


def status_of(selected: list[str], outcomes: dict[str, str], status: pytest.ExitCode = pytest.ExitCode.OK) -> int:
    """Status of a session that selected these and reports these outcomes."""
    manager = SimpleNamespace(getplugin=lambda _: None)
    hook = SimpleNamespace(pytest_runtest_logreport=lambda report: None, pytest_runtest_logstart=lambda **_: None)
    config = SimpleNamespace(option=SimpleNamespace(collectonly=False), pluginmanager=manager, hook=hook)
    counted = Measured(config)
    session = SimpleNamespace(
        items=[SimpleNamespace(nodeid=one) for one in selected], exitstatus=status, testscollected=len(selected)
    )
    counted.pytest_collection_finish(session)
    for nodeid, outcome in outcomes.items():
        longrepr = ("x.py", 1, f"Skipped: {'long ' * 200}") if outcome == "skipped" else None
        when = "setup" if outcome == "skipped" else "call"
        counted.pytest_runtest_logreport(pytest.TestReport(nodeid, ("x", 1, "x"), {}, outcome, longrepr, when))
    counted.pytest_sessionfinish(session, status)
    assert len(counted._sentence()) <= 400
    return session.exitstatus


def test_tests_of_the_tool_measure_nothing_and_need_not() -> None:
    passed, failed = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED
    assert status_of([CASE, RULE], {CASE: "skipped", RULE: "passed"}) == failed
    assert status_of([RULE], {RULE: "passed"}) == passed
    assert status_of([CASE], {CASE: "passed"}) == passed
    assert status_of([CASE], {CASE: "skipped"}, pytest.ExitCode.INTERRUPTED) == pytest.ExitCode.INTERRUPTED


def test_the_file_of_cases_is_known_by_every_kind(repository: Path) -> None:
    files = {path.stem.removeprefix("test_") for path in (repository / "benchmarks").glob("test_*.py")}
    from fixtures.runs import RECORDED

    assert set(RECORDED) <= files
