"""Finding 6 on planted records: against whom, on which cells, and what is said where the model is absent."""

import itertools

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.findings.imagenet import BEST, MEDIAN, MODEL, RGB, imagenet_competes
from geofm_eval.records import content_of, read_record, record_path, write_record
from geofm_eval.results.run import read_run
from geofm_eval.store import write_json
from tests.planted.findings import DENSE_TASKS, trained

CATALOG = load_catalog()
ADAPTATIONS = ("lightms_full_p010", "lightms_full_p100", "upernet_w064_full_p100")


def finding_in(folder):
    return imagenet_competes(read_run(folder), CATALOG)


def plant(folder, shifts, adaptations=ADAPTATIONS, **how):
    for model, shift in shifts.items():
        for adaptation, task in itertools.product(adaptations, DENSE_TASKS):
            trained(folder, model, adaptation, "multi", shift, task=task, **how)
    return folder


def test_the_rival_is_chosen_on_validation_and_read_on_test(tmp_path):
    plant(tmp_path, {MODEL: 0.0, "m_one": 0.05, "m_two": 0.02, "m_three": -0.01})
    for adaptation, task in itertools.product(ADAPTATIONS, DENSE_TASKS):  # the best on test: validation's last
        path = record_path(tmp_path, "segment", f"m_one-{task}-{adaptation}-multi")
        record = read_record(path)
        seeds = tuple(one.model_copy(update={"val_score": 0.1}) for one in record.training.seeds)
        training = record.training.model_copy(update={"seeds": seeds})
        write_json(path, content_of(record.model_copy(update={"training": training})))
    finding = finding_in(tmp_path)
    assert {cell.contrast for cell in finding.groups[BEST]} == {f"{MODEL} - m_two"}
    assert {cell.contrast for cell in finding.groups[MEDIAN]} == {f"{MODEL} - m_three"}
    assert [cell.counts for cell in finding.groups[BEST]] == [True] * 9
    assert finding.verdict == "refuted"
    assert finding.effect == pytest.approx(sum(cell.estimate for cell in finding.groups[BEST]) / 9)
    assert finding.groups[MEDIAN][0].estimate > 0


def test_models_that_see_red_green_and_blue_alone_stand_beside(tmp_path):
    plant(tmp_path, {MODEL: 0.0, "m_one": 0.0, "m_two": 0.0, "m_three": 0.0})
    frozen = ("upernet_w064_frozen_p100",)
    plant(tmp_path, {MODEL: 0.0, "mae_vits16": 0.03, "mae_vits16_rgb": -0.03}, frozen)
    finding = finding_in(tmp_path)
    cell = finding.groups[RGB][0]
    assert (cell.contrast, cell.counts) == (f"{MODEL} - mae_vits16_rgb", False)
    assert cell.estimate > 2
    assert len(finding.groups[BEST]) == 9, "frozen cells do not count"
    assert "minus the best RGB-only backbone +" in finding.why[1]


def test_an_absent_model_is_told(tmp_path):
    plant(tmp_path, {"m_one": 0.0, "m_two": 0.0, "m_three": 0.0})
    finding = finding_in(tmp_path)
    assert (finding.verdict, finding.cells) == ("not enough records", ())
    assert f"{MODEL} was fully tuned at 3 learning rates in 0 of 9 settings" in finding.why[0]
    plant(tmp_path, {MODEL: 0.0}, rates=(1e-3,))
    assert finding_in(tmp_path).verdict == "not enough records", "a single learning rate is no search"
    plant(tmp_path, {MODEL: 0.0})
    assert finding_in(tmp_path).verdict == "supported"


def test_one_rival_or_no_outcomes_are_not_enough(tmp_path):
    plant(tmp_path, {MODEL: 0.0, "m_one": 0.0})
    assert finding_in(tmp_path).verdict == "not enough records"
    plant(tmp_path, {"m_two": 0.0})
    assert finding_in(tmp_path).why[0].endswith("Missing: 1 backbone.")
    plant(tmp_path, {"m_three": 0.0})
    assert finding_in(tmp_path).verdict == "supported"
    plant(tmp_path, {MODEL: 0.0}, outcomes=False)
    finding = finding_in(tmp_path)
    assert finding.verdict == "not enough records"
    assert "Found: 0 cells" in finding.why[0]
    assert finding.why[0].endswith("9 cells without per-sample outcomes have no interval.")


def test_without_full_tuning_there_is_nothing_to_say(tmp_path):
    plant(tmp_path, {MODEL: 0.0, "m_one": 0.0}, ("lightms_frozen_p100",))
    assert finding_in(tmp_path) is None


def test_controls_are_no_rivals(tmp_path):
    plant(tmp_path, {MODEL: 0.0, "m_one": 0.0, "m_two": 0.0, "m_three": 0.0, "m_random": 0.3})
    for adaptation, task in itertools.product(ADAPTATIONS, DENSE_TASKS):
        path = record_path(tmp_path, "segment", f"m_random-{task}-{adaptation}-multi")
        record = read_record(path)
        case = record.case.model_copy(update={"markers": ("control",)})
        write_record(record.model_copy(update={"case": case, "outcomes_sha256": None}), None, tmp_path)
    finding = finding_in(tmp_path)
    assert finding.verdict == "supported"
    assert all("m_random" not in cell.contrast for cell in finding.cells)
