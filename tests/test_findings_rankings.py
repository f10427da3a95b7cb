"""Finding 1: verdicts follow from planted rankings."""

from itertools import product
from pathlib import Path

import pytest

from fixtures.independent_verdicts import verdict_of
from geofm_eval.catalog import load_catalog
from geofm_eval.findings import Finding, decide_findings
from geofm_eval.findings.rankings import fields, rankings_change
from geofm_eval.records import content_of, read_record, record_path, write_record
from geofm_eval.results.run import read_run
from geofm_eval.store import write_json
from tests.planted.ranking import Levels, planted_run

CATALOG = load_catalog()
CROSSING = {"t_one": {"m_a": 0.85, "m_b": 0.80}, "t_two": {"m_a": 0.70, "m_b": 0.75}}


def decide(run: Path) -> Finding | None:
    return rankings_change(read_run(run), CATALOG)


def verdict(tmp_path: Path, levels: Levels, **how: object) -> Finding:
    found = decide(planted_run(tmp_path / "run", levels, **how))
    assert found is not None
    return found


def test_supported_where_each_of_two_is_better_somewhere(tmp_path: Path):
    found = verdict(tmp_path, {**CROSSING, "t_three": {"m_a": 0.9, "m_b": 0.82}})
    assert (found.number, found.verdict, found.evidence) == (1, "supported", "simulated")
    assert found.effect == pytest.approx(5.0)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 5 < found.high
    assert {(cell.id, cell.counts) for cell in found.cells} == {
        ("t_one-linear-p100", False), ("t_two-linear-p100", True), ("t_three-linear-p100", True),
    }  # fmt: skip
    assert "1 measured in both orders, 1 clearly" in found.why[0]


def test_the_smaller_lead_is_given_with_an_interval_for_all_cells(tmp_path: Path):
    found = verdict(tmp_path, {"t_one": {"m_a": 0.85, "m_b": 0.70}, "t_two": {"m_a": 0.70, "m_b": 0.74}})
    assert found.effect == pytest.approx(4.0)
    (own,) = [cell for cell in found.cells if cell.id == "t_two-linear-p100"]
    assert own.low is not None
    assert found.high is not None
    assert found.high > -own.low  # the upper end of the lead in this cell alone


def test_refuted_where_nobody_can_lead_by_a_margin_on_both_sides(tmp_path: Path):
    levels = {f"t_{n}": {"m_a": 0.80 + 0.02 * n, "m_b": 0.80} for n in range(3)}
    found = verdict(tmp_path, levels, n=5000, noise=0.01)
    assert found.verdict == "refuted"
    assert found.effect is not None
    assert found.effect < 1


def test_undecided_where_differences_are_small_and_unsure(tmp_path: Path):
    levels = {f"t_{n}": {"m_a": 0.80 + 0.01 * (-1) ** n, "m_b": 0.80} for n in range(4)}
    found = verdict(tmp_path, levels, n=300, noise=0.3)
    assert found.verdict == "undecided"


def test_one_data_set_is_not_enough(tmp_path: Path):
    run = planted_run(tmp_path / "run", CROSSING)
    for model, task in product(("m_a", "m_b"), CROSSING):
        path = record_path(run, "probe", f"{model}-{task}-linear-final")
        record = read_record(path)
        shared = record.provenance.model_copy(update={"items_sha256": {"test": "shared"}})
        write_json(path, content_of(record.model_copy(update={"provenance": shared})))
    found = decide(run)
    assert found is not None
    assert found.verdict == "not enough records"
    assert "on 1 data set." in found.why[0]


def test_a_pair_at_the_ceiling_refutes_nothing(tmp_path: Path):
    ceiling = {"m_a": 1.0, "m_b": 1.0}
    found = verdict(tmp_path, {"t_one": ceiling, "t_two": ceiling, "t_three": {"m_a": 0.8, "m_b": 0.8}}, n=5000)
    assert found.verdict == "not enough records"
    assert "2 differences are at the ceiling, both scores within a point of 100 %" in found.why[0]


