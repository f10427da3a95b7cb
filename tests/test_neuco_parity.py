"""The probe of NeuCo-Bench against its own code (embed2scale/NeuCo-Bench at a89ba06)."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import ShuffleSplit

from geofm_eval.probes.neuco import fit_shuffles
from geofm_eval.probes.problem import Holdout
from geofm_eval.stats.scores import neuco_q, r2


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """A CSV of 200 items and 12 channels, and what NeuCo-Bench makes of it.

    ``r2``, ``mean`` and ``q`` are its own result with its sample configuration (40 shuffles, 10 epochs, batches of 64,
    rate 1e-3). ``mended`` is the last epoch of its own trainer on features and labels scaled with training items alone.
    """
    with np.load(Path(__file__).parent / "golden" / "neuco_adamw.npz") as file:
        return {name: file[name] for name in file.files}


def folds(golden: dict[str, np.ndarray]) -> list[Holdout]:
    drawn = ShuffleSplit(n_splits=40, test_size=0.1, random_state=42).split(golden["features"])
    return [Holdout(train, "all", test) for train, test in drawn]


def scores(golden: dict[str, np.ndarray], mended: bool) -> np.ndarray:
    cut, target = folds(golden), golden["target"]
    predicted = fit_shuffles(golden["features"], target, cut, mended)
    return np.array([r2(target[fold.held_out], values) for fold, values in zip(cut, predicted, strict=True)])


def test_every_shuffle_scores_what_neuco_bench_scores(golden: dict[str, np.ndarray]):
    found = scores(golden, mended=False)
    np.testing.assert_allclose(found, golden["r2"], rtol=1e-4)
    assert neuco_q(found) == pytest.approx(float(golden["q"]), rel=1e-4)
    assert found.mean() == pytest.approx(float(golden["mean"]), rel=1e-4)


def test_mended_scores_are_those_of_its_trainer_without_the_two_leaks(golden: dict[str, np.ndarray]):
    np.testing.assert_allclose(scores(golden, mended=True), golden["mended"], rtol=1e-4)


@pytest.mark.parametrize("mended", [False, True])
def test_only_the_faithful_probe_lets_test_items_reach_the_training(golden: dict[str, np.ndarray], mended: bool):
    """Of all test items but one, features and labels are spoiled: what is predicted for that one must not move."""
    cut = folds(golden)[:1]
    kept, spoiled = cut[0].held_out[:1], cut[0].held_out[1:]
    features, target = golden["features"].copy(), golden["target"].copy()
    features[spoiled] *= 3
    target[spoiled] += 1000
    before = fit_shuffles(golden["features"], golden["target"], cut, mended)[0][:1]
    after = fit_shuffles(features, target, cut, mended)[0][:1]
    assert len(kept) == 1
    assert np.array_equal(before, after) == mended
