"""The example workflow names commands, options, files and models that exist, and its summary step works."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geofm_eval.catalog import load_catalog
from geofm_eval.cli import app
from tests.planted.compare import easy, moved, probe


@pytest.fixture
def workflow(repository: Path) -> list[str]:
    return (repository / "docs" / "examples" / "gate.yml").read_text(encoding="utf-8").splitlines()


def commands(lines: list[str]) -> list[str]:
    """Commands of all run steps: on the line itself, or indented below it."""
    found: list[str] = []
    for number, line in enumerate(lines):
        if not line.strip().startswith("run: "):
            continue
        depth, text = len(line) - len(line.lstrip()), line.strip().removeprefix("run: ")
        if text != "|":
            found.append(text)
            continue
        for below in lines[number + 1 :]:
            if below.strip() and len(below) - len(below.lstrip()) <= depth:
                break
            found += [below.strip()] if below.strip() else []
    return found


def environment(lines: list[str]) -> dict[str, str]:
    """Variables of the workflow's ``env``, without those that GitHub fills in."""
    start = lines.index("env:")
    end = next(number for number in range(start + 1, len(lines)) if lines[number] and lines[number][0] not in " #")
    pairs = (line.strip().partition(": ") for line in lines[start + 1 : end] if ": " in line and "#" not in line)
    return {name: value for name, _, value in pairs if "${{" not in value}


def arguments(command: str, lines: list[str]) -> list[str]:
    for name, value in environment(lines).items():
        command = command.replace(f"${name}", value)
    return shlex.split(command)


def test_it_installs_measures_judges_and_says_why(workflow):
    heads = [" ".join(shlex.split(command)[:2]) for command in commands(workflow)]
    pytest_call, summary = ".venv/bin/pytest benchmarks", ".venv/bin/geofm-eval compare"
    assert heads == ["make .venv/installed", "git show", pytest_call, pytest_call, summary]


def test_what_it_names_exists(workflow, repository):
    named = environment(workflow)
    assert (repository / named["WEIGHTS"]).is_file()
    assert load_catalog().model(named["MODEL"]).weights is not None
    assert "$(VENV)/installed:" in (repository / "Makefile").read_text(encoding="utf-8")
    assert (repository / "constraints.txt").is_file()


def test_the_old_and_the_new_weights_are_measured_alike(workflow):
    old, new = (arguments(command, workflow) for command in commands(workflow) if "/pytest" in command)
    assert old[: old.index("--weights")] == new[: new.index("--weights")]
    assert old[old.index("--run") + 1] == new[new.index("--baseline") + 1] == "baseline"


def test_the_gate_step_is_a_call_that_pytest_takes(workflow, repository, tmp_path):
    probe(tmp_path / "baseline", {"1.0": easy()})
    command = next(command for command in commands(workflow) if "--baseline" in command)
    _, *words = arguments(command, workflow)
    words[words.index("--baseline") + 1] = str(tmp_path / "baseline")
    words[words.index("--junitxml") + 1] = str(tmp_path / "gate.xml")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--collect-only"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pocket_mae-eurosat_sim-linear-block07" in done.stdout


def test_the_summary_step_writes_markdown_of_the_two_runs(workflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run, right in (("baseline", easy()), ("gate", moved(easy(), 30, 10))):
        probe(tmp_path / "reports" / "runs" / run, {"1.0": right}, weights=run[0] * 64)
    command = next(command for command in commands(workflow) if "geofm-eval compare" in command)
    _, *words = arguments(command.partition(" >>")[0], workflow)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert done.stdout.startswith("**GATE FAILS: gate against baseline: 1 of 1 primary case is worse")
