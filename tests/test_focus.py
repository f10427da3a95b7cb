"""The answer for the author of a model: every sentence follows from planted records, and the page shows it."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from geofm_eval.answer import FocusedAnswer, answers, focused_answers
from geofm_eval.catalog import load_catalog
from geofm_eval.cli import app
from geofm_eval.compare import Moved, RunComparison, compare
from geofm_eval.errors import DataError
from geofm_eval.ranking import order, settings
from geofm_eval.report.answer.focus import CHANGE, focused_sentences, text_of_focus
from geofm_eval.report.answer.terminal import WIDTH
from geofm_eval.report.drawing import GREY
from geofm_eval.report.gate import Judged
from geofm_eval.report.web import page as web
from geofm_eval.report.web.compared import html_of
from geofm_eval.report.web.focus import change_charts
from geofm_eval.report.web.palette import COLOURS
from geofm_eval.results.run import read_run
from tests.collating import no_figures
from tests.planted import advice
from tests.planted.compare import easy, moved, probe
from tests.planted.ranking import planted_run
from tests.test_answer import change, with_inputs

TASK = "eurosat_sim"
CATALOG = load_catalog()
RIGHT = easy()


def focused(run: Path, model: str = "mine") -> tuple[FocusedAnswer, ...]:
    known = read_run(run)
    orders = [order(one, known.pairs) for one in settings(known)]
    return focused_answers(answers(known, CATALOG), orders, known, CATALOG, model)


def said(found: Sequence[FocusedAnswer], question: int, baseline: RunComparison | None = None) -> list[str]:
    return [one.text for one in focused_sentences(found, baseline) if one.question == question]


def planted(folder: Path, levels: dict[str, float], **more: Any) -> tuple[FocusedAnswer, ...]:
    """The answer for ``mine``; ``rcf`` and ``mine_random`` are controls."""
    for control in ("rcf", "mine_random"):
        own = {name: level for name, level in levels.items() if (name == "mine_random") == (control == "mine_random")}
        planted_run(folder, {TASK: own}, control=control, **more)
    return focused(folder)


# Differences.


def test_a_model_is_compared_with_the_best_control_and_with_its_random_twin(tmp_path: Path):
    first, second = said(planted(tmp_path, {"mine": 0.9, "rcf": 0.8, "mine_random": 0.7}), 1)
    assert first.startswith("mine beats the best control, rcf (80.0) by 10.0 points [")
    assert second.startswith("mine beats its random twin, mine_random (70.0) by 20.0 points [")


def test_a_twin_that_is_the_best_control_is_compared_once(tmp_path: Path):
    (text,) = said(planted(tmp_path, {"mine": 0.9, "rcf": 0.6, "mine_random": 0.7}), 1)
    assert text.startswith("mine beats the best control and random twin, mine_random (70.0) by 20.0 points [")


@pytest.mark.parametrize(
    ("level", "noise", "words"),
    [
        (0.80, 0.06, "cannot be distinguished from other: difference 0.0 points ["),
        (0.70, 0.02, "is worse than other by 10.0 points ["),
        (0.90, 0.02, "beats other by 10.0 points ["),
        (0.80, 0.0, "is equivalent to other within the margin: difference 0.0 points"),
    ],
)
def test_a_difference_to_the_best_other_backbone_is_worded_by_its_adjusted_interval(
    tmp_path: Path, level: float, noise: float, words: str
):
    texts = said(planted(tmp_path, {"mine": level, "other": 0.8, "rcf": 0.5}, noise=noise), 2)
    assert texts[-1].startswith(f"Against the best of them, mine {words}")


def test_rank_and_group_are_those_among_all_models(tmp_path: Path):
    texts = said(planted(tmp_path, {"mine": 0.8, "other": 0.9, "third": 0.7, "rcf": 0.6}), 2)
    assert re.fullmatch(
        r"mine scores 80\.0.*: rank 2 of 4 models, group b \(ranks that clear differences leave open: only 2\)\.",
        texts[0],
    )
    assert texts[1] == "1 of 2 other backbones is clearly better, 1 clearly worse."


def test_intervals_are_adjusted_for_all_models_that_the_model_is_compared_with(tmp_path: Path):
    few = planted(tmp_path / "few", {"mine": 0.82, "other": 0.8, "rcf": 0.5})[0]
    many = planted(tmp_path / "many", {"mine": 0.82, "other": 0.8, "a": 0.815, "b": 0.825, "c": 0.812, "rcf": 0.5})[0]
    widths = [
        (pair.difference.high or 0.0) - (pair.difference.low or 0.0)
        for one in (few, many)
        for pair in one.over_others
        if pair.other == "other"
    ]
    assert widths[1] > widths[0]


def test_without_controls_the_benefit_of_pretraining_is_unknown(tmp_path: Path):
    assert said(focused(planted_run(tmp_path, {TASK: {"mine": 0.8, "other": 0.7}})), 1) == [
        "No control was measured, so that the benefit of pretraining is unknown.",
        "Its random twin was not measured.",
    ]


def test_the_tap_to_read_and_what_final_costs_are_those_of_the_model(tmp_path: Path):
    run = advice.probes(tmp_path, (0.5, 0.6, 0.7, 0.9, 0.8), (0.5, 0.6, 0.7, 0.9, 0.8))
    advice.probe(run, "final", [0.95], 0.95, model="other")
    (text,) = said(focused(run, advice.MODEL), 3)
    assert text.startswith(f"Read {advice.MODEL} at block02")
    assert "; final would cost 10.0 points [" in text


def test_a_model_that_is_no_backbone_of_the_run_is_refused_with_the_names_of_its_backbones(tmp_path: Path):
    run = planted_run(tmp_path / "mine", {TASK: {"mine": 0.8, "rcf": 0.7}}, control="rcf")
    with pytest.raises(DataError, match="mine: rcf is a control, not a backbone; name one of its backbones: mine"):
        focused(run, "rcf")
    with pytest.raises(DataError, match="mine: yours has no score there; name one of its backbones: mine"):
        focused(run, "yours")


def test_a_marked_model_is_not_compared_and_only_its_own_threats_are_named(tmp_path: Path):
    run = planted_run(tmp_path, {TASK: {"mine": 0.9, "other": 0.8, "rcf": 0.7}}, control="rcf")
    for model, bands in (("mine", ("B03", "B04")), ("other", ("B03",))):
        change(run, model, with_inputs(filled_bands=bands))
    found = focused(run)
    reason = "more than half of its bands are filled"
    assert said(found, 1) == [f"mine is not compared with other models: {reason}."]
    assert found[0].over_others == ()
    assert said(found, 6)[1:] == [f"Not compared: mine ({reason})."]


# Several tasks.


def test_tasks_are_counted_and_better_backbones_named(tmp_path: Path):
    levels = {TASK: {"mine": 0.9, "other": 0.8, "rcf": 0.7}, "mados_sim": {"mine": 0.6, "other": 0.8, "rcf": 0.7}}
    found = focused(planted_run(tmp_path, levels, control="rcf"))
    assert said(found, 1) == [
        "mine is shown to beat the best control on 1 of 2 tasks, and is clearly worse on 1.",
        "No difference to its random twin is known.",
    ]
    assert said(found, 2) == [
        "No other backbone is clearly better on 1 of 2 tasks.",
        "Another one is clearly better on mados_sim (other).",
    ]
    lines = text_of_focus(found, None).splitlines()
    assert lines[0] == "Answer for mine (SIMULATED DATA)"
    assert max(map(len, lines)) <= WIDTH + 2
    assert sum(line.lstrip().startswith(("eurosat_sim ", "mados_sim ")) for line in lines) == 2


# New weights.


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Path, Path]:
    """Old and new weights: worse at the tap that validation chose, better at final, another model untouched."""
    old, new = tmp_path / "old", tmp_path / "new"
    for layer, val, lost, gained in (("embed", 0.5, 0, 0), ("block00", 0.9, 60, 10), ("final", 0.8, 10, 60)):
        probe(old, {"1.0": RIGHT}, layer, val=val)
        probe(new, {"1.0": moved(RIGHT, lost, gained)}, layer, val=val, weights="b" * 64)
    for folder in (old, new):
        for layer in ("embed", "block00", "final"):
            probe(folder, {"1.0": easy(share=0.7)}, layer, model="other", val=0.7)
    return old, new


def changes(old: Path, new: Path) -> list[str]:
    return said(focused(new, "m_one"), CHANGE, compare(old, new, CATALOG))


def test_changes_are_worded_by_the_verdicts_of_the_gate(weights: tuple[Path, Path]):
    worse, better = changes(*weights)
    assert re.fullmatch(
        r"Worse at the tap that the old validation chose, block00 \(linear\): -5\.0 \[.*\] points, 80\.0 -> 75\.0 .*\.",
        worse,
    )
    assert better.startswith("Better at final (linear): +5.0 [")


@pytest.mark.parametrize(
    ("lost", "gained", "words"),
    [(0, 0, "Identical at final"), (3, 3, "Equivalent at final"), (40, 30, "Undecided at final")],
)
def test_weights_without_a_clear_change(tmp_path: Path, lost: int, gained: int, words: str):
    probe(tmp_path / "old", {"1.0": RIGHT}, val=0.8)
    probe(tmp_path / "new", {"1.0": moved(RIGHT, lost, gained)}, val=0.8, weights="b" * 64)
    (text,) = changes(tmp_path / "old", tmp_path / "new")
    assert text.startswith(words)


def test_a_baseline_without_the_model_says_so(weights: tuple[Path, Path]):
    old, new = weights
    for path in (old / "probe").glob("m_one-*.json"):
        path.unlink()
    assert changes(old, new) == ["The baseline old has no comparable primary case of m_one."]


def test_where_features_moved_follows_the_verdicts(weights: tuple[Path, Path]):
    own = Moved("m_one", (TASK,), 50, {"embed": 0.0, "block00": 0.4, "final": 0.1})
    found = replace(compare(*weights, CATALOG), moved=(own, Moved("other", (TASK,), 50, {}, "gone")))
    assert said(focused(weights[1], "m_one"), CHANGE, found)[-1] == (
        f"Features of m_one on {TASK}: most at block00 (1 - CKA 0.400); embed to final: 0.000 0.400 0.100."
    )


def test_changes_on_several_tasks_are_counted_and_named(tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new"
    for task, lost in ((TASK, 60), ("mados_sim", 0)):
        probe(old, {"1.0": RIGHT}, task=task, val=0.8)
        probe(new, {"1.0": moved(RIGHT, lost, 0)}, task=task, val=0.8, weights="b" * 64)
    assert changes(old, new) == [
        "Against old, in 2 primary cases on 2 tasks: 1 worse, 1 equivalent.",
        f"Worse: {TASK} at final (linear).",
    ]


# Pages.


@pytest.fixture
def small_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of the charts is large and the same on every page."""
    monkeypatch.setattr(web, "chart_library", lambda: "")


