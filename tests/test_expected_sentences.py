"""What a score outside its range says: first whether a near-tie explains it, and only then what else to look for."""

from dataclasses import replace

import pytest

from geofm_eval.expected import Ranges, judge
from geofm_eval.expected.ranges import ANY
from geofm_eval.expected.sentences import OUTSIDE, TIE
from geofm_eval.expected.subject import basis_of, key_of
from geofm_eval.records import Choice
from tests.planted.ranges import RANGE, probe, ranges_for, trained

PENALTIES = tuple(10.0**-k for k in range(40))
ADMITTED = "21 22 20 21 21|20"
LOOSEN = "accept it with geofm-eval expect RUN --why TEXT"
LEAK = "look for test samples among the training samples"


def chosen(value, places, gaps=(0.01,) * 5, *, direction="higher", metric="accuracy", **update):
    """A probe of five label draws with these penalties and leads."""
    record = probe(0.5, **update)
    score = record.scores["1.0"].model_copy(
        update={"value": value, "per_draw": (value,) * len(places), "direction": direction, "metric": metric}
    )
    choices = tuple(
        Choice(
            fraction=1.0,
            draw=draw,
            val_kind="split",
            n_val=50,
            chosen=PENALTIES[place],
            val_loss=1.2,
            runner_up_gap=gap,
        )
        for draw, (place, gap) in enumerate(zip(places, gaps, strict=True))
    )
    selection = record.selection.model_copy(update={"candidates": PENALTIES, "choices": choices})
    return record.model_copy(update={"scores": {"1.0": score}, "selection": selection})


def said(record, fraction="1.0", **numbers):
    """The reason of a score outside its range."""
    numbers = {"lo": 0.4726, "hi": 0.4746, "mean": 0.4736, "choices": ADMITTED, "gap": 1e-6, **numbers}
    found = judge(record, ranges_for(record, fraction, **numbers))
    assert found.outside
    assert OUTSIDE in found.reason
    assert len(found.reason) <= 400, found.reason
    return found.reason


TURNED = (21, 22, 20, 21, 22)
LAST = (0.01, 0.01, 0.01, 0.01, 1e-6)


def test_a_near_tie_is_said_first_and_sends_nobody_after_leaks_or_to_loosen_the_range():
    """The score is better than expected because the penalty of one draw turned, with a lead of 1e-6 nats."""
    assert said(chosen(0.4758, TURNED, LAST)) == (
        "accuracy 47.58 % at 100 % of the labels is above its expected range [47.26, 47.46]. A near-tie explains it: "
        "the penalty of draw 4 is not admitted by the range, and its validation loss is lower by only 1e-06. "
        "Rounding decides such a choice. It does not indicate a leak: do not loosen the range, and report the "
        "processor and the torch version."
    )


def test_without_a_tie_a_better_score_sends_after_leaks():
    reason = said(chosen(0.9, (21, 22, 20, 21, 20)))
    assert reason == (
        "accuracy 90.00 % at 100 % of the labels is above its expected range [47.26, 47.46]. No near-tie explains it: "
        "the range admits all chosen penalties. Scores above expectation fail too: look for test samples among "
        "the training samples, or a changed split. If the change is intended, accept it with geofm-eval expect RUN "
        "--why TEXT."
    )


def test_without_a_tie_a_worse_score_sends_after_changes():
    reason = said(chosen(0.3, (21, 22, 20, 21, 21)))
    assert "is below its expected range [47.26, 47.46]. No near-tie explains it" in reason
    assert "It is worse: look for a change of inputs, code or libraries." in reason
    assert LEAK not in reason
    assert LOOSEN in reason


def test_another_penalty_with_a_clear_lead_is_no_tie():
    reason = said(chosen(0.4758, TURNED, (0.01, 0.01, 0.01, 0.01, 0.02)))
    assert "No near-tie explains it: draw 4 chose another penalty, whose validation loss is lower by 2e-02." in reason
    assert LEAK in reason


def test_one_clear_lead_among_near_ties_is_no_tie():
    reason = said(chosen(0.4758, (30, 22, 20, 21, 30), (0.02, 0.01, 0.01, 0.01, 1e-6)))
    assert "explains it: draws 0, 4 chose another penalty, whose validation loss is lower by 2e-02." in reason


def test_a_lead_is_near_below_its_share_of_the_loss():
    near, far = (said(chosen(0.4758, TURNED, (*LAST[:4], share * TIE * 1.2))) for share in (0.99, 1.01))
    assert "A near-tie explains it" in near
    assert "No near-tie explains it" in far


