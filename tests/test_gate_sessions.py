"""Sessions with ``--baseline``, in processes of their own: exit status, JUnit and summary carry the verdicts."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from fixtures.controller import GATE, Controller
from fixtures.gate import Gate
from fixtures.options import Options, _of_gate
from tests.planted.compare import easy, moved, probe
from tests.small_suite import OPTIONS, Session, SmallSuite, install

SELECTION = ("--models", "absent", "--tasks", "colours", "--adaptations", "linear", "--layers", "block00,final")
CASES = [f"absent-colours-linear-{layer}" for layer in ("block00", "final")]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SmallSuite:
    """A suite with weights that see, weights that are blind, and the run of those that see."""
    made = install(tmp_path_factory.mktemp("suite"))
    rng = np.random.default_rng(0)
    state = {"stem.weight": rng.normal(size=(6, 3)), "stem.bias": rng.normal(size=6) / 10}
    for block in range(2):
        state |= {f"blocks.{block}.weight": np.eye(6), f"blocks.{block}.bias": np.zeros(6)}
    sound = {name: values.astype(np.float32) for name, values in state.items()}
    save_file(sound, made.folder / "sound.safetensors")
    save_file({**sound, "stem.weight": 0 * sound["stem.weight"]}, made.folder / "blind.safetensors")
    assert session(made, "sound", "base").status == 0
    return made


def session(suite: SmallSuite, weights: str, run: str, *arguments: str) -> Session:
    return suite.run(*SELECTION, "--weights", f"absent={weights}.safetensors", "--run", run, *arguments)


def verdicts(suite: SmallSuite, file: str) -> dict[str, ElementTree.Element]:
    """What a JUnit file says of the gate."""
    cases = ElementTree.parse(suite.folder / file).getroot().iter("testcase")
    return {str(case.get("name")): case for case in cases if case.get("classname") == "benchmarks.gate"}


def test_worse_weights_fail_the_session_although_all_cases_pass(suite):
    done = session(suite, "blind", "worse", "-n", "1", "--baseline", "base", "--junitxml", "worse.xml")
    assert done.status == 1, done.text
    assert "2 failed, 2 passed" in done.text
    assert "GATE FAILS: worse against base: 2 of 2 primary cases are worse" in done.text
    found = verdicts(suite, "worse.xml")
    assert set(found) == set(CASES)
    messages = {name: case.find("failure").get("message") for name, case in found.items()}
    for case, role in zip(CASES, ("chosen by validation", "final"), strict=True):
        assert messages[case].startswith(f"{case} ({role}): regression, -")
        assert "smallest drop found with 80 % probability: " in messages[case]
    assert (suite.folder / "reports/runs/worse/tables/README.md").exists(), "tables are made all the same"


def test_the_same_weights_pass_and_the_verdict_is_in_the_file(suite):
    done = session(suite, "sound", "again", "--baseline", "base", "--junitxml", "again.xml", "--fail-on", "undecided")
    assert done.status == 0, done.text
    assert "gate holds (fails on undecided): again against base" in done.text
    found = verdicts(suite, "again.xml")
    assert set(found) == set(CASES)
    assert all(case.find("failure") is None for case in found.values())
    assert found[CASES[1]].find("properties/property").get("value") == f"{CASES[1]} (final): identical"


def test_a_case_that_the_session_left_out_is_named_and_fails_what_must_be_decided(suite):
    narrowed = ("-k", "final", "--baseline", "base", "--junitxml", "part.xml")
    done = session(suite, "sound", "part", *narrowed)
    assert done.status == 0, done.text
    sentence = f"{CASES[0]} (primary): absent from the new run, although it selected model and task"
    assert f"not tested: {sentence}" in done.text
    done = session(suite, "sound", "strict", *narrowed, "--fail-on", "undecided", "--family", "run")
    assert done.status == 1, done.text
    message = verdicts(suite, "part.xml")[CASES[0]].find("failure").get("message")
    assert message == f"{CASES[0]}: not tested: absent from the new run, although it selected model and task"


def test_a_selection_without_any_case_does_not_pass_the_gate(suite):
    done = session(suite, "sound", "none", "-k", "nothing_has_this_name", "--baseline", "base")
    assert done.status == 1, done.text
    assert "GATE FAILS: the runs could not be compared: no case was selected" in done.text


class Reporter:
    """Keeps what is printed."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []

    def section(self, title: str) -> None:
        self.lines.append((title, False))

    def line(self, text: str, red: bool = False) -> None:
        self.lines.append((text, red))


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Gate, list[pytest.TestReport]]:
    """A gate over two planted runs, and what it reports."""
    right = easy()
    probe(tmp_path / "old", {"1.0": right})
    probe(tmp_path / "new", {"1.0": moved(right, 30, 10)}, weights="b" * 64)
    return gate(tmp_path)