def content(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', html, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def sections(html: str) -> list[str]:
    """Ids of the sections, and of the charts by kind within theirs."""
    return [name for name in re.findall(r'<(?:section|h2) id="([^"]+)">', html) if name != "charts"]


def test_old_and_new_profiles_are_drawn_for_models_that_changed(weights: tuple[Path, Path]):
    ((label, spec),) = change_charts(compare(*weights, CATALOG))
    assert label == "m_one on eurosat_sim (linear): score against relative depth, old weights dashed"
    values = spec["data"]["values"]
    assert [(one["run"], one["tap"], one["score"]) for one in values if one["tap"] == "block00"] == [
        ("old: old", "block00", 80.0),
        ("new: new", "block00", 75.0),
    ]
    assert spec["layer"][0]["encoding"]["strokeDash"]["scale"]["range"][0] == [4, 4]
    assert spec["title"]["subtitle"] == "SIMULATED DATA"
    assert change_charts(compare(*weights, CATALOG), "other") == []


@pytest.mark.usefixtures("small_page")
def test_the_page_of_a_comparison_has_the_verdicts_and_nothing_else(weights: tuple[Path, Path]):
    html = html_of(Judged(compare(*weights, CATALOG)), CATALOG)
    assert sections(html) == ["gate", "changes", "run"]
    assert "<title>new against old</title>" in html
    assert '<p class="alarm">GATE FAILS: new against old: 1 of 4 primary cases is worse' in html
    (table,) = content(html)["tables"]
    assert [row[:3] for row in table["rows"][:2]] == [
        ["m_one-eurosat_sim-linear-block00", "chosen by validation", "regression"],
        ["m_one-eurosat_sim-linear-final", "final", "improvement"],
    ]
    assert table["rows"][-1][2] == "identical"
    assert "SIMULATED DATA in 4 of 4 primary cases" in html
    assert str(weights[0]) not in html


@pytest.mark.usefixtures("small_page")
def test_the_command_writes_the_page_of_a_comparison(weights: tuple[Path, Path], tmp_path: Path):
    path = tmp_path / "gate.html"
    done = CliRunner().invoke(app, ["compare", *map(str, weights), "--format", "html", "--output", str(path)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert path.read_text(encoding="utf-8") == html_of(Judged(compare(*weights, CATALOG)), CATALOG)


@pytest.mark.usefixtures("small_page")
def test_the_page_of_an_author_has_one_model_in_colour_and_the_gate(
    weights: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    no_figures(monkeypatch)
    old, new = map(str, weights)
    done = CliRunner().invoke(app, ["report", new, "--focus", "m_one", "--baseline", old, "--no-pictures"])
    assert done.exit_code == 0, done.output
    assert "Answer for m_one (SIMULATED DATA)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("GATE FAILS: new against old")
    html = (weights[1] / "report.html").read_text(encoding="utf-8")
    assert sections(html)[:5] == ["answer", "focus", "gate", "models", "changes"]
    assert html.index("What changed?") < html.index("Is pretraining worth it?")
    found = content(html)
    assert {one["model"]: one["colour"] for one in found["models"]} == {"m_one": COLOURS[0], "other": GREY}
    assert found["charts"]["depth0"]["data"]["values"][-1]["model"] == "m_one"
    assert [table["slug"] for table in found["tables"]][-2:] == ["focus-simulated", "gate"]