def test_a_tie_does_not_explain_what_it_cannot_be_worth():
    """A leak moved all draws by 20 points, and the penalty of one turned too: the tie must not hide the leak."""
    reason = said(chosen(0.67, TURNED, LAST))
    assert "a penalty of draw 4 is nearly tied, but that cannot move the score so far." in reason
    assert LEAK in reason
    every = said(chosen(0.49, (30,) * 5, (1e-6,) * 5))
    assert "A near-tie explains it: the penalty of draws 0, 1, 2 and others" in every


def test_a_record_without_leads_has_no_tie():
    reason = said(chosen(0.4758, TURNED, (None,) * 5))
    assert "draw 4 chose another penalty, whose validation loss is lower by an unknown amount" in reason


def test_a_range_that_names_no_penalties_is_explained_by_the_record_alone():
    near = said(chosen(0.4758, TURNED, LAST), choices=None)
    assert "A near-tie explains it: the penalty of draw 4 is nearly tied" in near
    clear = said(chosen(0.4758, TURNED), choices=None)
    assert "No near-tie explains it" in clear


@pytest.mark.parametrize(("value", "side"), [(0.55, "below"), (0.75, "above")])
def test_ridge_is_told_in_its_own_unit(value, side):
    record = chosen(value, TURNED, LAST, metric="r2")
    reason = said(record, lo=0.6, hi=0.7, mean=0.65)
    assert f"R2 {value:.4f} at 100 % of the labels is {side} its expected range [0.6000, 0.7000]." in reason
    assert "No near-tie explains it: a penalty of draw 4" in reason
    tied = said(chosen(value, TURNED, LAST, metric="r2"), lo=0.554, hi=0.746, mean=0.65)
    assert "A near-tie explains it: the penalty of draw 4" in tied


@pytest.mark.parametrize("value", [0.3, 0.6])
def test_knn_has_no_penalty_to_turn(value):
    record = chosen(value, TURNED, LAST)
    bare = tuple(replace(one, chosen=None, runner_up_gap=None) for one in record.selection.choices)
    selection = record.selection.model_copy(update={"candidates": (), "criterion": "none", "choices": bare})
    reason = said(record.model_copy(update={"selection": selection}), choices=None, gap=None)
    assert "No near-tie explains it: kNN has no penalty, and the range already allows for" in reason
    assert (LEAK in reason) is (value == 0.6)


def test_the_dense_probe_is_told_like_any_other():
    reason = said(chosen(0.4758, TURNED, LAST, metric="miou"))
    assert reason.startswith(
        "mIoU 47.58 % at 100 % of the labels is above its expected range [47.26, 47.46]. A near-tie"
    )


SEEDS = {"rule": "seeds", "n": 10, "sd": 0.01, "spread": 0.04, "freedom": 30.0, "floor": 0.001}


def test_trainings_choose_by_seeds_and_say_what_the_range_rests_on():
    record = trained([0.9, 0.9, 0.9])
    reason = said(record, "0.1", lo=0.5, hi=0.6, mean=0.55, choices=None, gap=None, **SEEDS)
    assert reason == (
        "accuracy 90.00 % at 10 % of the labels is above its expected range [50.00, 60.00] (rule seeds: 10 seeds, for "
        "a mean over 3; why: measured on a quiet afternoon). Scores above expectation fail too: look for test samples "
        "among the training samples, or a changed split. If the change is intended, accept it with geofm-eval expect "
        "RUN --why TEXT."
    )
    assert "tie" not in reason


def test_below_is_better_where_errors_are_scored():
    record = trained([7.0, 7.2, 7.1], metric="rmse", direction="lower")
    reason = said(record, "0.1", lo=8.0, hi=9.0, mean=8.5, choices=None, gap=None, **SEEDS)
    assert "RMSE 7.100 at 10 % of the labels is below its expected range [8.000, 9.000]" in reason
    assert LEAK in reason


def test_a_published_number_names_its_source_even_where_that_is_long():
    record = probe(0.5)
    own = basis_of(record, "1.0")
    basis = replace(own, weights=None, data=replace(own.data, items={}, labels={}), setting={"metric": "accuracy"})
    key = replace(key_of(record, "1.0"), device=ANY, dtype=ANY)
    origin = replace(RANGE.origin, why=f"table 5 of {'a very long title ' * 20}")
    numbers = {"rule": "published", "n": 1, "choices": None, "gap": None}
    ranges = Ranges(record.case.task, {key: replace(RANGE, basis=basis, origin=origin, **numbers)})
    reason = judge(record, ranges).reason
    assert "(rule published: published, with a wide tolerance; why: table 5 of a very long title" in reason
    assert len(reason) <= 400
    assert "tie" not in reason.replace("title", "")