def gate(folder: Path, collect: bool = False, run: str = "new") -> tuple[Gate, list[pytest.TestReport]]:
    reports: list[pytest.TestReport] = []
    hook = SimpleNamespace(
        pytest_runtest_logreport=lambda report: reports.append(report), pytest_runtest_logstart=lambda **_: None
    )
    config = SimpleNamespace(
        option=SimpleNamespace(collectonly=collect), hook=hook, pluginmanager=SimpleNamespace(getplugin=lambda _: None)
    )
    options = Options(**{**vars(OPTIONS), "baseline": folder / "old"})
    judged = SimpleNamespace(folder=folder / run, name=run)
    made = Gate(config, SimpleNamespace(options=options, run=judged, catalog=None))
    made.pytest_sessionstart()
    return made, reports


def finish(made: Gate, status: pytest.ExitCode) -> tuple[pytest.ExitCode, list[tuple[str, bool]]]:
    session, reporter = SimpleNamespace(exitstatus=status, testscollected=1), Reporter()
    made.pytest_sessionfinish(session, status)
    made.pytest_terminal_summary(reporter, status)
    return session.exitstatus, reporter.lines


def test_regressions_are_red(planted):
    status, lines = finish(planted[0], pytest.ExitCode.OK)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert [text.split(":")[0].strip() for text, red in lines if red] == [
        "GATE FAILS", "m_one-eurosat_sim-linear-final (final)", "exploratory, mean of m_one, eurosat_sim, probe",
    ]  # fmt: skip
    assert [report.outcome for report in planted[1] if report.when == "call"] == ["failed"]


def test_the_page_of_a_session_shows_the_verdicts(planted, tmp_path):
    made, _ = planted
    assert made.judged is None
    finish(made, pytest.ExitCode.OK)
    config = SimpleNamespace(
        option=SimpleNamespace(collectonly=False),
        getoption=lambda *_: None,
        pluginmanager=SimpleNamespace(getplugin={GATE: made}.get),
    )
    suite = SimpleNamespace(run=SimpleNamespace(folder=tmp_path / "new", session="one"), catalog=None)
    Controller(config, suite).pytest_sessionfinish(pytest.ExitCode.OK)
    html = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Gate: new against old</h2>" in html
    assert '<p class="alarm">GATE FAILS: new against old: 1 of 1 primary case is worse' in html


def test_an_interrupted_session_is_not_judged(planted):
    status, lines = finish(planted[0], pytest.ExitCode.INTERRUPTED)
    assert (status, planted[1]) == (pytest.ExitCode.INTERRUPTED, [])
    assert lines[1] == ("the gate was not evaluated: the session did not finish", True)


def test_collecting_judges_nothing(tmp_path):
    probe(tmp_path / "old", {"1.0": easy()})
    made, reports = gate(tmp_path, collect=True)
    assert finish(made, pytest.ExitCode.OK) == (pytest.ExitCode.OK, [])
    assert reports == []


def test_a_run_that_cannot_be_compared_does_not_pass(tmp_path):
    probe(tmp_path / "old", {"1.0": easy()})
    probe(tmp_path / "new", {"1.0": easy()}, model="m_two")
    made, reports = gate(tmp_path)
    status, lines = finish(made, pytest.ExitCode.OK)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "measure two models in one run" in lines[1][0]
    assert (reports[0].nodeid, reports[0].outcome) == ("benchmarks/gate::baseline", "failed")


def test_a_baseline_that_cannot_serve_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(pytest.UsageError, match=r"--baseline: .*old: no such run"):
        gate(tmp_path)
    probe(tmp_path / "old", {"1.0": easy()})
    with pytest.raises(pytest.UsageError, match="a run cannot be its own baseline"):
        gate(tmp_path, run="old")


def test_what_fails_without_a_baseline_is_refused():
    assert _of_gate("--fail-on", None, "base", "regression") == "regression"
    assert _of_gate("--fail-on", "undecided", "base", "regression") == "undecided"
    with pytest.raises(pytest.UsageError, match="--fail-on undecided needs a run to compare with; add --baseline RUN"):
        _of_gate("--fail-on", "undecided", None, "regression")
    with pytest.raises(pytest.UsageError, match="--family run needs a run to compare with; add --baseline RUN"):
        _of_gate("--family", "run", None, "family")
