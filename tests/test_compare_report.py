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
from geofm_eval.report.gate import json_of, lines_of, markdown_of
from geofm_eval.report.gate.sentences import reason_sentences
from geofm_eval.report.gate.text import _reasons
from geofm_eval.similarity import cka
from tests.planted.compare import easy, moved, probe

RIGHT = easy()
TAPS = ("embed", "block00", "final")


@pytest.fixture
def runs(tmp_path):
    """A model that lost two points at the tap that validation chose, another one that was not touched, old features."""
    old, new = tmp_path / "old", tmp_path / "new"
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 8))
    block("k-old", {tap: features for tap in TAPS})
    block("k-new", {"embed": features, "block00": features + rng.normal(size=(50, 8)), "final": 2 * features})
    for layer, val, lost in (("embed", 0.5, 40), ("block00", 0.9, 30), ("final", 0.8, 12)):
        probe(old, {"1.0": RIGHT}, layer, val=val, source={"feature_keys": {"test": "k-old"}})
        source = {"feature_keys": {"test": "k-new"}}
        probe(new, {"1.0": moved(RIGHT, lost, 10)}, layer, val=val, weights="b" * 64, source=source)
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


def test_the_text_gives_primary_cases_first_then_what_is_exploratory_then_depth(runs):
    found = compare(*runs)
    lines = texts(found)
    assert lines[0] == "GATE FAILS: new against old: 1 of 3 primary cases is worse, 2 exploratory results are worse"
    assert lines[1].startswith(
        "  m_one-eurosat_sim-linear-block00 (chosen by validation): regression, -2.0 [-3.2, -0.8] points "
        "(p 0.0031 after Holm), 80.0 -> 78.0 % at 100 % of the labels; smallest drop found with 80 % probability: "
    )
    assert lines[1].endswith("1.9 points (margin 1.0)")
    assert lines[2].startswith("  m_one-eurosat_sim-linear-final (final): undecided, -0.2 [")
    assert lines[2].endswith("1.4 points (margin 1.0)")
    assert lines[3] == "  identical: 1 of 3 primary cases"
    assert lines[4] == "false regressions expected by chance in this run: at most 0.025 (1 family tested at 2.5 %)"
    assert lines[5].startswith("exploratory, mean of m_one, eurosat_sim, probe: -1.7 [")
    assert "80.0 -> 78.3 % accuracy, mean over 3 cases; smallest drop of this mean found with 80 %" in lines[5]
    assert lines[6].startswith("exploratory, worse: m_one-eurosat_sim-linear-embed: -3.0 [")
    assert lines[7] == (
        "all cases at their largest label fractions: 2 regression, 1 undecided, 1 equivalent (1 of them identical)"
    )
    assert lines[8].startswith("features moved: m_one on eurosat_sim: most at block00 (1 - CKA 0.")
    alarms = [line.alarm for line in lines_of(found)]
    assert alarms == [True, True, False, False, False, True, True, False, False, False]


def test_records_without_a_checksum_are_counted_in_all_formats(runs):
    assert not any(line.startswith("no checksum") for line in texts(compare(*runs)))
    path = next(runs[0].glob("probe/*.json"))
    content = json.loads(path.read_text())
    del content["checksum"]
    path.write_text(json.dumps({**content, "schema_version": 2}))
    found = compare(*runs)
    said = "baseline old: 1 of 4 records without a checksum, written before record schema 3"
    assert any(line.startswith(f"no checksum: {said}") for line in texts(found))
    assert f"- {said}" in markdown_of(found)
    assert json.loads(json_of(found))["no_checksum"] == {"baseline": 1, "run": 0}


