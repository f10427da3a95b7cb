"""What stand-ins declare of their labels: the noise in them, and the score of somebody who knows them without it."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.split import Split
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError
from geofm_eval.simulation.standins.oracle import oracle_labels, oracle_map
from geofm_eval.stats.confusion_counts import confusion, mean_iou
from geofm_eval.stats.scores import r2, rmse

STANDINS = {task.slug: task for task in load_catalog().tasks.values() if task.simulated}
CONTROL = "neuco_sim_random_reg"


@pytest.fixture(autouse=True)
def cache(isolated_folders: None, shared_cache: Path, monkeypatch: pytest.MonkeyPatch):
    """Stand-ins are written once for all tests that need them whole."""
    monkeypatch.setenv("GEOFM_CACHE", str(shared_cache))


def what_is_tested(task: TaskSpec) -> Split:
    splits = open_splits(task)
    return splits.get("test") or splits["all"]


@pytest.mark.parametrize("slug", sorted(STANDINS))
def test_every_stand_in_declares_tier_noise_and_oracle(slug: str):
    task = STANDINS[slug]
    assert task.label_noise is not None
    assert task.oracle is not None
    assert (task.tier is None) == (slug == CONTROL), "only numbers without a cause have no tier"


@pytest.mark.parametrize("slug", ["neuco_sim_biomass_mean", "neuco_sim_crops", CONTROL, "fuel_moisture_sim"])
def test_oracle_of_a_number_is_as_declared(slug: str):
    split = what_is_tested(STANDINS[slug])
    known = oracle_labels(split)
    assert r2(split.labels, known) == pytest.approx(STANDINS[slug].oracle, abs=0.002)
    if slug != CONTROL:
        declared = STANDINS[slug].label_noise
        assert (split.labels - known).std() / known.std() == pytest.approx(declared, abs=0.05)


@pytest.mark.parametrize("slug", ["sen1floods11_sim", "hls_burn_scars_sim"])
def test_drawn_outlines_are_off_by_as_much_as_declared(slug: str):
    task, split = STANDINS[slug], what_is_tested(STANDINS[slug])
    counts = np.stack([confusion(split.read_target(i), oracle_map(split, i), 2, -1) for i in range(len(split))])
    total = counts.sum(0)
    assert float(mean_iou(total)) == pytest.approx(task.oracle, abs=0.002)
    assert 1 - np.trace(total) / total.sum() == pytest.approx(task.label_noise, abs=0.002)
    wrong = 1 - np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2))
    assert wrong.max() < 0.12, "no single chip is drawn far worse than the others"


def test_oracle_of_biomass_per_pixel_is_as_declared():
    split = what_is_tested(STANDINS["biomassters_sim"])
    pairs = [(split.read_target(i), oracle_map(split, i)) for i in range(len(split))]
    known = [np.isfinite(target) for target, _ in pairs]
    target, predicted = (
        np.concatenate([pair[which][k] for pair, k in zip(pairs, known, strict=True)]) for which in (0, 1)
    )
    assert rmse(target, predicted) == pytest.approx(STANDINS["biomassters_sim"].oracle, abs=0.1)
    assert (target - predicted).std() / predicted.std() == pytest.approx(0.2, abs=0.05)


def test_labels_without_noise_are_their_own_oracle():
    task = STANDINS["mados_sim"].model_copy(update={"sizes": (4, 4, 4)})
    split = open_splits(task)["test"]
    np.testing.assert_array_equal(oracle_map(split, 0), split.read_target(0))
    eurosat = STANDINS["eurosat_sim"].model_copy(update={"sizes": (10, 10, 10)})
    chips = open_splits(eurosat)["test"]
    np.testing.assert_array_equal(oracle_labels(chips), chips.labels)


def test_real_data_have_no_oracle():
    task = STANDINS["eurosat_sim"].model_copy(update={"sizes": (10, 10, 10)})
    split = open_splits(task)["test"]
    real = Split(load_catalog().task("eurosat"), "test", split.items, "official", split.load)
    with pytest.raises(ContractError, match="task 'eurosat' is not a stand-in"):
        oracle_labels(real)
