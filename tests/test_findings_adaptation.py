"""Finding 3 on planted records: what counts, what is set aside, what is only shown."""

import math

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.findings.adaptation import NEITHER, adaptation_matters
from geofm_eval.findings.costs import FROZEN_SAVES, SINGLE_SAVES, SINGLE_SMALLER
from geofm_eval.results.run import read_run
from geofm_eval.results.trainings import comparable_trainings
from tests.planted.findings import DENSE_TASKS, MODELS, decoders, singles, trained

CATALOG = load_catalog()


def finding_in(folder):
    return adaptation_matters(read_run(folder), CATALOG)


def groups_of(finding):
    return {name: (len(own), own[0].counts) for name, own in finding.groups.items()}


def scores_of(trained) -> np.ndarray:
    """(model, decoder, tuning, labels) in points."""
    scores = {cell.address[:2]: cell.score.value for cell in trained.cells}
    return np.array([
        [[[100 * scores[m, f"{h}_{t}_p{p}"] for p in ("010", "100")] for t in ("frozen", "full")] for h in HEADS]
        for m in MODELS
    ])  # fmt: skip


def distance(values: np.ndarray, axis: int) -> float:
    """Root mean square difference of two levels, in a loop over pairs."""
    moved = np.moveaxis(values, axis, 0)
    squares = [np.square(moved[i] - moved[j]).mean() for i in range(len(moved)) for j in range(i)]
    return math.sqrt(np.mean(squares))


def test_the_effect_is_the_difference_of_two_distances(tmp_path):
    decoders(tmp_path, backbone=0.02, decoder=0.06, tuning=0.03)
    finding = finding_in(tmp_path)
    trained = next(one for one in comparable_trainings(read_run(tmp_path))[0] if one.slug == "floods_sim-segment")
    table = scores_of(trained)
    base = distance(table, 0)
    for name, axis in (("decoder", 1), ("tuning", 2)):
        (cell,) = [one for one in finding.groups[name] if one.id == trained.slug]
        assert cell.estimate == pytest.approx(distance(table, axis) - base, abs=0.02)
        assert cell.contrast == f"{name} {distance(table, axis):.1f} - backbone {base:.1f}"
    mean = np.mean([cell.estimate for cell in finding.groups["decoder"]])
    assert (finding.verdict, finding.effect) == ("supported", pytest.approx(mean))
    assert finding.low < finding.effect < finding.high
    assert "Effect: decoder." in finding.why[0]
    assert "wrong adaptation with the best backbone +" in finding.why[1]


HEADS = ("upernet_w064", "lightms")


def test_noise_of_seeds_makes_no_adaptation_matter(tmp_path):
    """Without taking noise off, decoders that are alike would seem to lie apart."""
    decoders(tmp_path, backbone=0.03, decoder=0.0, tuning=0.0, noise=0.02)
    cells = finding_in(tmp_path).groups["decoder"]
    raw = [distance(scores_of(trained), 1) for trained in comparable_trainings(read_run(tmp_path))[0]]
    assert np.mean([float(cell.contrast.split()[1]) for cell in cells]) < 0.5 * np.mean(raw)
    assert all(cell.estimate < -1 for cell in cells)


def test_tuned_cells_without_a_search_are_set_aside_by_name(tmp_path):
    decoders(tmp_path, backbone=0.02, decoder=0.06, tuning=0.0, rates=(1e-3,), tasks=DENSE_TASKS[:1])
    finding = finding_in(tmp_path)
    # What is left is frozen: tuning does not vary any more.
    assert set(finding.groups) & {"decoder", "tuning"} == {"decoder"}
    sentence = finding.why[-1]
    assert "Excluded because they were tuned at fewer than 3 learning rates: m_one-floods_sim-" in sentence
    assert "m_one-floods_sim-lightms_full_p010-multi" in sentence
    assert sentence.endswith("and 8 more.")


def test_where_nothing_differs_by_a_point_nothing_is_decided(tmp_path):
    decoders(tmp_path, backbone=0.002, decoder=0.004, tuning=0.0, tasks=DENSE_TASKS[:1])
    finding = finding_in(tmp_path)
    assert finding.verdict == "not enough records"
    assert groups_of(finding)[NEITHER] == (2, False)
    assert "because no two levels differ by a point: floods_sim-segment." in finding.why[0]


def test_a_kind_of_adaptation_on_few_tasks_is_not_enough(tmp_path):
    decoders(tmp_path, backbone=0.02, decoder=0.06, tuning=0.0, tasks=DENSE_TASKS)
    finding = finding_in(tmp_path)
    assert finding.verdict == "not enough records"
    assert "Decoder: Found: 3 cells from 3 data sets and 3 backbones" in finding.why[0]
    assert "Missing: 2 cells." in finding.why[0]


def test_blocks_and_costs_stand_beside(tmp_path):
    singles(tmp_path, {"block05": 0.05, "block07": 0.0, "block11": 0.0}, MODELS[:2], DENSE_TASKS[:1])
    for model in ("m_one", "m_two"):
        for tuning in ("frozen", "full"):
            trained(tmp_path, model, f"upernet_w064_{tuning}_p100", "multi", 0.05)
    found = groups_of(finding_in(tmp_path))
    assert found["block"] == (1, False)
    costs = {
        group: finding_in(tmp_path).groups[group][0].estimate for group in (FROZEN_SAVES, SINGLE_SAVES, SINGLE_SMALLER)
    }
    assert costs == {FROZEN_SAVES: 50.0, SINGLE_SAVES: 0.0, SINGLE_SMALLER: 0.0}
    assert not any(found[group][1] for group in costs)


def test_controls_variants_and_variants_of_tasks_take_no_part(tmp_path):
    decoders(tmp_path, 0.02, 0.06, 0.0, models=("pocket_mae", "pocket_contrast"), tasks=("sen1floods11_sim",))
    plain = finding_in(tmp_path)
    decoders(tmp_path, 0.2, 0.0, 0.0, models=("pocket_mae_seed1",), tasks=("sen1floods11_sim",))
    assert [cell.contrast for cell in finding_in(tmp_path).cells] == [cell.contrast for cell in plain.cells]


def test_one_way_to_use_backbones_is_no_record_of_it(tmp_path):
    for model in ("m_one", "m_two"):
        trained(tmp_path, model, "lightms_frozen_p100", "multi", 0.0)
    assert finding_in(tmp_path) is None
    trained(tmp_path, "m_one", "lightms_full_p100", "multi", 0.0)
    assert finding_in(tmp_path).verdict == "not enough records"