def test_twelve_families_are_told_what_chance_brings(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for number in range(12):
        probe(old, {"1.0": RIGHT}, model=f"m_{number:02d}")
        probe(new, {"1.0": moved(RIGHT, 20, 20)}, model=f"m_{number:02d}", weights="b" * 64)
    (line,) = [text for text in texts(compare(old, new)) if text.startswith("false regressions")]
    assert line == (
        "false regressions expected by chance in this run: at most 0.3, and one or more in at most 26 % of runs "
        "(12 families tested at 2.5 % each; --family run tests them together)"
    )
    (line,) = [text for text in texts(compare(old, new, together="run")) if text.startswith("false regressions")]
    assert line == (
        "false regressions expected by chance in this run: at most 0.025 (Holm over all primary cases of 12 families)"
    )


def test_what_is_missing_is_named_in_all_formats(runs):
    old, new = runs
    probe(old, {"1.0": RIGHT}, "block01", val=0.7)
    probe(new, {"1.0": moved(RIGHT, 200, 0)}, "block02", val=0.7, outcomes=False)
    probe(old, {"1.0": RIGHT}, "block02", val=0.7)
    probe(old, {"1.0": RIGHT}, adaptation="knn", val=0.7)
    probe(old, {"1.0": RIGHT}, model="m_two")
    found = compare(old, new)
    said = [
        "m_one-eurosat_sim-knn-final (primary): absent from the new run, although it selected model and task",
        "m_one-eurosat_sim-linear-block01: absent from the new run, although it selected model and task",
        "m_one-eurosat_sim-linear-block02: -20.0 points, 80.0 -> 60.0 % at 100 % of the labels, without an interval: "
        "no per-sample outcomes in the new run; run it again there",
        "no longer in the catalog: m_two (1 case)",
    ]
    for text in ("\n".join(texts(found)), markdown_of(found)):
        assert all(sentence in text for sentence in said), text
        assert "1 case fell without an interval, 3 cases were not tested" in text
    content = json.loads(json_of(found, "undecided", require_all=True))
    assert set(content["failures"]) == {
        "m_one-eurosat_sim-linear-block00", "m_one-eurosat_sim-linear-block01", "m_one-eurosat_sim-linear-block02",
        "m_one-eurosat_sim-knn-final", "m_two",
    }  # fmt: skip
    assert content["fell"][0]["difference"] == pytest.approx(-0.2)
    assert content["not_selected"] == {"m_two": {"cases": 1, "in_catalog": False}}


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
        ("other", "from different samples"),
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
    assert "Feature changes by tap" in markdown_of(found)


def test_the_json_holds_everything_in_the_metric_s_own_unit(runs):
    found = compare(*runs)
    content = json.loads(json_of(found))
    assert (content["baseline"], content["run"], content["holds"]) == ("old", "new", False)
    assert content["failures"] == {"m_one-eurosat_sim-linear-block00": "regression"}
    assert content["primary"]["probe/m_one-eurosat_sim-linear-block00"] == "chosen"
    assert content["false_regressions"] == {
        "families_tested": 1, "expected_at_most": pytest.approx(0.025), "at_least_one_at_most": pytest.approx(0.025),
    }  # fmt: skip
    assert content["exploratory_regressions"] == [{"case": "probe/m_one-eurosat_sim-linear-embed", "fraction": "1.0"}]
    mean = content["pooled"][1]
    assert (mean["task"], mean["kind"], mean["model"], mean["pooled"]) == ("eurosat_sim", "probe", "m_one", 3)
    assert mean["difference"] == pytest.approx(-(0.03 + 0.02 + 0.002) / 3, abs=1e-9)
    cases = {case["case"]: case for case in content["cases"]}
    cell = cases["probe/m_one-eurosat_sim-linear-block00"]["fractions"]["1.0"]
    assert (cell["old"], cell["new"], cell["points"]) == (0.8, 0.78, pytest.approx(-2.0))
    assert cell["low"] < cell["difference"] < cell["high"] < 0
    assert cell["smallest_found"] == pytest.approx(0.0195, abs=0.0005)
    assert content["moved"][0]["most"] == "block00"


def test_markdown_has_a_headline_a_row_per_primary_case_and_folds_the_rest(runs):
    text = markdown_of(compare(*runs))
    assert text.startswith("**GATE FAILS: new against old")
    row = "| chosen by validation | **regression** | -2.0 [-3.2, -0.8] points | 1.0 | 80.0 -> 78.0 % at 100 % of the"
    assert f"| `m_one-eurosat_sim-linear-block00` {row}" in text
    assert "| `m_one-eurosat_sim-linear-final` | final | undecided |" in text
    assert "false regressions expected by chance in this run: at most 0.025" in text
    assert "<details open><summary>Exploratory (never fails the gate): 1 worse; all cases" in text
    assert "| m_one, eurosat_sim, probe | **regression** |" in text
    assert "| `m_one-eurosat_sim-linear-embed` | -3.0 [" in text
    assert text.count("<details") == text.count("</details>") == 2
    assert "band_stats" not in text, "what did not change is counted, not listed"


def test_long_lists_are_cut_and_counted(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    before, after = RIGHT[:100], moved(RIGHT[:100], 40, 0)
    for number in range(75):
        probe(old, {"1.0": before}, f"block{number:03d}", outcomes=number > 0)
        probe(new, {"1.0": after}, f"block{number:03d}", weights="b" * 64)
    found = compare(old, new)
    assert (len(found.regressions), len(found.exploratory)) == (1, 73)
    worse = [text for text in texts(found) if text.startswith("exploratory, worse")]
    assert (len(worse), worse[-1]) == (13, "exploratory, worse: and 61 more")
    text = markdown_of(found)
    assert "and 13 more with smaller losses" in text
    assert len(text) < 65_536, "a comment on a pull request takes no more"


def test_no_primary_case_is_cut_from_the_text(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    before, after = RIGHT[:100], moved(RIGHT[:100], 40, 0)
    for number in range(75):
        probe(old, {"1.0": before}, model=f"m_{number:03d}")
        probe(new, {"1.0": after}, model=f"m_{number:03d}", weights="b" * 64)
    found = compare(old, new)
    assert sum(": regression, " in text for text in texts(found)) == len(found.regressions) == 75
    text = markdown_of(found)
    assert "and 15 more with smaller losses" in text
    assert len(text) < 65_536, "a comment on a pull request takes no more"


def test_no_primary_case_is_cut_from_the_other_lists(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    before, after = RIGHT[:100], moved(RIGHT[:100], 40, 0)
    for number in range(20):
        for layer in ("embed", "final"):  # without a validation score, only the last tap is primary
            probe(old, {"1.0": before}, layer, model=f"m_{number:03d}", outcomes=False)
            probe(new, {"1.0": after}, layer, model=f"m_{number:03d}", outcomes=False)
    found = compare(old, new)
    fell = [text for text in texts(found) if text.startswith("fell: ")]
    assert len(found.fell) == 40
    assert all("-linear-final: " in text for text in fell[:-1])
    assert (len(fell), fell[-1]) == (21, "fell: and 20 more")
    reasons = {("probe", f"case{number}"): f"reason {number}" for number in range(40)}
    primary = list(reasons)[20:]
    lines = [line.text for line in _reasons("lost", reason_sentences(reasons, primary))]
    assert lines[0] == "lost: case20 (primary): reason 20"
    assert (len(lines), lines[-1]) == (21, "lost: and 20 more")


def test_an_identical_run_says_so(runs, tmp_path):
    old, _ = runs
    shutil.copytree(old, tmp_path / "again")
    found = compare(old, tmp_path / "again")
    assert texts(found)[:3] == [
        "gate holds: again against old: 0 of 3 primary cases are worse",
        "  identical: 3 of 3 primary cases",
        "all cases at their largest label fractions: 4 equivalent (4 of them identical)",
    ]
    assert "identical: 3 of 3 primary cases" in markdown_of(found)
    assert json.loads(json_of(found))["pooled"][0]["identical"]


def test_the_command_says_it_in_three_formats_and_by_its_status(runs, tmp_path):
    old, new = map(str, runs)
    done = CliRunner().invoke(app, ["compare", old, new, "--format", "markdown", "--output", str(tmp_path / "out.md")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert (tmp_path / "out.md").read_text() == markdown_of(compare(*runs))
    done = CliRunner().invoke(app, ["compare", new, old, "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["holds"]
    done = CliRunner().invoke(app, ["compare", new, old, "--fail-on", "undecided"])
    assert done.exit_code == 0
    (runs[0] / "probe" / "m_one-eurosat_sim-linear-final.json").unlink()
    done = CliRunner().invoke(app, ["compare", new, old, "--fail-on", "undecided", "--require-all", "--family", "run"])
    assert done.exit_code == 1
    assert done.stdout.startswith("GATE FAILS (fails on undecided and anything absent): old against new")
    assert "Holm over all primary cases" in done.stdout
    done = CliRunner().invoke(app, ["compare", old, old])
    assert "cannot be its own baseline" in str(done.exception)


def test_a_comparison_of_files_loads_no_torch(runs):
    old, new = runs
    for folder in (geofm_cache() / "features" / "v1").iterdir():
        (folder / "block.json").unlink()
    code = (
        "import sys; from pathlib import Path; from geofm_eval.compare import compare; "
        "from geofm_eval.report.gate import lines_of; "
        f"print(len(lines_of(compare(Path({str(old)!r}), Path({str(new)!r})))), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "False"]


def test_features_that_did_not_move_are_not_said_to_have(runs):
    folder = geofm_cache() / "features" / "v1"
    for tap in TAPS:
        np.save(folder / "k-new" / f"{tap}.mean.npy", 3 * np.load(folder / "k-old" / f"{tap}.mean.npy"))
    (line,) = [text for text in texts(compare(*runs)) if text.startswith("features moved")]
    assert line == "features moved: m_one on eurosat_sim: unchanged, 1 - CKA below 0.001 at every tap"
