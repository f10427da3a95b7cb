"""The answer of a run: every sentence follows from planted records."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.answer import TaskAnswer, answers
from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.records import Inputs, Record
from geofm_eval.report.answer.one_task import rounded, sentences
from geofm_eval.report.answer.several_tasks import overall
from geofm_eval.report.answer.terminal import WIDTH, text_of_answers
from geofm_eval.results.run import read_run
from geofm_eval.stats.adjusted import adjusted_intervals
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import ALPHA, holm, p_value
from geofm_eval.store import write_json
from tests.planted.advice import MODEL, probes, trained
from tests.planted.ranking import planted_run

TASK = "eurosat_sim"
CATALOG = load_catalog()


def planted(folder: Path, levels: dict[str, float], **more: Any) -> TaskAnswer:
    """The answer on one task with the planted proportions of right samples; ``rcf`` is a control."""
    return only(planted_run(folder, {TASK: levels}, control="rcf", **more))


def only(run: Path, catalog: Catalog = CATALOG) -> TaskAnswer:
    (found,) = answers(read_run(run), catalog)
    return found


def said(answer: TaskAnswer, question: int) -> str:
    return " ".join(one.text for one in sentences(answer) if one.question == question)


# Several differences at once.


@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(0.1, 3), st.sampled_from([4.0, 30.0, float("inf")])), min_size=1,
        max_size=8,
    )
)  # fmt: skip
def test_an_adjusted_interval_excludes_zero_exactly_where_holm_rejects(planted: list[tuple[float, float, float]]):
    found = [Difference(value, value - half, value + half, freedom) for value, half, freedom in planted]
    p = [p_value(one) for one in found]
    assert all(one is not None for one in p)
    for one, own, value in zip(adjusted_intervals(found), found, holm([one or 0.0 for one in p]), strict=True):
        assert one.low is not None
        assert one.high is not None
        if abs(value - ALPHA) > 1e-6:  # rounding decides at the level itself
            assert (one.low > 0 or one.high < 0) == (value <= ALPHA)
        assert one.high - one.low >= 2 * (own.value - (own.low or 0.0)) - 1e-12


def test_differences_without_an_interval_count_for_nothing():
    known = Difference(1.0, 0.5, 1.5)
    assert adjusted_intervals([known, Difference(2.0)]) == [pytest.approx(known), Difference(2.0)]


# 1. Controls.


def test_backbones_that_beat_the_best_control_are_counted_and_named(tmp_path: Path):
    answer = planted(tmp_path, {"first": 0.9, "second": 0.8, "third": 0.7, "rcf": 0.705})
    assert said(answer, 1).startswith("2 of 3 beat the best control, rcf (70.5): first and second, the first by 19.5")


def test_one_backbone_beats_the_control(tmp_path: Path):
    assert said(planted(tmp_path, {"one": 0.8, "rcf": 0.7}), 1).startswith(
        "one beats the best control, rcf (70.0), by 10.0 points ["
    )


@pytest.mark.parametrize(
    ("level", "noise", "words"),
    [
        (0.70, 0.06, "the best of them, one, differs by 0.0 points ["),
        (0.60, 0.02, "the best of them, one, is worse by 10.0 points ["),
        (0.70, 0.0, "the best of them, one, is equivalent within the margin"),
    ],
)
def test_a_backbone_that_does_not_beat_the_control(tmp_path: Path, level: float, noise: float, words: str):
    text = said(planted(tmp_path, {"one": level, "two": 0.5, "rcf": 0.7}, noise=noise), 1)
    assert text.startswith("None of 2 backbones is shown to beat the best control, rcf (70.0); ")
    assert words in text


def test_without_a_control_the_benefit_of_pretraining_is_unknown(tmp_path: Path):
    assert said(planted(tmp_path, {"one": 0.8, "two": 0.7}), 1).startswith("No control was measured")


def test_controls_alone_give_no_choice(tmp_path: Path):
    assert said(planted(tmp_path, {"rcf": 0.8}), 1).startswith("No backbone takes part")


# 2. The best.


def test_a_model_leads_only_if_it_is_clearly_better_than_every_other(tmp_path: Path):
    answer = planted(tmp_path, {"first": 0.9, "second": 0.8, "third": 0.7})
    assert answer.leader == "first"
    assert said(answer, 2).startswith("first leads 3 backbones; second follows, 10.0 points [")


def test_models_that_cannot_be_told_from_the_best_are_named_and_none_is_called_best(tmp_path: Path):
    answer = planted(tmp_path, {"first": 0.82, "second": 0.81, "third": 0.6}, n=400)
    assert answer.leader is None
    assert said(answer, 2) == (
        "2 of 3 backbones cannot be distinguished from the best; the smallest first: first and second."
    )


def test_models_at_the_top_are_ordered_by_size_and_speed(tmp_path: Path):
    run = planted_run(tmp_path, {TASK: {"large": 0.8, "small": 0.8, "fast": 0.8}})
    costs = {"large": (9, 5.0), "small": (2, 5.0), "fast": (2, 50.0)}
    for model, (millions, speed) in costs.items():
        change(run, model, lambda record, own=(millions, speed): {
            "cost": record.cost.model_copy(update={"parameters": own[0] * 250_000, "images_per_second": own[1]})
        })  # fmt: skip
    assert "the smallest first: fast (2 MB, 50 images/s), small (2 MB, 5 images/s) and large (9 MB, 5 images/s)." in (
        said(only(run), 2)
    )


# 3. Taps, and 4. tunings.


def test_the_tap_to_read_and_what_final_would_cost(tmp_path: Path):
    answer = only(probes(tmp_path, (0.5, 0.6, 0.9, 0.6, 0.6), (0.5, 0.6, 0.9, 0.6, 0.7)))
    assert said(answer, 3).startswith(f"Read {MODEL} at block01; final would cost 20.0 points [")


def test_a_cost_of_final_that_is_not_shown_is_called_so(tmp_path: Path):
    answer = only(probes(tmp_path, (0.5, 0.6, 0.71, 0.6, 0.6), (0.5, 0.6, 0.701, 0.6, 0.7), noise=0.1))
    assert "that final costs anything is not shown (0.0 points [" in said(answer, 3)


def test_final_costs_nothing_where_it_is_chosen(tmp_path: Path):
    answer = only(probes(tmp_path, (0.5, 0.6, 0.6, 0.6, 0.9), (0.5, 0.6, 0.7, 0.6, 0.7)))
    assert said(answer, 3) == f"Read {MODEL} at final."


def test_tuning_is_recommended_only_if_it_is_better_on_the_test_split(tmp_path: Path):
    probes(tmp_path, (0.5, 0.6, 0.9, 0.6, 0.6), (0.5, 0.6, 0.9, 0.6, 0.7))
    trained(tmp_path, "lightms_frozen_p100", "multi", 0.7, 0.7)
    trained(tmp_path, "lightms_full_p100", "multi", 0.8, 0.8)
    assert said(only(tmp_path), 4).startswith(f"Tune {MODEL} (full): ")


def test_a_backbone_stays_frozen_if_no_tuning_is_better_on_validation(tmp_path: Path):
    probes(tmp_path, (0.5, 0.6, 0.9, 0.6, 0.6), (0.5, 0.6, 0.9, 0.6, 0.7))
    trained(tmp_path, "lightms_frozen_p100", "multi", 0.8, 0.8)
    trained(tmp_path, "lightms_full_p100", "multi", 0.7, 0.7)
    assert said(only(tmp_path), 4).startswith(f"Leave {MODEL} frozen: ")


# 5. What would settle an open question.


def test_the_samples_that_an_open_question_needs_shrink_the_interval_to_the_difference(tmp_path: Path):
    answer = planted(tmp_path, {"first": 0.83, "second": 0.81}, n=500, noise=0.1)
    found = answer.open
    assert found is not None
    assert found.more is not None
    (pair,) = answer.between
    half = pair.difference.value - (pair.difference.low or 0.0)
    assert half * np.sqrt(500 / (500 + found.more)) == pytest.approx(pair.difference.value, rel=0.01)
    assert f"About {rounded(found.more):,} more test samples would settle it" in said(answer, 5)
    assert "(500 now)" in said(answer, 5)


def test_a_settled_run_has_no_open_question(tmp_path: Path):
    answer = planted(tmp_path, {"first": 0.9, "second": 0.8, "rcf": 0.5})
    assert answer.open is None
    assert said(answer, 5) == ""


@pytest.mark.parametrize(("count", "shown"), [(7, 7), (715, 720), (2715, 2800), (99, 99), (101, 110)])
def test_counts_of_samples_have_two_digits(count: int, shown: int):
    assert rounded(count) == shown


# 6. Threats.


def change(run: Path, model: str, changed: Any) -> None:
    """Change a model's record."""
    from geofm_eval.records import content_of, read_record

    path = next((run / "probe").glob(f"{model}-*.json"))
    record = read_record(path)
    write_json(path, content_of(record.model_copy(update=changed(record))))


