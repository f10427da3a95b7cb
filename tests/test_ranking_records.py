"""Rankings of records: settings, what lacks outcomes or company, aggregates, tables and text."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.ranking import Aggregate, aggregate, aggregates, by_recipe, data_sets, settings
from geofm_eval.records import read_outcomes, read_record, record_path, write_record
from geofm_eval.report.collation import collate
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import read_run
from geofm_eval.stats.counts import count_score
from tests.collating import SMALL, no_figures
from tests.planted.findings import DENSE_TASKS, IMAGES, MODELS, item_ids, singles, trained
from tests.planted.ranking import Levels, orders_of, planted_run, rivalries_of
from tests.synthetic_run import write_run

CATALOG = load_catalog()
THREE = {"m_a": 0.9, "m_b": 0.8, "m_c": 0.7}


def edit(run: Path, model: str, task: str, **changes: object) -> Path:
    """Change the record of a planted probe; its outcomes are dropped."""
    path = record_path(run, "probe", f"{model}-{task}-linear-final")
    return write_record(read_record(path).model_copy(update=changes), None, run)


def source(run: Path, model: str, task: str, **changes: object) -> dict[str, object]:
    record = read_record(record_path(run, "probe", f"{model}-{task}-linear-final"))
    return {"provenance": record.provenance.model_copy(update=changes)}


def test_settings_are_tasks_adaptations_and_label_fractions(tmp_path: Path):
    run = write_run(tmp_path / "run", SMALL, ("eurosat_sim", "eurosat_rgb"), ("knn", "linear"))
    found = settings(read_run(run))
    names = [f"{t}-{a}-{p}" for t in ("eurosat_rgb", "eurosat_sim") for a in ("knn", "linear")
             for p in ("p001", "p010", "p100")]  # fmt: skip
    assert [one.name for one in found] == names
    assert all(len(one.entries) == len(SMALL) for one in found)
    assert {one.control for one in found} <= {"galileo_nano_random", "band_stats"}
    best_first = [entry.quality for entry in found[0].entries]
    assert best_first == sorted(best_first, reverse=True)


def test_trained_cases_of_one_adaptation_and_layer_are_a_setting(tmp_path: Path):
    run = singles(tmp_path / "run", {"block05": 0.02, "block11": 0.0}, MODELS[:2], DENSE_TASKS[:1])
    trained(run, "m_one", "lightms_frozen_p010_long", "multi", 0.0)
    found = {one.name: one for one in settings(read_run(run))}
    assert len(found) == 9
    assert found["floods_sim-single_w064_full_p010-block05"].by_model.keys() == {"m_one", "m_two"}
    assert [name for name, one in found.items() if one.is_variant] == ["floods_sim-lightms_frozen_p010_long-multi"]
    assert set(data_sets(list(found.values())).values()) == {"floods_sim"}


def test_tasks_with_items_in_common_are_one_data_set(tmp_path: Path):
    run = planted_run(tmp_path / "run", {"t_one": THREE, "t_two": THREE, "t_three": THREE})
    for model in THREE:
        edit(run, model, "t_two", **source(run, model, "t_two", items_sha256={"all": "t_one"}))
    names = data_sets(settings(read_run(run)))
    assert names["t_one-linear-p100"] == names["t_two-linear-p100"] == "t_one"
    assert names["t_three-linear-p100"] == "t_three"


def test_settings_of_another_recipe_are_not_shown_with_these(tmp_path: Path):
    run = planted_run(tmp_path / "run", {"t_one": THREE, "t_two": THREE, "t_three": THREE})
    for model in THREE:
        edit(run, model, "t_three", **source(run, model, "t_three", recipe={"slug": "pangaea"}))
    groups = by_recipe(settings(read_run(run)))
    assert [[one.task for one in group] for group in groups] == [["t_one", "t_two"], ["t_three"]]


def test_a_model_without_outcomes_keeps_its_score_and_its_rank_alone(tmp_path: Path):
    run = planted_run(tmp_path / "run", {"t_one": {**THREE, "m_d": 0.6}})
    edit(run, "m_b", "t_one")
    (found,) = orders_of(run).values()
    assert found.without == {"m_b": "no per-sample outcomes"}
    assert [entry.model for entry in found.setting.entries] == ["m_a", "m_b", "m_c", "m_d"]
    assert {model: (one.rank, one.median) for model, one in found.standings.items()} == {
        "m_a": (1, 1),
        "m_c": (3, 2),
        "m_d": (4, 3),
    }
    assert {(pair.first, pair.second) for pair in found.pairs} == {("m_a", "m_c"), ("m_a", "m_d"), ("m_c", "m_d")}


def test_a_table_says_among_how_many_a_rank_is_where_outcomes_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    no_figures(monkeypatch)
    run = planted_run(tmp_path / "run", {"eurosat_sim": THREE})
    edit(run, "m_a", "eurosat_sim")
    text = collate(run, CATALOG).text
    page = (run / "tables/eurosat_sim-linear-ranks.md").read_text(encoding="utf-8")
    assert "| m_a | 90.0 | 1 | - | - | - | - |" in page
    assert "| m_b | 80.0 | 2 | 1 [1, 1] of 2 | 1 of 2 | a | 1.00 of 2 |" in page
    assert re.search(r"eurosat_sim-linear-p100 +2 of 3 +2 +m_b +m_b 1\.00", text)


def test_equal_models_share_everything(tmp_path: Path):
    (found,) = orders_of(planted_run(tmp_path / "run", {"t_one": dict.fromkeys(THREE, 0.8)}, noise=0.0)).values()
    for one in found.standings.values():
        assert (one.rank, one.median, one.low, one.high, one.group, one.clear) == (1, 2, 1, 3, "a", (1, 3))
        assert one.best == pytest.approx(1 / 3)
    assert [pair.above for pair in found.pairs] == [0.5] * 3


def test_differences_are_those_of_the_other_tables_and_their_order_does_not_matter(tmp_path: Path):
    run = planted_run(tmp_path / "run", {"t_one": THREE})
    pairs = Pairs(run)
    (found,) = orders_of(run).values()
    records = {entry.model: entry.record for entry in found.setting.entries}
    for pair in found.pairs:
        assert pair.difference == pairs.difference(records[pair.first], records[pair.second], "1.0")
        back = Pairs(run).difference(records[pair.second], records[pair.first], "1.0")
        again = pairs.difference(records[pair.second], records[pair.first], "1.0")
        assert (again.value, again.low, again.high) == pytest.approx((back.value, back.low, back.high), abs=1e-6)
        assert pair.clear
        assert pair.above > 0.99


def summary(tmp_path: Path, levels: Levels, models: tuple[str, ...], control: str = "m_c") -> Aggregate:
    run = planted_run(tmp_path / "run", levels, control=control)
    found = read_run(run)
    return aggregate(settings(found), models, found, CATALOG)


def test_aggregates_are_shares_of_the_way_from_control_to_reference(tmp_path: Path):
    levels = {"eurosat_sim": {"m_a": 0.9, "m_b": 0.7, "m_c": 0.6}, "t_two": {"m_a": 0.8, "m_b": 0.7, "m_c": 0.6}}
    levels["t_two"]["imagenet_vitb16"] = 0.7
    found = summary(tmp_path, levels, ("m_a", "m_b"))
    shares = {one.model: one.by_setting for one in found.models}
    assert shares["m_a"] == pytest.approx({"eurosat_sim-linear-p100": 0.75, "t_two-linear-p100": 2.0})
    assert shares["m_b"] == pytest.approx({"eurosat_sim-linear-p100": 0.25, "t_two-linear-p100": 1.0})
    assert [one.mean.value for one in found.models] == pytest.approx([1.375, 0.625])
    assert all(one.mean.low < one.mean.value < one.mean.high for one in found.models)
    assert [one.middle for one in found.models] == [None, None], "two settings have no quarters"
    assert [one.above for one in found.models] == [2, 2]
    assert (found.models[0].best, found.models[0].first, found.models[0].last) == (1, 1, 1)
    assert [scale.reference for scale in found.scales] == ["oracle", "imagenet_vitb16"]


def test_only_the_plain_mean_says_whether_the_control_is_beaten(tmp_path: Path):
    """Trimmed of the setting in which it loses most, a model seems to beat the control that it does not reach."""
    tasks = ("eurosat_sim", "sen1floods11_sim", "pastis_sim", "neuco_sim_crops")
    levels = {task: {"m_a": 0.62, "m_b": 0.7, "m_c": 0.6} for task in tasks}
    levels["neuco_sim_crops"] = {"m_a": 0.3, "m_b": 0.7, "m_c": 0.6}
    loser = next(one for one in summary(tmp_path, levels, ("m_a", "m_b")).models if one.model == "m_a")
    assert loser.middle.low > 0 > loser.mean.high
    assert (loser.above, loser.beats_control) == (3, False)


def test_label_fractions_are_averaged_apart(tmp_path: Path):
    run = planted_run(tmp_path / "run", dict.fromkeys(("eurosat_sim", "sen1floods11_sim"), THREE), control="m_c")
    for path in sorted((run / "probe").glob("*.json")):
        record = read_record(path)
        outcomes = read_outcomes(run, record)
        (choice,) = record.selection.choices
        chosen = record.selection.model_copy(update={"choices": (choice, replace(choice, fraction=0.1))})
        scores = {"0.1": record.scores["1.0"], **record.scores}
        right = outcomes.correct["1.0"]
        arrays = {"ids": outcomes.ids, "correct_0.1": right, "correct_1.0": right}
        write_record(record.model_copy(update={"scores": scores, "selection": chosen}), arrays, run)
    whole = read_run(run)
    found = aggregates(settings(whole), ("m_a", "m_b"), whole, CATALOG)
    assert list(found) == [1.0, 0.1]
    for fraction, suffix in ((1.0, "p100"), (0.1, "p010")):
        names = [scale.setting.name for scale in found[fraction].scales]
        assert names == [f"eurosat_sim-linear-{suffix}", f"sen1floods11_sim-linear-{suffix}"]


def test_one_model_alone_is_not_the_best_of_anything(tmp_path: Path):
    found = summary(tmp_path, {"eurosat_sim": THREE, "sen1floods11_sim": THREE}, ("m_a",))
    assert found.models == ()


def test_what_is_not_in_the_block_is_named(tmp_path: Path):
    levels = {
        "eurosat_sim": {"m_a": 0.9, "m_b": 0.7, "m_c": 0.6},
        "sen1floods11_sim": {"m_a": 0.9, "m_b": 0.8, "m_c": 0.6},
        "neuco_sim_crops": {"m_a": 0.9, "m_b": 0.7, "m_c": 0.95},
        "t_unknown": {"m_a": 0.9, "m_b": 0.7, "m_c": 0.6},
        "pastis_sim": {"m_a": 0.9, "m_c": 0.6},
    }
    found = summary(tmp_path, levels, ("m_a", "m_b"))
    assert {scale.setting.task for scale in found.scales} == {"eurosat_sim", "sen1floods11_sim"}
    assert found.dropped == {
        "neuco_sim_crops-linear-p100": "its control m_c is as good as the reference (oracle)",
        "t_unknown-linear-p100": "neither an oracle nor imagenet_vitb16 as a reference",
        "pastis_sim-linear-p100": "no scores with per-sample outcomes of m_b",
    }


def test_without_a_control_or_with_one_setting_there_is_no_aggregate(tmp_path: Path):
    found = summary(tmp_path, {"eurosat_sim": THREE, "sen1floods11_sim": THREE}, ("m_a", "m_b"), control="")
    assert found.models == ()
    assert set(found.dropped.values()) == {
        "no control",
        "no score with per-sample outcomes in 0 of 0 settings",
    }


def test_over_settings_two_models_without_outcomes_do_not_meet(tmp_path: Path):
    run = planted_run(tmp_path / "run", {"t_one": THREE, "t_two": THREE, "t_three": THREE})
    edit(run, "m_a", "t_one")
    meetings = {(one.first, one.second): len(one.meetings) for one in rivalries_of(run)}
    assert meetings == {("m_a", "m_b"): 2, ("m_a", "m_c"): 2, ("m_b", "m_c"): 3}


@pytest.fixture
def collated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    no_figures(monkeypatch)
    levels = {
        "eurosat_sim": {"m_a": 0.85, "m_b": 0.80, "m_c": 0.6},
        "sen1floods11_sim": {"m_a": 0.70, "m_b": 0.78, "m_c": 0.6},
        "t_alone": {"m_a": 0.9},
    }
    run = planted_run(tmp_path / "run", levels, control="m_c")
    return run / "tables", collate(run, CATALOG).text


def test_tables_say_who_is_better_and_how_sure(collated: tuple[Path, str]):
    tables, _ = collated
    page = (tables / "eurosat_sim-linear-ranks.md").read_text(encoding="utf-8")
    assert page.startswith("# SIMULATED DATA: ")
    assert "| 100 % of the labels | m_a | 85.0 | 1 | 1 [1, 1] | 1 | a | 1.00 |" in page
    assert "|  | m_c (control) | 60.0 | 3 | 3 [3, 3] | 3 | c | 0.00 |" in page
    with (tables / "eurosat_sim-linear-pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["first"], row["second"]) for row in rows] == [("m_a", "m_b"), ("m_a", "m_c"), ("m_b", "m_c")]
    assert all(float(row["low"]) < float(row["difference"]) < float(row["high"]) for row in rows)


def test_one_model_alone_is_not_ranked_and_counted_in_one_line(collated: tuple[Path, str]):
    tables, text = collated
    for name in (
        "t_alone-linear-ranks.md",
        "t_alone-linear-ranks.tex",
        "t_alone-linear-ranks.csv",
        "t_alone-linear-pairs.csv",
    ):
        assert not (tables / name).exists(), name
    assert "t_alone-linear-ranks" not in (tables / "README.md").read_text(encoding="utf-8")
    assert "Not shown: ranks of 1 table, " in text
    assert "t_alone" not in text[text.index("Rankings (") :]


def test_over_settings_changes_of_order_and_shares_are_shown(collated: tuple[Path, str]):
    tables, text = collated
    page = (tables / "rankings.md").read_text(encoding="utf-8")
    assert all(line.startswith("# SIMULATED DATA, ") for line in page.splitlines() if line.startswith("# "))
    (change,) = [line for line in page.splitlines() if line.startswith("| m_a | m_b | 2 |")]
    assert change.endswith("| yes |")
    assert "in eurosat_sim-linear-p100" in change
    assert "| eurosat_sim-linear-p100 | m_c | oracle |" in page
    assert "no control: t_alone-linear-p100" in page
    assert "2 backbones, 3 settings; the order of 1 of 1 pair clearly changes" in text
    assert "(rankings.md)" in (tables / "README.md").read_text(encoding="utf-8")


def test_lower_is_better_where_it_is(tmp_path: Path):
    run = tmp_path / "run"
    for model, error in (("m_one", 1.0), ("m_two", 1.3)):
        trained(run, model, "single_w064_frozen_p100", "block05", 0.0)
        record = read_record(record_path(run, "segment", f"{model}-floods_sim-single_w064_frozen_p100-block05"))
        sums = np.tile(np.array([100.0, 0.0, 0.0, 0.0, 5000.0]), (3, IMAGES, 1))
        sums[..., 2] = 100 * error * np.linspace(0.9, 1.1, IMAGES)
        values = count_score(sums, "rmse").tolist()
        changes = {"metric": "rmse", "direction": "lower", "value": sum(values) / 3, "per_draw": tuple(values)}
        scores = {key: score.model_copy(update=changes) for key, score in record.scores.items()}
        arrays = {"ids": item_ids("floods_sim", IMAGES), "counts_1.0": sums}
        write_record(record.model_copy(update={"scores": scores}), arrays, run)
    (found,) = orders_of(run).values()
    assert list(found.standings) == ["m_one", "m_two"]
    assert found.standings["m_one"].best > 0.95
