"""The action for GitHub: its steps are run here as a runner would run them, with measurements collected only."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.planted.ranking import planted_run

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "name" in step}


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A runner's folders; the action's environment is that of this process."""
    action = tmp_path / "action"
    (action / ".venv" / "bin").mkdir(parents=True)
    for name in ("benchmarks", "fixtures"):
        shutil.copytree(ROOT / name, action / name, ignore=shutil.ignore_patterns("studies", "expected", "__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copyfile(ROOT / name, action / name)
    for name in ("pytest", "geofm-eval"):
        (action / ".venv" / "bin" / name).symlink_to(Path(sys.executable).parent / name)
    return tmp_path


def run_step(name: str, runner: Path, inputs: dict[str, str], **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a step with its variables filled in."""
    given = {key: entry.get("default", "") for key, entry in ACTION["inputs"].items()} | inputs
    step = STEPS[name]

    def filled(match: "re.Match[str]") -> str:
        words = match["words"].strip()
        return str(runner) if words == "runner.temp" else given[words.removeprefix("inputs.")]

    own = {key: re.sub(r"\$\{\{(?P<words>.*?)\}\}", filled, value) for key, value in step.get("env", {}).items()}
    files = {"GITHUB_OUTPUT": str(runner / "output"), "GITHUB_STEP_SUMMARY": str(runner / "summary")}
    env = {**os.environ, **files, **own, **more, "GITHUB_ACTION_PATH": str(runner / "action")}
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]], cwd=runner, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_measuring_step_selects_the_cases_of_its_inputs(runner: Path):
    inputs = {"models": "pocket_mae", "tasks": "eurosat_sim", "options": "--seeds 1"}
    done = run_step("Measure", runner, inputs, PYTEST_ADDOPTS="--collect-only -p no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pocket_mae-eurosat_sim-linear-final" in done.stdout
    assert "sen1floods11" not in done.stdout
    assert (runner / "output").read_text() == f"page={runner}/geofm_runs/new/report.html\n"


def test_the_summary_has_the_answer_of_the_run(runner: Path):
    planted_run(runner / "geofm_runs" / "new", {"eurosat_sim": {"a": 0.9, "b": 0.7}}, n=100)
    done = run_step("Summary", runner, {"models": "a"})
    assert done.returncode == 0, done.stderr
    summary = (runner / "summary").read_text()
    assert "a leads 2 backbones" in summary
    assert summary.count("```") == 2


def test_no_input_is_part_of_a_command():
    """A title of a pull request must not be run: inputs reach commands as variables."""
    for step in STEPS.values():
        assert "${{" not in step["run"]


def test_every_input_is_used_and_described():
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    for name, entry in ACTION["inputs"].items():
        assert f"inputs.{name}" in text
        assert entry["description"].endswith(".")