def test_with_room_to_differ_on_two_data_sets_a_ceiling_is_named_and_set_aside(tmp_path: Path):
    levels = {f"t_{n}": {"m_a": 0.80 + 0.02 * n, "m_b": 0.80} for n in range(3)}
    found = verdict(tmp_path, {**levels, "t_top": {"m_a": 1.0, "m_b": 0.995}}, n=5000, noise=0.01)
    assert found.verdict == "refuted"
    assert [cell.id for cell in found.cells if cell.ceiling] == ["t_top-linear-p100"]
    assert "1 difference is at the ceiling" in found.why[0]
    assert verdict_of(found) == "refuted"


def test_a_single_setting_or_backbone_is_about_something_else(tmp_path: Path):
    assert decide(planted_run(tmp_path / "one", {"t_one": {"m_a": 0.9, "m_b": 0.8}})) is None
    assert decide(planted_run(tmp_path / "two", {"t_one": {"m_a": 0.9}, "t_two": {"m_a": 0.8}})) is None


def test_without_outcomes_there_are_not_enough_records(tmp_path: Path):
    run = planted_run(tmp_path / "run", CROSSING)
    for task in CROSSING:
        write_record(read_record(record_path(run, "probe", f"m_a-{task}-linear-final")), None, run)
    found = decide(run)
    assert found is not None
    assert found.verdict == "not enough records"
    assert "0 of 2 differences with a paired interval" in found.why[0]


def test_controls_variants_and_control_targets_do_not_count(tmp_path: Path):
    models = {"pocket_mae": 0.8, "pocket_contrast": 0.8, "pocket_mae_seed1": 0.7, "m_control": 0.9}
    tasks = ("eurosat_sim", "sen1floods11_sim", "neuco_sim_random_reg")
    run = planted_run(tmp_path / "run", dict.fromkeys(tasks, models), control="m_control")
    (field,) = fields(read_run(run), CATALOG)
    assert field.models == ("pocket_contrast", "pocket_mae")
    assert [setting.task for setting in field.settings] == ["eurosat_sim", "sen1floods11_sim"]
    assert field.aside == {
        "pocket_mae_seed1": "variants of models",
        "m_control": "controls",
        "neuco_sim_random_reg-linear-p100": "control targets",
    }


def test_one_name_for_two_sets_of_weights_is_no_backbone(tmp_path: Path):
    run = planted_run(tmp_path / "run", {**CROSSING, "t_three": {"m_a": 0.9, "m_b": 0.8}})
    path = record_path(run, "probe", "m_b-t_two-linear-final")
    record = read_record(path)
    source = record.provenance.model_copy(update={"weights_sha256": "1" * 64})
    write_json(path, content_of(record.model_copy(update={"provenance": source})))
    (field,) = fields(read_run(run), CATALOG)
    assert field.models == ("m_a",)
    assert field.aside == {"m_b": "different weights in different settings"}


def test_settings_of_another_recipe_stay_out_and_are_counted(tmp_path: Path):
    run = planted_run(tmp_path / "run", {**CROSSING, "t_three": {"m_a": 0.6, "m_b": 0.9}})
    for model in ("m_a", "m_b"):
        path = record_path(run, "probe", f"{model}-t_three-linear-final")
        record = read_record(path)
        source = record.provenance.model_copy(update={"recipe": {"slug": "pangaea"}})
        write_json(path, content_of(record.model_copy(update={"provenance": source})))
    found = decide(run)
    assert found is not None
    assert {cell.id for cell in found.cells} == {"t_one-linear-p100", "t_two-linear-p100"}
    assert "Not compared: 1 setting of other recipes." in found.why


def test_it_is_the_first_of_the_findings(tmp_path: Path):
    run = planted_run(tmp_path / "run", CROSSING)
    found = decide_findings(read_run(run), CATALOG)
    assert found[0].number == 1
    assert found[0].verdict == "supported"