def with_inputs(**fields: Any) -> Any:
    usual = {"expected_bands": ("B02", "B03", "B04"), "real_bands": ("B02",), "product_expected": "L2A"}
    inputs = Inputs(**{**usual, "product_found": "L2A", "product_mismatch": False, **fields})
    return lambda record: {"provenance": record.provenance.model_copy(update={"inputs": inputs})}


def test_filled_bands_and_other_products_are_threats(tmp_path: Path):
    run = planted_run(tmp_path, {TASK: {"one": 0.8, "two": 0.7}})
    change(run, "one", with_inputs(filled_bands=("B03",), product_found="L1C", product_mismatch=True))
    text = said(only(run), 6)
    assert "because the data lack them: 1 of 3 bands of one." in text
    assert "Another product than in pretraining (L1C instead of L2A): one." in text


def test_marked_models_are_not_compared(tmp_path: Path):
    run = planted_run(tmp_path, {TASK: {"one": 0.9, "two": 0.7, "three": 0.6}})
    change(run, "one", with_inputs(filled_bands=("B03", "B04")))
    answer = only(run)
    assert answer.leader == "two"
    assert "Not compared: one (more than half of its bands are filled)." in said(answer, 6)


def test_a_random_split_of_own_data_is_a_threat(tmp_path: Path):
    run = planted_run(tmp_path, {TASK: {"one": 0.8, "two": 0.7}})
    for model in ("one", "two"):
        change(run, model, own_data)
    text = said(only(run), 6)
    assert "The split is random" in text
    assert "SIMULATED" not in text


