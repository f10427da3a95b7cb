"""Numbers that no measurement can give are refused, each by name."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from geofm_eval.records import Record
from tests.synthetic_regression import make_regression
from tests.synthetic_run import MODELS, make_record

pytestmark = pytest.mark.fast

MODEL = next(model for model in MODELS if model.slug == "galileo_nano")

Edit = Callable[[dict[str, Any]], None]


def score(**changes: Any) -> Edit:
    return lambda content: content["scores"]["1.0"].update(changes)


def interval(**changes: Any) -> Edit:
    return lambda content: content["scores"]["1.0"]["interval"].update(changes)


def renamed(content: dict[str, Any]) -> None:
    content["scores"]["4.0"] = content["scores"].pop("1.0")


def training(**changes: Any) -> Edit:
    one = {"seed": 0, "rate": 1e-3, "epoch": 3, "val_score": 0.5, **changes.pop("seed", {})}
    own = {
        "decoder": "pooled",
        "tuning": "full",
        "taps": ["final"],
        "recipe": {},
        "window": 64,
        "chips": {"train": 2000, "val": 100, "test": 400},
        "token_gsd_m": 40.0,
        "context_m": 640.0,
        "seeds": [one],
    }
    kept = {"training": {**own, **changes}, "selection": None}
    return lambda content: content.update(scores={"1.0": content["scores"]["1.0"]}, **kept)


def expected(fraction: str, mean: float) -> Edit:
    own = {"low": 0.1, "high": 0.2, "rule": "seeds", "why": "measured", "mean": mean, "n": 1}
    return lambda content: content.update(expected_ranges={fraction: own})


TWO_SEEDS = [{"seed": n, "rate": 1e-3, "epoch": 1, "val_score": 0.5} for n in (0, 1)]


IMPOSSIBLE: dict[str, tuple[Edit, str]] = {
    "a percentage": (score(value=45.0, per_draw=[45.0]), "not a percentage"),
    "a negative accuracy": (score(value=-1.0, per_draw=[-1.0]), "accuracy is between 0 and 1"),
    "a draw out of bounds": (score(per_draw=[1.5]), "per_draw is 1.5"),
    "an interval turned round": (interval(low=0.9, high=0.1), "has low = 0.9"),
    "an interval without its estimate": (interval(low=0.01, high=0.02), "does not contain its estimate"),
    "a mean that is not that of its draws": (score(per_draw=[0.1]), "is not the mean of per_draw"),
    "a label fraction above one": (renamed, "label fraction 4.0"),
    "the other direction": (score(direction="lower"), "direction of accuracy"),
    "fewer labels at a larger fraction": (score(n_train=3), "n_train decreases"),
    "other test items per fraction": (score(n=399), "number of test items"),
    "another metric per fraction": (score(metric="iou"), "differ in metric"),
    "a companion out of bounds": (score(extra={"accuracy_k5": 88.0}), "extra.accuracy_k5"),
    "an infinite companion": (score(extra={"rmse": float("inf")}), "finite"),
    "a negative error": (score(extra={"rmse": -2.0}), "extra.rmse"),
    "negative seconds": (lambda c: c["cost"]["seconds"].update(extract=-5.0), "greater than or equal to 0"),
    "a negative number of parameters": (lambda c: c["cost"].update(parameters=-1), "greater than or equal to 0"),
    "a validation score out of bounds": (lambda c: c["selection"]["choices"][0].update(val_score=1.37), "val_score"),
    "a choice of a draw without a score": (lambda c: c["selection"]["choices"][0].update(draw=5), "choices of draws"),
    "a draw chosen twice": (lambda c: c["selection"]["choices"][1].update(draw=0), "choices of draws"),
    "a choice at an unknown fraction": (lambda c: c["selection"]["choices"][0].update(fraction=0.5), "0.5"),
    "published numbers of simulated data": (lambda c: c.update(evidence="published"), "marked sim"),
    "real markers of simulated data": (lambda c: c["case"].update(markers=["real", "closed"]), "marked real"),
    "more seeds than values": (training(seeds=TWO_SEEDS), "2 seeds"),
    "other test chips than the score": (training(chips={"test": 12}), "12 test chips"),
    "other training chips than the score": (training(chips={"train": 12}), "12 train chips"),
    "negative chips": (training(chips={"test": -400}), "greater than or equal to 0"),
    "a validation score of a seed out of bounds": (training(seed={"val_score": 54.0}), "val_score is 54"),
    "negative seconds of a seed": (training(seed={"seconds": {"train": -1.0}}), "greater than or equal to 0"),
    "a learning rate of zero": (training(seed={"rate": 0.0}), "greater than 0"),
    "a range without its mean": (expected("1.0", 0.3), "does not contain its mean"),
    "a range of an unknown fraction": (expected("0.5", 0.15), "expected_ranges has fraction 0.5"),
}  # fmt: skip


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    record, _ = make_record(MODEL, "eurosat_sim", "linear", "block01")
    return record.model_copy(update={"evidence": "simulated"}).model_dump(mode="json")


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_numbers_are_refused(content: dict[str, Any], name: str):
    edit, message = IMPOSSIBLE[name]
    changed = copy.deepcopy(content)
    edit(changed)
    with pytest.raises(ValidationError, match=message):
        Record.model_validate(changed)


def test_what_a_measurement_gives_is_accepted(content: dict[str, Any]):
    changed = copy.deepcopy(content)
    training()(changed)
    Record.model_validate(content)
    Record.model_validate(changed)


def test_the_draw_of_a_training_is_the_number_of_its_seed(content: dict[str, Any]):
    changed = copy.deepcopy(content)
    training(seed={"seed": 7})(changed)
    changed["selection"] = {**content["selection"], "choices": [{**content["selection"]["choices"][-1], "draw": 7}]}
    Record.model_validate(changed)


def test_a_pooled_score_of_shuffles_need_not_be_the_mean_of_its_draws():
    record, _ = make_regression(MODEL, "biomass_sim", "final", shuffled=True)
    score = record.scores["1.0"]
    assert score.value != sum(score.per_draw) / len(score.per_draw)
    Record.model_validate(record.model_dump())
