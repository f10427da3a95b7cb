import dataclasses
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofm_eval import workspace as pipeline
from geofm_eval.backbones import LoadedBackbone
from geofm_eval.cache import list_cache
from geofm_eval.catalog import Catalog, TaskSpec, load_catalog
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.memo import Memo
from geofm_eval.probes import job as probe_job
from geofm_eval.probes.sweep import PROBE_VERSION, Sweep
from geofm_eval.workspace import Settings, Workspace
from tests.processes import process
from tests.tiny import RECIPE, SPEC, TASK, TinySplit, tiny_loaded

SIZES = {"train": 60, "val": 20, "test": 30}


def tiny_catalog(**recipe: Any) -> Catalog:
    task = TASK.model_copy(update={"label_fractions": (0.1, 1.0), "draws": 2})
    other = SPEC.model_copy(update={"slug": "other"})
    return Catalog(
        models={"tiny": SPEC, "other": other},
        tasks={"squares": task},
        recipes={"probing": RECIPE.model_copy(update=recipe)},
        adaptations=load_catalog().adaptations,
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Puts the tiny data set and backbone in place of the readers and loaders, and counts how often they are asked."""
    return use_tiny(monkeypatch.setattr)


def use_tiny(replace: Callable[[Any, str, Any], None]) -> Counter[str]:
    counter: Counter[str] = Counter()

    def open_splits(task: Any, *_: Any) -> dict[str, Any]:
        counter["open"] += 1
        return {name: TinySplit(name, n, task) for name, n in SIZES.items()}

    def load_backbone(spec: Any, adapter: Any, **_: Any) -> LoadedBackbone:
        counter[f"load {spec.slug}"] += 1
        return tiny_loaded(spec=spec, sha256=str(len(spec.slug)) * 64)

    real_solve = probe_job.solve_together

    def solve(*args: Any, **kwargs: Any) -> Sweep:
        counter["solve"] += 1
        return real_solve(*args, **kwargs)

    replace(pipeline, "open_splits", open_splits)
    replace(pipeline, "load_backbone", load_backbone)
    replace(probe_job, "solve_together", solve)
    return counter


def test_a_sweep_holds_every_tap_fraction_and_draw(calls: Counter[str]) -> None:
    sweep = Workspace(tiny_catalog(), Settings()).sweep("tiny", "squares", "linear")
    expected = [(tap, f, d) for tap in SPEC.taps for f, d in ((0.1, 0), (0.1, 1), (1.0, 0))]
    assert [(row.tap, row.fraction, row.draw) for row in sweep.rows] == expected
    assert sweep.row("embed", 1.0, 0).test_score > 0.9  # brightness is all it takes
    assert sweep.row("embed", 1.0, 0).n_test == 30
    assert sweep.meta["seed"] == tiny_catalog().task("squares").seed
    assert set(sweep.meta["feature_keys"]) == set(SIZES)


def test_each_piece_is_computed_once_in_a_process_and_once_in_a_cache(
    calls: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "geofm_eval")
    workspace = Workspace(tiny_catalog(), Settings())
    first = workspace.sweep("tiny", "squares", "linear")
    assert workspace.sweep("tiny", "squares", "linear") is first
    workspace.sweep("tiny", "squares", "linear_cls")
    assert calls == {"open": 1, "load tiny": 1, "solve": 2}
    assert sum("tiny on squares/" in message for message in caplog.messages) == 3
    assert sum("of tiny on squares: 12 items" in message for message in caplog.messages) == 2

    again = Workspace(tiny_catalog(), Settings()).sweep("tiny", "squares", "linear")
    assert calls["solve"] == 2
    assert again.key == first.key
    assert again.meta == first.meta
    for row, other in zip(again.rows, first.rows, strict=True):
        np.testing.assert_equal(dataclasses.asdict(row), dataclasses.asdict(other))


def test_the_key_of_a_sweep_follows_what_determines_it(calls: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def key(model: str = "tiny", adaptation: str = "linear", **recipe: Any) -> str:
        return Workspace(tiny_catalog(**recipe), Settings()).sweep(model, "squares", adaptation).key

    keys = [key(), key("other"), key(adaptation="linear_cls"), key(adaptation="knn"), key(val_budget="full")]
    with monkeypatch.context() as patch:
        patch.setitem(PROBE_VERSION, "linear", PROBE_VERSION["linear"] + 1)
        keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr(TinySplit, "labels_sha256", "1" * 64)
        keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr(TaskSpec, "seed", 1)
        keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr(probe_job.ProbeJob, "device_kind", "cuda")
        keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


def test_a_damaged_sweep_is_solved_again(calls: Counter[str]) -> None:
    workspace = Workspace(tiny_catalog(), Settings())
    expected = workspace.sweep("tiny", "squares", "knn").row("final", 1.0, 0)
    (entry,) = list_cache("sweeps")
    for file in entry.path.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:-10])
    again = Workspace(tiny_catalog(), Settings()).sweep("tiny", "squares", "knn").row("final", 1.0, 0)
    assert calls["solve"] == 2
    np.testing.assert_array_equal(again.outcomes, expected.outcomes)


def test_a_pooling_that_the_model_lacks_is_refused(calls: Counter[str]) -> None:
    catalog = tiny_catalog()
    catalog.models["tiny"] = SPEC.model_copy(update={"prefix": 0})
    with pytest.raises(ContractError, match="linear_cls needs the pooling 'cls', but tiny has only mean; choose"):
        Workspace(catalog, Settings()).sweep("tiny", "squares", "linear_cls")


def test_what_is_absent_is_looked_up_once(calls: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        calls["absent"] += 1
        raise Unavailable("weights", "tiny.pth", "Fetch it.")

    monkeypatch.setattr(pipeline, "load_backbone", absent)
    workspace = Workspace(tiny_catalog(), Settings())
    for adaptation in ("linear", "knn", "linear"):
        with pytest.raises(Unavailable, match=r"tiny\.pth"):
            workspace.sweep("tiny", "squares", adaptation)
    assert calls["absent"] == 1


def test_a_failed_solve_fails_all_its_cases_with_one_cause(
    calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        calls["failed"] += 1
        raise RuntimeError("out of memory")

    monkeypatch.setattr(probe_job, "solve_together", fail)
    workspace = Workspace(tiny_catalog(), Settings())
    for _ in range(3):
        with pytest.raises(RuntimeError, match="out of memory"):
            workspace.sweep("tiny", "squares", "linear")
    assert calls["failed"] == 1
    assert [entry.kind for entry in list_cache("sweeps")] == []


def test_one_model_is_kept_in_memory_at_a_time(calls: Counter[str]) -> None:
    workspace = Workspace(tiny_catalog(), Settings())
    for model in ("tiny", "tiny", "other", "tiny"):
        workspace.backbone(model, "squares")
    assert calls == {"load tiny": 2, "load other": 1}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(recipe="probin"), r"recipe 'probin' is unknown; did you mean probing\?"),
        (Settings(weights={"tinny": Path("a.pth")}), r"model 'tinny' is unknown; did you mean tiny\?"),
    ],
)
def test_settings_that_name_nothing_are_refused(settings: Settings, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        Workspace(tiny_catalog(), settings)


def sweep_in_process(folder: Path) -> None:
    calls = use_tiny(setattr)
    logging.basicConfig(filename=folder / f"{multiprocessing.current_process().name}.log", level=logging.INFO)
    sweep = Workspace(tiny_catalog(), Settings()).sweep("tiny", "squares", "linear")
    (folder / multiprocessing.current_process().name).write_text(f"{calls['solve']} {sweep.seconds}")


def test_two_runs_at_once_extract_and_solve_once(tmp_path: Path) -> None:
    processes = [process(sweep_in_process, tmp_path, name=name) for name in ("a", "b")]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
    solved, seconds = zip(*[(tmp_path / name).read_text().split() for name in ("a", "b")], strict=True)
    assert sorted(solved) == ["0", "1"]
    assert seconds[0] == seconds[1]
    log = (tmp_path / "a.log").read_text() + (tmp_path / "b.log").read_text()
    assert [log.count(f"tiny on squares/{split}: ") for split in SIZES] == [1, 1, 1]


def test_the_whole_path_on_a_small_stand_in() -> None:
    pytest.importorskip("rasterio", reason="stand-ins are written with rasterio")
    catalog = load_catalog()
    small = {"sizes": (60, 20, 20), "label_fractions": (1.0,)}
    catalog.tasks["eurosat_sim"] = catalog.task("eurosat_sim").model_copy(update=small)
    workspace = Workspace(catalog, Settings())
    for model in ("pocket_random", "band_stats"):
        sweep = workspace.sweep(model, "eurosat_sim", "knn")
        assert sweep.taps == catalog.model(model).taps
        assert all(row.n_test == 20 and 0 <= row.test_score <= 1 for row in sweep.rows)
    block = workspace.blocks("pocket_random", "eurosat_sim")["test"]
    assert block.ids == workspace.splits("eurosat_sim")["test"].ids
    assert block.features("block11", "cls").shape == (20, 64)


def test_the_seed_belongs_to_the_task_and_its_version() -> None:
    assert TASK.seed == TASK.model_copy(update={"title": "Other words"}).seed
    assert TASK.seed != TASK.model_copy(update={"version": 2}).seed


def test_memo_holds_values_errors_and_not_more_than_it_may() -> None:
    seen: list[int] = []

    def compute(value: int) -> Callable[[], int]:
        def call() -> int:
            seen.append(value)
            if value < 0:
                raise DataError(f"value {value}")
            return value

        return call

    memo = Memo(keep=2)
    for value in (1, 2, 1, 3, 1):
        assert memo.get(value, compute(value)) == value
    for _ in range(3):
        with pytest.raises(DataError, match="value -1") as caught:
            memo.get(-1, compute(-1))
    assert seen == [1, 2, 3, 1, -1]
    assert len(caught.traceback) == 2  # this test and the memo: a stored error does not drag its first call along
