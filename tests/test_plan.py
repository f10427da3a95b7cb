"""The plan of a session and the lines during it, from planted costs and a clock that is set by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fixtures.plan import SessionPlan
from fixtures.pulse import LINE_SECONDS, Pulse
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.costs import (
    CostKey,
    Costs,
    OwnCost,
    add_own,
    case_seconds,
    least_of_equal,
    own_file,
    read_own,
    read_table,
    table_of,
)  # fmt: skip
from geofm_eval.costs.table import write_table
from geofm_eval.records import Cost
from tests.planted.advice import case_of, probe

CATALOG = load_catalog()
LAYERS = ("block00", "block01", "final")
LINEAR = [Case("probe", "pocket_mae", "eurosat_sim", "linear", layer) for layer in LAYERS]
KNN = [Case("probe", "pocket_mae", "eurosat_sim", "knn", layer) for layer in LAYERS]
STAGES = {"extract": 10.0, "solve": 30.0}
TABLE = {CostKey.of(LINEAR[0]): STAGES, CostKey.of(KNN[0]): {"extract": 10.0, "solve": 2.0}}


def plan(**more: Any) -> SessionPlan:
    usual: dict[str, Any] = {
        "selected": 3, "runnable": tuple(LAYERS), "lacking": {}, "seconds": dict.fromkeys(LAYERS, 20.0), "resumed": 0,
        "workers": 2, "duration": 60.0,
    }  # fmt: skip
    return SessionPlan(**{**usual, **more})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


# The sentence.


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"selected": 1593, "lacking": {"data": 1590}},
            "3 of 1,593 selected cases can run here, about 1 minute on 2 workers; 1,590 lack data: geofm-eval doctor",
        ),
        ({"resumed": 2}, "can run here, about 1 minute on 2 workers; 2 of them have a record already"),
        ({"duration": None, "seconds": {}}, "time unknown on this device until they were measured once"),
        ({"seconds": {"final": 9.0}}, "2 of unknown cost not counted"),
        ({"lacking": {"process": 4}}, "4 timings left out, because of -n"),
        ({"runnable": (), "seconds": {}, "duration": None}, "0 of 3 selected cases can run here"),
    ],
)  # fmt: skip
def test_the_plan_is_one_line(changes: Mapping[str, Any], sentence: str):
    assert sentence in plan(**changes).sentence()


# Seconds.


def test_probes_of_all_layers_are_solved_once_and_share_their_features():
    seconds = case_seconds([*LINEAR, *KNN], Costs(CATALOG, {}, TABLE))
    besides = seconds[LINEAR[1]]
    assert besides is not None
    assert seconds[LINEAR[2]] == besides
    first, second = seconds[LINEAR[0]], seconds[KNN[0]]
    assert first is not None
    assert second is not None
    assert first >= 40 + besides
    assert second == pytest.approx(2 + besides)  # the features are there


def test_a_slower_machine_needs_longer_in_proportion():
    one, two = (case_seconds(LINEAR, Costs(CATALOG, {}, TABLE, scale=scale)) for scale in (1.0, 2.0))
    assert {case: 2 * (seconds or 0.0) for case, seconds in one.items()} == pytest.approx(two)


def test_what_was_measured_here_counts_before_the_reference():
    own = {CostKey.of(LINEAR[0]): OwnCost(again=0.5)}
    assert case_seconds(LINEAR, Costs(CATALOG, own, TABLE)) == dict.fromkeys(LINEAR, 0.5)


def test_another_model_counts_by_the_operations_of_its_forward_pass():
    large = Case("probe", "mae_vits16", "eurosat_sim", "linear", "final")
    found, small = (case_seconds([case], Costs(CATALOG, {}, TABLE))[case] for case in (large, LINEAR[0]))
    assert found is not None
    assert small is not None
    assert found > 3 * small


def test_nothing_is_known_without_a_similar_case():
    case = Case("drift", "pocket_mae", "eurosat_sim", "pooled_full_p100", "final")
    assert case_seconds([case], Costs(CATALOG, {}, TABLE)) == {case: None}


def test_the_reference_gives_costs_for_every_kind():
    assert {key.kind for key in read_table()} == {"probe", "segment", "tune", "drift", "similarity", "throughput"}


def test_a_table_is_read_as_it_was_written(tmp_path: Path):
    write_table(TABLE, tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == TABLE


def test_a_table_has_the_mean_over_the_layers_of_a_key(tmp_path: Path):
    records = [
        probe(tmp_path, tap, [0.5], 0.5).model_copy(update={"cost": Cost(seconds={"solve": seconds})})
        for tap, seconds in (("embed", 2.0), ("final", 4.0))
    ]
    case = case_of("probe", "final", "linear")
    assert table_of(records) == {CostKey("probe", case.model, case.task, "linear"): {"solve": 3.0}}


def test_own_costs_are_kept_and_a_damaged_file_is_none():
    path, costs = own_file({"device": "cpu"}), {CostKey.of(LINEAR[0]): OwnCost(0.5, 1.5)}
    assert read_own(path) == {}
    add_own(path, costs)
    assert read_own(path) == costs
    path.write_bytes(path.read_bytes()[:-9])
    assert read_own(path) == {}
    assert own_file({"device": "cuda"}) != path


# Lines during a session.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(plan(), dict(zip(LAYERS, LINEAR, strict=True)), clock)


def test_a_line_is_due_every_minute_and_names_what_runs(pulse: Pulse, clock: Clock):
    pulse.start("block00")
    clock.now = LINE_SECONDS - 1
    assert pulse.due() is None
    clock.now = LINE_SECONDS
    line = pulse.due()
    assert line is not None
    assert line.startswith("0 of 3 cases; about ")
    assert line.endswith("now linear of pocket_mae on eurosat_sim at block00")
    assert pulse.due() is None


def test_a_finished_block_is_a_line_of_its_own(pulse: Pulse, clock: Clock):
    for layer in LAYERS[:2]:
        pulse.start(layer)
        clock.now += 10
        assert pulse.finish(layer) is None
    pulse.start("final")
    clock.now += 10
    assert pulse.finish("final") == "finished linear of pocket_mae on eurosat_sim (3 cases); 3 of 3 cases"


def test_the_time_left_shrinks_and_follows_the_pace(pulse: Pulse, clock: Clock):
    left = [pulse.seconds_left()]
    for layer in LAYERS[:2]:
        pulse.start(layer)
        clock.now += 60  # three times as long as planned
        pulse.finish(layer)
        left.append(pulse.seconds_left())
    assert left[0] == 60
    assert left[2] is not None
    assert 20 < left[2] < 60


def test_cases_that_cannot_run_here_do_not_count(clock: Clock):
    pulse = Pulse(plan(runnable=("final",), seconds={"final": 5.0}), {"final": LINEAR[2], "other": KNN[0]}, clock)
    pulse.start("other")
    assert pulse.finish("other") is None
    assert pulse.done == 0


def test_other_work_on_the_machine_does_not_count_as_the_cost_of_a_training():
    catalog = load_catalog()
    keys = [CostKey("tune", model, "eurosat_sim", "pooled_full_p010") for model in ("pocket_mae", "pocket_contrast")]
    probe = CostKey.of(LINEAR[0])
    table = {keys[0]: {"train": 60.0}, keys[1]: {"train": 200.0}, probe: STAGES}
    assert least_of_equal(table, catalog) == {keys[0]: {"train": 60.0}, keys[1]: {"train": 60.0}, probe: STAGES}
