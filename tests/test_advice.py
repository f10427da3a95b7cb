"""Advice: every sentence follows from planted records, and nothing is advised without them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from geofm_eval.advice import advise
from geofm_eval.advice.tuning import _losses
from geofm_eval.advice.validation import standard_error
from geofm_eval.catalog import load_catalog
from geofm_eval.cli import app
from geofm_eval.errors import ContractError, DataError
from geofm_eval.records import Outcome, Reverted, Score, content_of, read_record, write_record
from geofm_eval.report.advice import advised
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.reselected import reselect
from geofm_eval.results.run import read_run
from geofm_eval.store import write_json
from tests.planted.advice import MODEL, TAPS, TASK, drift, probe, probes, timing, trained
from tests.planted.taps import planted_taps, right_items

CATALOG = load_catalog()
FLAT = (0.5, 0.6, 0.6, 0.6, 0.6)
RISING = (0.50, 0.60, 0.71, 0.72, 0.73)


def said(run, task=TASK, model=MODEL):
    return advised(run, CATALOG, task, model).text()


def only(run):
    (found,) = advise(read_run(run), TASK, MODEL)
    return found


# What is as good on validation.


def planted(run, levels, seed=0):
    rng = np.random.default_rng(seed)
    return planted_taps(run, right_items(rng, levels, 400, own=0.1), right_items(rng, levels, 500, own=0.1))


def test_taps_that_are_as_good_on_validation_are_named_and_the_shallowest_is_where_to_cut(tmp_path):
    subject = planted(tmp_path, (0.4, 0.6, 0.6, 0.6, 0.6))
    again = reselect(subject, "1.0", Pairs(tmp_path))
    text, (cut,) = said(tmp_path), only(tmp_path).cuts
    assert len(again.near) > 1
    assert f"within one standard error on validation: {again.words}" in text
    assert cut.tap == again.near[0]
    assert cut.error.value == again.errors[again.taps.index(cut.tap)]
    assert "standard error: paired difference over 200 resamples of 100 validation samples" in text
    reading = json.loads(advised(tmp_path, CATALOG, TASK, MODEL).json())["models"][0]["readings"][0]
    assert reading["again"]["near"] == list(again.near)


def test_the_paired_error_allows_less_than_that_of_the_best_score(tmp_path):
    subject = planted(tmp_path, (0.4, 0.56, 0.58, 0.6, 0.62))
    record = subject.taps["final"]
    (cut,) = only(tmp_path).cuts
    assert cut.error.value < 0.6 * standard_error(record, "1.0").value


def test_where_nothing_shallower_is_near_the_error_is_the_largest_of_theirs(tmp_path):
    subject = planted(tmp_path, (0.2, 0.3, 0.4, 0.5, 0.8))
    again = reselect(subject, "1.0", Pairs(tmp_path))
    (cut,) = only(tmp_path).cuts
    assert again.near == ("final",)
    assert cut.at_end
    assert cut.error.value == max(again.errors[:-1]) > 0
    assert "do not cut: no shallower tap is within one standard error" in said(tmp_path)


# Which block to read from.


def test_a_tap_that_is_better_than_final_is_to_be_read(tmp_path):
    text = said(probes(tmp_path / "r", (0.5, 0.7, 0.8, 0.7, 0.6), (0.5, 0.7, 0.8, 0.7, 0.6)))
    assert "linear probe, all labels: read block01: best of 5 taps on validation, and better than" in text
    assert "validation 80.0, test accuracy (%) 80.0; final 60.0, difference +20.0 [+16." in text


def test_without_a_gain_reading_elsewhere_is_not_shown_to_help(tmp_path):
    text = said(probes(tmp_path / "r", (0.5, 0.7, 0.8, 0.7, 0.6), (0.5, 0.6, 0.61, 0.6, 0.6), noise=0.2))
    assert "block01 is best of 5 taps on validation; a gain over final is not shown" in text


def test_where_test_contradicts_validation_final_is_to_be_read(tmp_path):
    run = probes(tmp_path / "r", (0.5, 0.7, 0.8, 0.7, 0.6), (0.5, 0.6, 0.5, 0.6, 0.6))
    assert only(run).readings[0].shows == "worse"
    assert "read final: block01 is best of 5 taps on validation, but worse on the test split" in said(run)


def test_final_may_be_what_validation_chooses(tmp_path):
    text = said(probes(tmp_path / "r", RISING, RISING))
    assert "linear probe, all labels: read final: best of 5 taps on validation\n" in text
    assert "validation 73.0, test accuracy (%) 73.0\n" in text


def test_without_outcomes_there_is_no_interval_and_no_claim(tmp_path):
    run = probes(tmp_path / "r", (0.5, 0.7, 0.8, 0.7, 0.6), (0.5, 0.7, 0.8, 0.7, 0.6), outcomes=False)
    text = said(run)
    assert "a gain over final is not shown, because the difference has no interval" in text
    assert "difference +20.0 without an interval" in text
    assert f"problem: {MODEL}-{TASK}-linear-block01 has no per-sample outcomes" in text


def test_a_tenth_of_the_labels_is_named_where_it_chooses_otherwise(tmp_path):
    run = tmp_path / "r"
    for few, same in ((FLAT, False), (RISING, True)):
        for tap, val, other in zip(TAPS, RISING, few, strict=True):
            whole = probe(run, tap, [val], val)
            probe(run, tap, [other] * 3, other, fraction=0.1, n_val=40, kept=whole)
        fractions = [(one.fraction, one.tap) for one in only(run).readings]
        assert fractions == ([(1.0, "final")] if same else [(1.0, "final"), (0.1, "block00")])
        assert ("10 % of the labels: block00 is best of" in said(run)) is not same


def test_decoders_of_one_level_say_which_block_they_read_best(tmp_path):
    run = tmp_path / "r"
    for layer, right, val in (("block00", 0.7, 0.7), ("block01", 0.85, 0.8), ("block02", 0.7, 0.7)):
        trained(run, "single_w064_frozen_p100", layer, right, val)
    trained(run, "single_w064_frozen_p100", "chosen", 0.99, 0.99)
    trained(run, "single_w064_full_p100", "block02", 0.7, 0.7)
    text = said(run)
    assert "decoder single_w064, frozen, all labels: read block01: best of 3 taps on validation, and better" in text
    assert "better than block02" in text
    assert "single_w064, full" not in text, "one block is no choice"
    assert "depth to cut at\n    no advice: no record of the linear or ridge probe" in text


# How sure a validation score is.


def test_the_error_of_an_accuracy_is_binomial(tmp_path):
    record = probe(tmp_path / "r", "final", [0.8], 0.8, n_val=400)
    assert standard_error(record, "1.0").value == pytest.approx(math.sqrt(0.8 * 0.2 / 400))
    assert standard_error(record, "1.0").method == "binomial, 400 validation samples"
    draws = probe(tmp_path / "r", "final", [0.7, 0.9], 0.8, fraction=0.1, n_val=40, kept=record)
    expected = math.sqrt(0.8 * 0.2 * (0.9 / 80 + 1 / 400))
    assert standard_error(draws, "0.1").value == pytest.approx(expected)
    assert standard_error(draws, "0.1").method == "binomial, 2 x 40 of 400 validation samples"
    shared = probe(tmp_path / "r", "final", [0.7, 0.9], 0.8, fraction=0.1, n_val=400, recipe={"val_budget": "full"})
    assert standard_error(shared, "0.1").value == pytest.approx(math.sqrt(0.8 * 0.2 / 400))
    perfect = standard_error(probe(tmp_path / "r", "final", [1.0], 0.8), "1.0")
    assert (perfect.value, perfect.method[:18]) == (None, "all or none of 400")


@pytest.mark.parametrize(("share", "draws"), [(0.1, 5), (0.5, 5), (0.9, 40)])
def test_the_error_from_the_spread_over_draws_is_that_of_their_mean(share, draws, tmp_path):
    """Many times: N items of a population, D draws of qN of them; the mean of draws has the error that is claimed."""
    rng, pool = np.random.default_rng(0), 100
    means, claimed = [], []
    record = probe(tmp_path / "r", "final", [0.0] * draws, 0.5, metric="r2", n_val=10, fraction=share)
    for _ in range(300):
        items = rng.normal(0, 1, pool)
        vals = [rng.choice(items, round(share * pool), replace=False).mean() for _ in range(draws)]
        choices = tuple(
            replace(one, val_score=value, n_val=round(share * pool))
            for one, value in zip(record.selection.choices, vals, strict=True)
        )
        selection = record.selection.model_copy(update={"choices": choices})
        found = standard_error(record.model_copy(update={"selection": selection}), repr(share))
        means.append(np.mean(vals))
        claimed.append(found.value**2)
    assert math.sqrt(np.mean(claimed)) == pytest.approx(np.std(means), rel=0.12)
    assert found.method == f"spread over {draws} label draws, each validated on {100 * share:.0f} % of the samples"


def test_shuffles_are_subsamples_of_nine_tenths(tmp_path):
    vals = [0.5, 0.6, 0.4, 0.5]
    record = probe(tmp_path / "r", "final", vals, 0.5, metric="r2", n_val=90, protocol="shuffle_splits")
    found = standard_error(record, "1.0")
    assert found.value == pytest.approx(math.sqrt(np.var(vals, ddof=1) * (1 / 4 + 9)))
    assert found.method == "spread over 4 shuffles, each validated on 90 % of the samples"


@pytest.mark.parametrize(
    ("vals", "more", "why"),
    [
        ([0.5], {}, "a single validation r2 has no spread; several label draws are needed"),
        ([0.5, 0.6], {"fraction": 0.1, "recipe": {"val_budget": "full"}}, "the 2 label draws are not known to have"),
        ([0.5], {"protocol": "shuffle_splits"}, "a single validation r2 has no spread; several shuffles are needed"),
    ],
)
def test_with_nothing_to_compute_an_error_from_no_cut_is_advised(vals, more, why, tmp_path):
    for tap in TAPS:
        record = probe(tmp_path / "r", tap, vals, 0.5, metric="r2", **more)
    assert standard_error(record, repr(more.get("fraction", 1.0))).value is None
    text = said(tmp_path / "r")
    labels = "10 % of the labels" if "fraction" in more else "all labels"
    assert f"depth to cut at\n    no advice with {labels}: " in text
    assert why in text


# At which depth to cut.


def test_the_shallowest_tap_within_one_error_of_the_best_is_the_cut(tmp_path):
    # The error of .73 on 400 items is .0222: block01 is within it, block00 is not.
    run = probes(tmp_path / "r", RISING, (0.50, 0.60, 0.62, 0.72, 0.73))
    (cut,) = only(run).cuts
    assert (cut.tap, cut.best, cut.shows) == ("block01", "final", "worse")
    assert cut.error.value == pytest.approx(math.sqrt(0.73 * 0.27 / 400))
    text = said(run)
    assert "can be cut after block01, with a loss: its validation score is within one standard error (2.2) of" in text
    assert "final 73.0, difference -11.0 [-14.1, -8.5]: a loss" in text


def test_the_test_split_does_not_decide_where_to_cut(tmp_path):
    cuts = [
        only(probes(tmp_path / name, RISING, tests)).cuts[0]
        for name, tests in (("a", (0.9, 0.1, 0.1, 0.9, 0.2)), ("b", (0.1, 0.9, 0.9, 0.1, 0.9)))
    ]
    assert {cut.tap for cut in cuts} == {"block01"}
    assert [cut.shows for cut in cuts] == ["worse", "not_shown"]


def test_a_loss_that_cannot_be_told_from_none_is_not_shown(tmp_path):
    text = said(probes(tmp_path / "r", RISING, (0.5, 0.6, 0.72, 0.72, 0.73), noise=0.2))
    assert "can be cut after block01: its validation score is within one standard error (2.2) of the best" in text
    assert "]: a loss is not shown" in text
    text = said(probes(tmp_path / "s", RISING, (0.5, 0.6, 0.72, 0.72, 0.73), outcomes=False))
    assert "without an interval: whether this is a loss is unknown" in text


def test_the_best_tap_may_be_the_shallowest_and_the_end_cannot_be_cut(tmp_path):
    text = said(probes(tmp_path / "r", (0.5, 0.8, 0.7, 0.7, 0.7), FLAT))
    assert "cut after block00: best on validation, and no shallower tap is within one standard error (2.0)" in text
    text = said(probes(tmp_path / "s", (0.5, 0.6, 0.6, 0.6, 0.8), FLAT))
    assert "do not cut: no shallower tap is within one standard error (2.0) of final (80.0) on validation" in text
    assert "saving unknown" not in text
    text = said(probes(tmp_path / "t", (0.5, 0.6, 0.6, 0.79, 0.8), FLAT))
    assert "do not cut: no tap before the last block (block02) is within one standard" in text
    assert "saving unknown" not in text


def test_without_timings_the_command_that_makes_them_is_named(tmp_path):
    assert (
        "saving unknown: the run has no timings; run: pytest benchmarks/test_throughput.py --run r --resume "
        f"--models {MODEL} --tasks {TASK}" in said(probes(tmp_path / "r", RISING, RISING))
    )


def test_a_cut_saves_what_was_timed_there_or_at_least_what_was_timed_below(tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)  # cut after block01
    timing(run, "block02", 10.0, 900_000)
    text = said(run)
    assert "saves at least 0 % of the time and at least 10 % of the parameters (10.0 of 10.0 ms per batch" in text
    assert "until block02, the next deeper timed block; 800 instead of 800 images/s; " in text
    timing(run, "block01", 6.0, 700_000)
    timing(run, "block00", 3.0, 500_000)
    (saving,) = [cut.saving for cut in only(run).cuts]
    assert (saving.layer, saving.exact) == ("block01", True)
    assert (saving.time, saving.numbers) == pytest.approx((0.4, 0.3))
    assert "saves 40 % of the time and 30 % of the parameters (6.0 of 10.0 ms per batch until block01; " in said(run)
    timing(run, "block01", 6.0, None)
    assert "saves 40 % of the time (6.0 of 10.0 ms per batch until block01; 1,333 instead of 800 images" in said(run)


def test_timings_that_do_not_serve_are_refused_with_the_reason(tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)
    timing(run, "block00", 3.0, 500_000)
    assert "timings stop at block00, but the last block is block02" in said(run)
    timing(run, "block02", 10.0, 900_000, device="another CPU")
    assert "timings are from several devices (another CPU, one CPU)" in said(run)
    other = probes(tmp_path / "s", RISING, RISING)
    for layer, time in (("block01", 6.0), ("block02", 10.0)):
        timing(other, layer, time, 700_000, task="neuco_sim_crops")
    assert "inputs of neuco_sim_crops on one CPU" in said(other), "there are none of the task itself"


# What to tune.


def test_the_tuning_is_chosen_on_validation_and_its_worth_is_read_on_test(tmp_path):
    run = tmp_path / "r"
    for tuning, right, val in (("frozen", 0.7, 0.70), ("full", 0.8, 0.80), ("lora", 0.9, 0.75), ("lora_fc1", 0.7, 0.6)):
        trained(run, f"lightms_{tuning}_p100", "multi", right, val)
    text = said(run)
    assert "lightms (multi), all labels, 3 seeds: tune full: best on validation, and better than froz" in text
    (choice,) = only(run).tunings
    assert [one.tuning for one in choice.tunings] == ["full", "lora", "frozen", "lora_fc1"]
    assert choice.chosen.over_frozen.low > 0
    assert choice.chosen.trained_parameters == 200_000
    assert "0.200 M" in text


def test_what_is_not_shown_or_contradicted_is_said(tmp_path):
    run = tmp_path / "r"
    trained(run, "pooled_frozen_p100", "final", 0.7, 0.70, kind="tune")
    trained(run, "pooled_lora_p100", "final", 0.701, 0.75, kind="tune", spread=0.03)
    assert "pooled, all labels, 3 seeds: lora is best on validation; a gain over frozen is not shown" in said(run)
    trained(run, "pooled_lora_p100", "final", 0.5, 0.75, kind="tune")
    assert "leave it frozen: lora is best on validation, but worse on the test split" in said(run)
    trained(run, "pooled_lora_p100", "final", 0.9, 0.65, kind="tune")
    assert "leave it frozen: best on validation; on the test split lora is better" in said(run)
    trained(run, "pooled_lora_p100", "final", 0.9, 0.75, kind="tune", outcomes=False)
    assert "a gain over frozen is not shown, because the difference has no interval" in said(run)


def test_of_equal_tunings_the_one_that_trains_least_is_taken(tmp_path):
    for tuning, size in (("full", 900), ("lora", 200), ("frozen", 100)):
        trained(tmp_path / "r", f"lightms_{tuning}_p100", "multi", 0.7, 0.7, size=size)
    assert [one.tuning for one in only(tmp_path / "r").tunings[0].tunings] == ["frozen", "lora", "full"]


def test_the_head_with_most_tunings_stands_for_a_label_fraction(tmp_path):
    run = tmp_path / "r"
    for slug, val in (
        ("lightms_frozen_p010", 0.6), ("lightms_full_p010", 0.6), ("upernet_w064_frozen_p010", 0.5),
        ("upernet_w064_full_p010", 0.7), ("lightms_frozen_p100", 0.6), ("lightms_full_p100", 0.6),
        ("lightms_lora_p100", 0.6), ("upernet_w064_frozen_p100", 0.9), ("upernet_w064_full_p100", 0.9),
        ("lightms_full_p010_long", 0.99),
    ):  # fmt: skip
        trained(run, slug, "multi", 0.7, val)
    assert [(one.head, one.fraction, len(one.tunings)) for one in only(run).tunings] == [
        ("lightms (multi)", 1.0, 3),
        ("upernet_w064 (multi)", 0.1, 2),
    ]


def test_trainings_that_may_not_be_compared_advise_nothing(tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)
    assert f"what to tune\n    no advice: no trained case of {MODEL} on {TASK}" in said(run)
    trained(run, "lightms_full_p100", "multi", 0.7, 0.7)
    assert "no head was trained on both the frozen and a tuned backbone" in said(run)
    trained(run, "lightms_frozen_p100", "multi", 0.7, 0.7, schedule="pangaea")
    assert f"trained cases of {MODEL} differ in schedule and are not comparable" in said(run)


# Which tuned parts matter.


def test_parts_matter_whose_loss_is_above_zero_over_seeds_and_items(tmp_path):
    run = tmp_path / "r"
    trained(run, "lightms_frozen_p100", "multi", 0.7, 0.70)
    trained(run, "lightms_full_p100", "multi", 0.8, 0.80)
    lost = {
        "fc1": ([0.050, 0.052, 0.048], 0.004),
        "norm1": ([0.001, -0.001, 0.0005], 0.004),
        "fc2": ([0.050, 0.052, 0.048], 0.040),  # its items do not agree
        "attn_proj": ([0.10, -0.02, 0.03], 0.001),  # its seeds do not agree
        "block01": ([0.030, 0.031, 0.029], 0.002),
        "all": ([0.1, 0.1, 0.1], 0.01),
    }
    drift(run, "lightms_full_p100", lost)
    drift(run, "lightms_lora_p100", {"fc1": ([0.5, 0.5, 0.5], 0.0)})
    text = said(run)
    assert "these matter: fc1 of all blocks +5.0 [+4.1, +5.9], block01 +3.0 [+2.6, +3.4]\n" in text
    assert "after Holm over all 5 that were tried; each interval is for one part" in text
    assert "lightms_full_p100, loss of accuracy (%) when a part is put back to its frozen weights (3 seeds, 24" in text
    assert "whole backbone: +10.0 [+8.0, +12.0]" in text


def test_a_part_among_twenty_is_not_named_for_an_interval_that_leaves_zero_out(tmp_path):
    lost = {f"block{k:02d}": ([0.001 * (-1) ** k, 0.0, -0.001 * (-1) ** k], 0.004) for k in range(19)}
    drift(tmp_path / "r", "lightms_full_p100", {**lost, "fc1": ([0.010, 0.011, 0.009], 0.004)})
    text = said(tmp_path / "r")
    assert "no single part is shown to matter (Holm over 20); largest loss: fc1 of all blocks +0.010 [+0.002" in text
    drift(tmp_path / "alone", "lightms_full_p100", {"fc1": ([0.010, 0.011, 0.009], 0.004)})
    assert "these matter: fc1 of all blocks +0.010 [+0.002" in said(tmp_path / "alone")


def test_one_list_in_twenty_at_most_names_a_part_that_does_not_matter():
    rng = np.random.default_rng(0)
    lists, named = 400, 0
    for _ in range(lists):
        shared, noise = 0.01 * rng.standard_normal(20), 0.01 * rng.standard_normal((20, 3))
        lost = {f"block{k:02d}": Reverted(per_seed=tuple(shared[k] + noise[k]), error=0.01) for k in range(20)}
        named += any(one.matters for one in _losses(lost, 300))
    # Chosen one by one, 40 % of the lists would name one; 5 % and three standard errors are allowed here.
    assert named <= lists * (0.05 + 3 * (0.05 * 0.95 / lists) ** 0.5)


def test_the_parts_are_those_of_the_head_that_is_advised(tmp_path):
    run = tmp_path / "r"
    trained(run, "upernet_w064_frozen_p100", "multi", 0.7, 0.70)
    trained(run, "upernet_w064_full_p100", "multi", 0.8, 0.80)
    for head in ("lightms", "upernet_w064"):
        drift(run, f"{head}_full_p100", {"fc1": ([0.050, 0.052, 0.048], 0.004)})
    assert "upernet_w064_full_p100, loss of accuracy (%)" in said(run)


def test_where_no_part_matters_alone_that_is_said(tmp_path):
    drift(tmp_path / "r", "lightms_full_p100", {"fc1": ([0.01, -0.01, 0.02], 0.01), "norm1": ([0, 0, 0], 0.0)})
    text = said(tmp_path / "r")
    assert "no single part is shown to matter (Holm over 2); largest loss: fc1 of all blocks +0.007 [-0.0" in text


def test_a_single_seed_shows_no_part(tmp_path):
    drift(tmp_path / "r", "lightms_full_p100", {"fc1": ([0.1], 0.01)})
    assert "no part is shown to matter: a single seed, or no error over samples" in said(tmp_path / "r")
    drift(tmp_path / "r", "lightms_full_p100", {})
    assert f"no drift record of {MODEL} on {TASK} has scores with reverted parts" in said(tmp_path / "r")


# Bad input, and what stands around the advice.


def test_simulated_evidence_says_so_and_controls_are_named_apart(tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)
    probes(run, RISING, RISING, model="pocket_random")
    found = advised(run, CATALOG, TASK)
    assert found.text().startswith(f"SIMULATED DATA: advice for {CATALOG.task(TASK).title} ({TASK}) from run r\n")
    assert "Simulated data: these numbers exercise the tool and say nothing about real imagery." in found.opening
    assert [one.model for one in found.advices] == [MODEL]
    assert found.opening[-1] == "Controls get advice only if --model names them: pocket_random."
    assert said(run, model="pocket_random").count("\npocket_random on eurosat_sim\n") == 1


@pytest.mark.parametrize(
    ("task", "model", "message"),
    [
        ("eurosat_simm", None, f"run r has no records of task 'eurosat_simm'; did you mean {TASK}"),
        ("floods", None, f"it has: {TASK}"),
        (TASK, "pocket_may", f"no records of model 'pocket_may' on {TASK}; did you mean {MODEL}"),
    ],
)
def test_unknown_names_are_answered_with_those_that_are_there(task, model, message, tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)
    with pytest.raises(ContractError, match=message.replace("?", r"\?")):
        advised(run, CATALOG, task, model)


def test_runs_without_a_result_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such run"):
        advised(tmp_path / "none", CATALOG, TASK)
    timing(tmp_path / "timed", "block02", 10.0, 1)
    with pytest.raises(ContractError, match=f"no records of task '{TASK}'; it has: none"):
        advised(tmp_path / "timed", CATALOG, TASK)
    record = probe(tmp_path / "failed", "final", [0.7], 0.7)
    stopped = Outcome(status="error", verdict="no_range", reason="DataError: a.tif is cut short")
    write_record(record.model_copy(update={"outcome": stopped, "scores": {}}), None, tmp_path / "failed")
    with pytest.raises(ContractError, match=r"no case of eurosat_sim in run failed has a result: DataError: a\.tif"):
        advised(tmp_path / "failed", CATALOG, TASK)
    probes(tmp_path / "controls", RISING, RISING, model="pocket_random")
    with pytest.raises(
        ContractError, match=r"only controls and marked models on eurosat_sim \(pocket_random\): name one with --model"
    ):
        advised(tmp_path / "controls", CATALOG, TASK)


def test_taps_of_two_recipes_or_weights_or_with_gaps_advise_nothing(tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)
    probe(run, "block01", [0.71], 0.71, recipe={"slug": "pangaea"})
    assert "no advice: its taps differ in recipe and are not comparable: run it under" in said(run)
    probe(run, "block01", [0.71], 0.71, weights_sha256="b" * 64)
    assert "its taps were measured with different weights (sha256 aaaaaaaaaaaa, bbbbbbbbbbbb)" in said(run)
    record = probe(run, "block01", [0.71], 0.71)
    stopped = Outcome(status="error", verdict="no_range", reason="out of memory")
    write_record(record.model_copy(update={"outcome": stopped, "scores": {}}), None, run)
    assert "1 tap without a score (block01: error: out of memory)" in said(run)
    probe(tmp_path / "s", "final", [0.71], 0.71)
    assert "only one tap was measured (final), so there is no choice" in said(tmp_path / "s")


def test_json_holds_all_of_it_and_unknown_is_null(tmp_path):
    run = probes(tmp_path / "r", (0.5, 0.7, 0.8, 0.7, 0.6), (0.5, 0.7, 0.8, 0.7, 0.6))
    timing(run, "block01", 6.0, None)
    timing(run, "block02", 10.0, None)
    trained(run, "lightms_frozen_p100", "multi", 0.7, 0.70)
    trained(run, "lightms_full_p100", "multi", 0.8, 0.80)
    drift(run, "lightms_full_p100", {"fc1": ([0.050, 0.052, 0.048], 0.004)})
    (found,) = json.loads(advised(run, CATALOG, TASK).json())["models"]
    assert (found["model"], found["evidence"]) == (MODEL, "simulated")
    (reading,) = found["readings"]
    assert (reading["tap"], reading["shows"], reading["test"]["value"]) == ("block01", "better", 0.8)
    (cut,) = found["cuts"]
    assert (cut["tap"], cut["saving"]["parameters"], cut["saving"]["layer"]) == ("block01", None, "block01")
    assert found["tunings"][0]["tunings"][0]["tuning"] == "full"
    assert found["parts"]["parts"][0]["matters"] is True
    assert found["missing"] == {}


def test_the_command_line_prints_advice_and_refuses_in_one_sentence(tmp_path):
    run = probes(tmp_path / "r", RISING, RISING)
    done = CliRunner().invoke(app, ["advise", str(run), "--task", TASK])
    assert done.exit_code == 0
    assert f"{MODEL} on {TASK}\n  block to read from\n" in done.stdout
    done = CliRunner().invoke(app, ["advise", str(run), "--task", TASK, "--json"])
    assert json.loads(done.stdout)["run"] == "r"
    done = CliRunner().invoke(app, ["advise", str(run), "--task", TASK, "--confirm"])
    assert isinstance(done.exception, ContractError)
    assert str(done.exception) == "--confirm builds one backbone; name it with --model"


def test_a_record_without_a_score_at_final_advises_no_block(tmp_path):
    run = tmp_path / "r"
    for tap in ("block00", "block01"):
        probe(run, tap, [0.7], 0.7)
    assert "no tap has validation and test scores, or final has no test score" in said(run)


def test_rmse_is_better_where_it_is_lower(tmp_path):
    """The single-level decoders of a regression: the deepest block has the lowest error."""
    run = tmp_path / "r"
    sums = {"block00": 900.0, "block02": 100.0}
    for layer, squared in sums.items():
        record = trained(run, "single_w064_frozen_p100", layer, 0.7, 0.5)
        seeds = tuple(one.model_copy(update={"val_score": squared**0.5}) for one in record.training.seeds)
        training = record.training.model_copy(update={"seeds": seeds})
        counts = np.tile(np.array([100.0, 0.0, 0.0, 0.0, 5000.0]), (3, 24, 1))
        counts[..., 2] = squared * 100 * np.linspace(0.9, 1.1, 24)
        score = Score(
            metric="rmse", value=squared**0.5, per_draw=(squared**0.5,) * 3, n=24, n_train=48, direction="lower"
        )
        arrays = {"ids": np.array([str(i) for i in range(24)]), "counts_1.0": counts}
        write_record(record.model_copy(update={"scores": {"1.0": score}, "training": training}), arrays, run)
    (reading,) = only(run).readings
    assert (reading.tap, reading.shows) == ("block02", "same")
    path = run / "segment" / f"{MODEL}-{TASK}-single_w064_frozen_p100-block00.json"
    record = read_record(path)
    seeds = tuple(one.model_copy(update={"val_score": 1.0}) for one in record.training.seeds)
    training = record.training.model_copy(update={"seeds": seeds})
    write_json(path, content_of(record.model_copy(update={"training": training})))
    (reading,) = only(run).readings
    assert (reading.tap, reading.shows, round(reading.gain.value)) == ("block00", "worse", 20)