def own_data(record: Record) -> dict[str, Any]:
    return {"evidence": "own", "provenance": record.provenance.model_copy(update={"split_rule": {"by": "random"}})}


# Several tasks.


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    levels = {TASK: {"a": 0.9, "b": 0.8, "rcf": 0.7}, "mados_sim": {"a": 0.6, "b": 0.8, "rcf": 0.7}}
    return planted_run(tmp_path_factory.mktemp("two"), levels, control="rcf")


def test_answers_on_several_tasks_are_counted(two_tasks: Path):
    found = answers(read_run(two_tasks), CATALOG)
    texts = [one.text for one in overall(found)]
    assert "On 2 of 2 tasks, a backbone is shown to beat the best control." in texts
    assert "Cannot be distinguished from the best, of 2 tasks: a on 1 and b on 1." in texts
    assert "Leads alone: a on eurosat_sim and b on mados_sim." in texts


def test_lines_for_a_terminal_fit_its_width_and_list_every_task(two_tasks: Path):
    text = text_of_answers(answers(read_run(two_tasks), CATALOG))
    assert max(map(len, text.splitlines())) <= WIDTH + 2
    assert text.splitlines()[0] == "Answer (SIMULATED DATA)"
    assert sum(line.lstrip().startswith(("eurosat_sim ", "mados_sim ")) for line in text.splitlines()) == 2
    assert len(text.splitlines()) <= 15
