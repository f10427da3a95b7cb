"""What a comparison prints: text, Markdown, JSON, the command line, and where features moved."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from geofm_eval.cli import app
from geofm_eval.compare import compare
from geofm_eval.paths import geofm_cache
from geofm_eval.report.comparing import json_of, lines_of, markdown_of
from geofm_eval.similarity import cka
from tests.planted_compare import easy, moved, probe

RIGHT = easy()
TAPS = ("embed", "block00", "final")


@pytest.fixture
def runs(tmp_path):
    """A model that lost two points at one of its layers, another one that was not touched, and old features."""
    old, new = tmp_path / "old", tmp_path / "new"
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 8))
    block("k-old", {tap: features for tap in TAPS})
    block("k-new", {"embed": features, "block00": features + rng.normal(size=(50, 8)), "final": 2 * features})
    for layer, lost in (("embed", 10), ("block00", 30), ("final", 12)):
        probe(old, {"1.0": RIGHT}, layer, source={"feature_keys": {"test": "k-old"}})
        source = {"feature_keys": {"test": "k-new"}}
        probe(new, {"1.0": moved(RIGHT, lost, 10)}, layer, weights="b" * 64, source=source)
    for folder in (old, new):
        probe(folder, {"1.0": RIGHT}, model="band_stats")
    return old, new


def block(key: str, taps: dict[str, np.ndarray], count: int = 50) -> None:
    folder = geofm_cache() / "features" / "v1" / key
    folder.mkdir(parents=True)
    for tap, values in taps.items():
        np.save(folder / f"{tap}.mean.npy", values.astype(np.float32))
    (folder / "ids.json").write_text(json.dumps([str(i) for i in range(count)]))
    (folder / "block.json").write_text("{}")


def texts(found, fail_on="regression"):
    return [line.text for line in lines_of(found, fail_on)]


def test_the_text_gives_tasks_first_then_the_worst_cases_then_depth(runs):
    found = compare(*runs)
    lines = texts(found)
    assert lines[0] == "GATE FAILS: new against old: 0 of 1 tasks and 1 of 4 cases are worse"
    assert lines[1].startswith("  eurosat_sim, probe: undecided, -0.7 [")
    assert lines[1].endswith("80.0 -> 79.3 % accuracy, mean over 3 cases of m_one")
    assert lines[2].startswith("    smallest drop found with 80 % probability here: ")
    assert lines[2].endswith(" points (margin 1.0)")
    assert lines[3] == "cases: 1 regression, 1 undecided, 2 equivalent (1 of them identical)"
    assert lines[4].startswith("worse: m_one-eurosat_sim-linear-block00: -2.0 [-3.2, -0.8] points, 80.0 -> 78.0 % at")
    assert lines[5].startswith("features moved: m_one on eurosat_sim: most at block00, 1 - CKA 0.")
    assert [line.alarm for line in lines_of(found)] == [True, False, False, False, True, False, False]


def test_moved_is_one_minus_debiased_cka_tap_by_tap(runs):
    (moved_here,) = compare(*runs).moved
    assert list(moved_here.taps) == list(TAPS)
    assert moved_here.taps["embed"] == pytest.approx(0, abs=1e-6)
    assert moved_here.taps["final"] == pytest.approx(0, abs=1e-6), "a scale is no movement"
    folder = geofm_cache() / "features" / "v1"
    pair = [np.load(folder / key / "block00.mean.npy") for key in ("k-old", "k-new")]
    assert moved_here.taps["block00"] == pytest.approx(1 - cka(*pair).debiased)
    assert (moved_here.most, moved_here.n) == ("block00", 50)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "its old features are not in the cache .*: run the old weights on eurosat_sim again"),
        ("short", "its features cannot be compared: "),
        ("other", "of different items"),
        ("torn", "its features cannot be compared: "),
    ],
)
def test_features_that_cannot_be_compared_are_explained(runs, damage, said):
    folder = geofm_cache() / "features" / "v1" / "k-old"
    if damage == "gone":
        (folder / "block.json").unlink()
    elif damage == "short":
        (folder / "embed.mean.npy").write_bytes(b"\x93NUMPY")
    else:
        (folder / "ids.json").write_text("[]" if damage == "other" else '["it')
    found = compare(*runs)
    (line,) = [text for text in texts(found) if text.startswith("features moved")]
    assert re.search(said, line)
    assert "Where in depth features moved" in markdown_of(found)


def test_the_json_holds_everything_in_the_metric_s_own_unit(runs):
    found = compare(*runs)
    content = json.loads(json_of(found))
    assert (content["baseline"], content["run"], content["holds"]) == ("old", "new", False)
    assert content["failures"] == {"m_one-eurosat_sim-linear-block00": "regression"}
    (task,) = content["tasks"]
    assert (task["task"], task["kind"], task["models"], task["pooled"]) == ("eurosat_sim", "probe", ["m_one"], 3)
    assert task["difference"] == pytest.approx(-(0.02 + 0.002) / 3, abs=1e-9)
    cases = {case["case"]: case for case in content["cases"]}
    cell = cases["probe/m_one-eurosat_sim-linear-block00"]["fractions"]["1.0"]
    assert (cell["old"], cell["new"], cell["points"]) == (0.8, 0.78, pytest.approx(-2.0))
    assert cell["low"] < cell["difference"] < cell["high"] < 0
    assert content["moved"][0]["most"] == "block00"


def test_markdown_has_a_headline_a_row_per_task_and_folds_the_rest(runs):
    text = markdown_of(compare(*runs))
    assert text.startswith("**GATE FAILS: new against old")
    assert "| eurosat_sim, probe | undecided |" in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert "| `m_one-eurosat_sim-linear-block00` | **regression** | -2.0 [-3.2, -0.8] points |" in text
    assert "band_stats" not in text, "what did not change is counted, not listed"


def test_long_lists_are_cut_and_counted(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    before, after = RIGHT[:100], moved(RIGHT[:100], 40, 0)
    for number in range(75):
        probe(old, {"1.0": before}, f"block{number:03d}", outcomes=number > 0)
        probe(new, {"1.0": after}, f"block{number:03d}", weights="b" * 64)
    found = compare(old, new)
    assert len(found.regressions) == 74
    worse = [text for text in texts(found) if text.startswith("worse")]
    assert (len(worse), worse[-1]) == (13, "worse: and 62 more")
    text = markdown_of(found)
    assert "and 15 more, that lost less" in text
    assert len(text) < 65_536, "a comment on a pull request takes no more"


def test_an_identical_run_says_so(runs, tmp_path):
    old, _ = runs
    shutil.copytree(old, tmp_path / "again")
    found = compare(old, tmp_path / "again")
    assert texts(found)[:3] == [
        "gate holds: again against old: 0 of 1 tasks and 0 of 4 cases are worse",
        "  eurosat_sim, probe: identical, all 4 cases",
        "cases: 4 equivalent (4 of them identical)",
    ]
    assert "| eurosat_sim, probe | identical | - | 1.0 |" in markdown_of(found)
    assert json.loads(json_of(found))["tasks"][0]["identical"]


def test_the_command_says_it_in_three_formats_and_by_its_status(runs, tmp_path):
    old, new = map(str, runs)
    done = CliRunner().invoke(app, ["compare", old, new, "--format", "markdown", "--output", str(tmp_path / "out.md")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert (tmp_path / "out.md").read_text() == markdown_of(compare(*runs))
    done = CliRunner().invoke(app, ["compare", new, old, "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["holds"]
    done = CliRunner().invoke(app, ["compare", new, old, "--fail-on", "undecided"])
    assert done.exit_code == 1
    assert done.stdout.startswith("GATE FAILS (fails on undecided): old against new")
    done = CliRunner().invoke(app, ["compare", old, old])
    assert "cannot be its own baseline" in str(done.exception)


def test_a_comparison_of_files_loads_no_torch(runs):
    old, new = runs
    for folder in (geofm_cache() / "features" / "v1").iterdir():
        (folder / "block.json").unlink()
    code = (
        "import sys; from pathlib import Path; from geofm_eval.compare import compare; "
        "from geofm_eval.report.comparing import lines_of; "
        f"print(len(lines_of(compare(Path({str(old)!r}), Path({str(new)!r})))), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "False"]


def test_features_that_did_not_move_are_not_said_to_have(runs):
    folder = geofm_cache() / "features" / "v1"
    for tap in TAPS:
        np.save(folder / "k-new" / f"{tap}.mean.npy", 3 * np.load(folder / "k-old" / f"{tap}.mean.npy"))
    (line,) = [text for text in texts(compare(*runs)) if text.startswith("features moved")]
    assert line == "features moved: m_one on eurosat_sim: nowhere, 1 - CKA is below 0.001 at every tap"
