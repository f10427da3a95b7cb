"""Factorials of planted records, and what wrong choices in them cost, against a search by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.factors.explained import error_of, trained_shares
from geofm_eval.factors.factorial import probed_factorial, replicates, trained_factorial
from geofm_eval.factors.regret import ADAPTATION, regrets
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import read_run
from geofm_eval.results.trainings import comparable_trainings
from geofm_eval.stats.counts import count_score
from tests.planted.findings import DENSE_TASKS, MODELS, decoders, probe, singles, trained

CATALOG = load_catalog()


def cells_in(folder):
    (trained,) = comparable_trainings(read_run(folder))[0]
    return trained.cells


@pytest.fixture
def planted(tmp_path):
    decoders(tmp_path, backbone=0.02, decoder=0.04, tuning=-0.01, tasks=DENSE_TASKS[:1])
    trained(tmp_path, "m_one", "lightms_lora_p100", "multi", 0.2)
    trained(tmp_path, "m_one", "lightms_frozen_p100_up2", "multi", 0.2)
    return tmp_path


def test_the_factorial_is_complete_and_names_what_is_left_out(planted):
    made = trained_factorial(cells_in(planted), CATALOG)
    assert made.names == ("backbone", "decoder", "tuning", "labels")
    assert made.shape == (3, 2, 2, 2)
    assert made.left_out == ("tuning: lora",)
    for levels, cell in zip(made.combinations(), made.cells, strict=True):
        head, tuning = cell.adaptation.head, cell.adaptation.tuning
        assert levels == (cell.model, head, tuning, f"{cell.adaptation.fraction * 100:g} %")
    again = trained_factorial(list(reversed(cells_in(planted))), CATALOG)
    assert [one.record.case.id for one in again.cells] == [one.record.case.id for one in made.cells]


def test_scores_have_no_say_in_what_is_compared(planted):
    cells = cells_in(planted)
    rng = np.random.default_rng(0)
    other = []
    for cell in cells:
        score = cell.score.model_copy(update={"value": float(rng.random()), "per_draw": tuple(rng.random(3).tolist())})
        other.append(replace(cell, record=cell.record.model_copy(update={"scores": {cell.fraction: score}})))
    names = [[c.record.case.id for c in trained_factorial(some, CATALOG).cells] for some in (cells, other)]
    assert names[0] == names[1]


def test_cells_with_another_number_of_seeds_are_named(planted):
    cells = list(cells_in(planted))
    at = next(n for n, cell in enumerate(cells) if cell.address == ("m_one", "lightms_full_p010", "multi"))
    score = cells[at].score.model_copy(update={"per_draw": cells[at].score.per_draw[:2]})
    cells[at] = replace(cells[at], record=cells[at].record.model_copy(update={"scores": {cells[at].fraction: score}}))
    made = trained_factorial(cells, CATALOG)
    assert made.shape == (2, 2, 2, 2)
    assert made.left_out == ("backbone: m_one", "tuning: lora", "1 cell without 3 seeds")


def test_one_decoder_on_several_blocks_varies_the_block(tmp_path):
    singles(tmp_path, {"block05": 0.0, "block07": 0.01, "block11": 0.0}, MODELS[:2], DENSE_TASKS[:1])
    made = trained_factorial(cells_in(tmp_path), CATALOG)
    assert made.names == ("backbone", "block", "tuning", "labels")
    assert made.factors[1].levels[0] == "single_w064 on block05 of 12"


def test_nothing_varies(tmp_path):
    trained(tmp_path, "m_one", "lightms_frozen_p100", "multi", 0.0)
    trained(tmp_path, "m_two", "lightms_frozen_p100", "multi", 0.0)
    assert trained_factorial(cells_in(tmp_path), CATALOG) is None
    assert trained_factorial((), CATALOG) is None


def test_probes_vary_backbone_layer_and_the_labels_that_have_draws(tmp_path):
    for model in ("m_one", "m_two"):
        probe(tmp_path, model, "t_one", 0.0)
    (found,) = comparisons(read_run(tmp_path))[0]
    made = probed_factorial(found.subjects)
    assert (made.names, made.shape) == (("backbone", "layer"), (2, 4))
    assert made.fixed == {"labels": "10 %"}
    assert made.left_out == ("labels: 100 %", "8 cells without 5 draws")


def test_the_error_of_a_cell_is_that_of_its_own_jackknife(planted):
    made, pairs = trained_factorial(cells_in(planted), CATALOG), Pairs(planted)
    error = error_of(made, pairs)
    counts = pairs.counts(made.cells[5].record, made.cells[5].fraction)
    without = np.array([count_score(np.delete(counts, unit, 1), "miou").mean() for unit in range(24)])
    assert error.items[5, 5] == pytest.approx(23 / 24 * np.square(without - without.mean()).sum())
    assert error.seeds[5] == pytest.approx(np.var(made.cells[5].score.per_draw, ddof=1) / 3)
    assert (error.units, error.trainings, len(error.items)) == (24, 3, 24)


def test_a_label_fraction_that_does_not_vary_is_named_all_the_same(planted):
    made = trained_factorial([cell for cell in cells_in(planted) if cell.adaptation.fraction == 1], CATALOG)
    assert (made.names, made.fixed) == (("backbone", "decoder", "tuning"), {"labels": "100 %"})
    found = regrets(made, None)
    assert {one.labels for one in found} == {"100 %"}
    assert [one.best for one in found] == ["m_three, lightms, frozen"] * 4


def test_regret_is_what_a_search_by_hand_finds(planted):
    made = trained_factorial(cells_in(planted), CATALOG)
    found = {(one.labels, one.factor): one for one in regrets(made, error_of(made, Pairs(planted)))}
    assert len(found) == 8
    table = {levels: cell for levels, cell in zip(made.combinations(), made.cells, strict=True) if levels[3] == "100 %"}
    best = max(table, key=lambda levels: table[levels].validated)
    assert best == ("m_three", "lightms", "frozen", "100 %")
    for name, axes in (("backbone", [0]), ("decoder", [1]), ("tuning", [2]), (ADAPTATION, [1, 2])):
        kept, again = [], []
        rest = [axis for axis in range(3) if axis not in axes]
        wrong = {tuple(one[axis] for axis in axes) for one in table} - {tuple(best[axis] for axis in axes)}
        for level in wrong:
            own = [one for one in table if tuple(one[axis] for axis in axes) == level]
            first = max(own, key=lambda one: table[one].validated)
            same = next(one for one in own if all(one[axis] == best[axis] for axis in rest))
            again.append(table[best].score.value - table[first].score.value)
            kept.append(table[best].score.value - table[same].score.value)
        regret = found["100 %", name]
        assert (regret.best, regret.wrong) == ("m_three, lightms, frozen", len(wrong))
        assert regret.kept.mean.value == pytest.approx(np.mean(kept))
        assert regret.rechosen.mean.value == pytest.approx(np.mean(again))
        assert regret.kept.mean.low < regret.kept.mean.value < regret.kept.mean.high
    last = found["100 %", "backbone"].kept
    assert (last.name, found["100 %", "tuning"].kept.name) == ("m_one", "full")
    assert last.last.value > last.mean.value > 0


def test_a_loss_is_positive_where_less_is_better(planted):
    made = trained_factorial(cells_in(planted), CATALOG)
    turned = []
    for cell in made.cells:
        score = cell.score.model_copy(update={"direction": "lower", "value": 1 - cell.score.value})
        training = cell.record.training
        seeds = tuple(one.model_copy(update={"val_score": 1 - one.val_score}) for one in training.seeds)
        update = {"scores": {cell.fraction: score}, "training": training.model_copy(update={"seeds": seeds})}
        turned.append(replace(cell, record=cell.record.model_copy(update=update)))
    plain, other = (regrets(replace(made, cells=tuple(cells)), None) for cells in (made.cells, turned))
    assert [one.kept.mean.value for one in other] == pytest.approx([one.kept.mean.value for one in plain])
    assert all(one.kept.mean.low is None for one in other)


def test_without_outcomes_there_are_shares_and_no_intervals(tmp_path):
    decoders(tmp_path, backbone=0.02, decoder=0.04, tuning=0.0, outcomes=False, tasks=DENSE_TASKS[:1])
    made = trained_factorial(cells_in(tmp_path), CATALOG)
    found = trained_shares(made, Pairs(tmp_path))
    assert {(one.low, one.high) for one in found} == {(None, None)}
    values = {one.effect: one.value for one in found}
    assert values["decoder",] > values["backbone",] > values["tuning",]
    assert error_of(made, Pairs(tmp_path)) is None


def test_shares_of_planted_decoders_follow_their_logits(planted):
    made = trained_factorial(cells_in(planted), CATALOG)
    found = {one.effect: one for one in trained_shares(made, Pairs(planted))}
    scores = replicates([cell.score for cell in made.cells]).mean(1)
    means = np.log(scores / (1 - scores)).reshape(made.shape)
    for axis, name in enumerate(made.names):
        others = tuple(one for one in range(4) if one != axis)
        assert found[name,].value == pytest.approx(means.mean(others).var() / means.var(), abs=0.01)
        assert found[name,].low <= found[name,].value <= found[name,].high
    assert len(found) == sum(1 for size in range(1, 5) for _ in itertools.combinations(range(4), size))
