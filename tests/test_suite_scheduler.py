"""Grouping and crashes, on workers that are only pretended."""

from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from fixtures.scheduler import CRASHES_IN_A_ROW, GroupScheduling, group_of
from geofm_eval.catalog import load_catalog

CATALOG = load_catalog()


class Worker:
    """Remembers what it is told; a worker runs a case only when it knows what comes next, like a real one."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.queue: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert indices, "a worker that is given nothing waits for ever"
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def nodeid(model: str, task: str, layer: str, adaptation: str = "knn") -> str:
    return f"benchmarks/test_probe.py::test_probe[{model}-{task}-{adaptation}-{layer}]"


def scheduling(pytestconfig: pytest.Config, cases: list[str], workers: int) -> tuple[GroupScheduling, list[Worker]]:
    option = SimpleNamespace(loadscopereorder=True)
    config: Any = SimpleNamespace(option=option, getvalue=lambda name: ["popen"] * workers, hook=pytestconfig.hook)
    made = GroupScheduling(config, Producer("test", enabled=False), group_of(CATALOG))
    nodes = [Worker(f"gw{index}") for index in range(workers)]
    for node in nodes:
        made.add_node(node)  # type: ignore[arg-type]
    for node in nodes:
        made.add_node_collection(node, cases)  # type: ignore[arg-type]
    made.schedule()
    return made, nodes


def replace(made: GroupScheduling, cases: list[str], name: str) -> Worker:
    """What pytest-xdist does after a worker died."""
    node = Worker(name)
    made.add_node(node)  # type: ignore[arg-type]
    made.add_node_collection(node, cases)  # type: ignore[arg-type]
    made.schedule()
    return node


def finish(made: GroupScheduling, node: Worker) -> list[int]:
    """Let a worker run to the end of its queue; return the indices of the cases that it ran."""
    ran = []
    while node.queue:
        ran.append(node.queue.pop(0))
        made.mark_test_complete(node, ran[-1])  # type: ignore[arg-type]
    return ran


def test_tasks_on_one_data_set_share_a_group_and_models_do_not() -> None:
    group = group_of(CATALOG)
    assert group(nodeid("pocket_random", "eurosat", "embed")) == group(
        nodeid("pocket_random", "eurosat_spatial", "final", "linear")
    )
    assert group(nodeid("pocket_random", "eurosat", "embed")) != group(nodeid("rcf", "eurosat", "final"))
    assert group(nodeid("pocket_random", "eurosat", "embed")) != group(nodeid("pocket_random", "eurosat_sim", "embed"))
    timing = "benchmarks/test_throughput.py::test_throughput[pocket_random-eurosat-frozen-block02]"
    assert group(timing) == group(nodeid("pocket_random", "eurosat", "embed"))
    assert group("tests/test_x.py::test_y") == "tests/test_x.py"


def test_a_group_stays_on_one_worker(pytestconfig: pytest.Config) -> None:
    cases = [
        nodeid(model, "eurosat_sim", layer)
        for layer in ("embed", "final", "block00")
        for model in ("pocket_random", "rcf")
    ]
    made, nodes = scheduling(pytestconfig, cases, 2)
    ran = [{cases[index].partition("[")[2].partition("-")[0] for index in finish(made, node)} for node in nodes]
    assert sorted(map(sorted, ran)) == [["pocket_random"], ["rcf"]]


def test_workers_begin_with_different_data_sets(pytestconfig: pytest.Config) -> None:
    tasks = ("eurosat_sim", "eurosat_sim", "eurosat_sim", "neuco_sim_crops")
    models = ("rcf", "pocket_random", "band_stats", "rcf")
    cases = [nodeid(model, task, "final") for model, task in zip(models, tasks, strict=True)]
    _, nodes = scheduling(pytestconfig, cases, 2)
    assert [cases[node.queue[0]] for node in nodes] == [cases[0], cases[3]]
    assert sorted(index for node in nodes for index in node.queue) == [0, 1, 2, 3]


def test_a_case_that_killed_its_worker_is_not_tried_again(pytestconfig: pytest.Config) -> None:
    cases = [nodeid("pocket_random", "eurosat_sim", layer) for layer in ("embed", "block00", "block01", "final")]
    made, (node,) = scheduling(pytestconfig, cases, 1)
    made.mark_test_complete(node, node.queue.pop(0))
    assert made.remove_node(node) == cases[1]
    assert finish(made, replace(made, cases, "gw1")) == [2, 3]
    assert made.tests_finished
    assert made.take_given_up() == []


def test_the_last_case_of_a_group_leaves_nothing_behind_when_it_kills(pytestconfig: pytest.Config) -> None:
    cases = [nodeid("rcf", "eurosat_sim", "final"), nodeid("pocket_random", "eurosat_sim", "final")]
    made, nodes = scheduling(pytestconfig, cases, 2)
    made.remove_node(nodes[0])  # type: ignore[arg-type]
    assert not made.workqueue, "a group without pending cases was queued again"
    assert made.tests_finished


def test_a_group_that_kills_every_worker_is_given_up(pytestconfig: pytest.Config) -> None:
    cases = [nodeid("pocket_random", "eurosat_sim", f"block{index:02d}") for index in range(6)]
    made, (node,) = scheduling(pytestconfig, cases, 1)
    for crash in range(CRASHES_IN_A_ROW):
        assert made.remove_node(node) == cases[crash]
        node = replace(made, cases, f"gw{crash + 1}")
    assert made.take_given_up() == cases[CRASHES_IN_A_ROW:]
    assert made.take_given_up() == []
    assert made.tests_finished


def test_a_case_that_ends_well_forgives_earlier_crashes(pytestconfig: pytest.Config) -> None:
    cases = [nodeid("pocket_random", "eurosat_sim", f"block{index:02d}") for index in range(9)]
    made, (node,) = scheduling(pytestconfig, cases, 1)
    for crash in range(4):
        made.remove_node(node)
        node = replace(made, cases, f"gw{crash + 1}")
        made.mark_test_complete(node, node.queue.pop(0))
    assert made.take_given_up() == []


def test_an_interrupted_worker_is_no_crash(pytestconfig: pytest.Config) -> None:
    cases = [nodeid("pocket_random", "eurosat_sim", layer) for layer in ("embed", "final")]
    made, (node,) = scheduling(pytestconfig, cases, 1)
    node.workeroutput = {"exitstatus": 2}  # type: ignore[attr-defined]
    assert made.remove_node(node) is None


def test_a_replacement_that_has_not_collected_yet_is_given_nothing(pytestconfig: pytest.Config) -> None:
    cases = [nodeid(model, "eurosat_sim", layer) for model in ("pocket_random", "rcf") for layer in ("embed", "final")]
    made, nodes = scheduling(pytestconfig, cases, 2)
    late = Worker("gw2")
    made.add_node(late)  # type: ignore[arg-type]
    for node in nodes:
        made.remove_node(node)  # type: ignore[arg-type]
    early = replace(made, cases, "gw3")
    assert late.queue == []
    assert finish(made, early)


def test_a_worker_holds_one_group_besides_the_one_it_runs(pytestconfig: pytest.Config) -> None:
    cases = [nodeid(model, "eurosat_sim", "final") for model in ("rcf", "pocket_random", "pocket_mae", "band_stats")]
    made, (node,) = scheduling(pytestconfig, cases, 1)
    assert len(node.queue) == 2
    assert len(made.workqueue) == 2
    made.mark_test_complete(node, node.queue.pop(0))  # type: ignore[arg-type]
    assert len(node.queue) == 2
    assert len(made.workqueue) == 1
    assert finish(made, node)
    assert made.tests_finished
