"""Shuffle splits: the published folds, blocks, nested subsets, and what a probe makes of them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geofm_eval.data.items import Item
from geofm_eval.data.labels import strata_of
from geofm_eval.data.shuffle_splits import item_blocks, shuffled_subsets, shuffles
from geofm_eval.errors import ContractError, DataError
from geofm_eval.probes import load_sweep, save_sweep, solve

N = 120


def items(n: int = N, **changes: object) -> list[Item]:
    rng = np.random.default_rng(0)
    places = rng.uniform(-5, 5, (n, 2))
    return [
        Item(**{"id": f"i{i}", "path": Path("x"), "label": float(i), "group": f"g{i % 15}",
                "lonlat": tuple(map(float, places[i])), **changes})
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((N, 6)).astype(np.float32)
    return rows, rows @ np.arange(6.0) + 3 * rng.standard_normal(N)


def test_folds_are_the_published_ones():
    for n in (20, 97, 1000):
        found = shuffles(n)
        expected = ShuffleSplit(n_splits=40, test_size=0.1, random_state=42).split(np.zeros(n))
        for shuffle, (train, test) in zip(found, expected, strict=True):
            assert shuffle.train.tolist() == sorted(train)
            assert shuffle.test.tolist() == sorted(test)
    assert len(found[0].test) == 100


def test_the_first_published_fold_is_what_it_was():
    """Published numbers rest on these items: a scikit-learn that draws others must not go unnoticed."""
    assert shuffles(20)[0].test.tolist() == [0, 17]
    assert shuffles(20)[39].test.tolist() == [3, 15]


def test_blocks_lie_on_one_side():
    blocks = item_blocks(items(), "group")
    found = shuffles(N, blocks)
    expected = GroupShuffleSplit(n_splits=40, test_size=0.1, random_state=42).split(np.zeros(N), groups=blocks)
    for shuffle, (_, test) in zip(found, expected, strict=True):
        assert shuffle.test.tolist() == sorted(test)
        assert not set(blocks[shuffle.train]) & set(blocks[shuffle.test])
        assert len(set(blocks[shuffle.test])) == 2


def test_cells_of_longitude_and_latitude_are_blocks():
    places = [(0.1, 0.1), (0.9, 0.9), (1.1, 0.1), (-0.1, 0.1), (0.1, -0.1)]
    cells = item_blocks([items(lonlat=place)[0] for place in places], 1)
    assert cells is not None
    assert cells.tolist() == ["0/0", "0/0", "1/0", "-1/0", "0/-1"]
    assert item_blocks(items(), None) is None


@pytest.mark.parametrize(
    ("blocks", "changes", "error", "said"),
    [
        ("cells", {}, ContractError, "option blocks is 'cells'; expected 'group' or the side of a cell"),
        (-1, {}, ContractError, "blocks is -1"),
        (True, {}, ContractError, "blocks is True"),
        ("group", {"group": None}, DataError, "sample 'i0' has no group"),
        (2.5, {"lonlat": None}, DataError, "sample 'i0' has no longitude"),
    ],
)
def test_blocks_that_cannot_be_made_are_refused(blocks, changes, error, said):
    with pytest.raises(error, match=said):
        item_blocks(items(**changes), blocks)


def test_too_few_items_or_blocks_are_refused():
    with pytest.raises(ContractError, match="found 19 samples; shuffle splits need at least 20"):
        shuffles(19)
    with pytest.raises(ContractError, match=r"found 3 blocks; .* need at least 10\. Use smaller"):
        shuffles(30, np.array([f"b{i % 3}" for i in range(30)]))
    with pytest.raises(ContractError, match=r"expected \(30,\), one block name per sample"):
        shuffles(30, np.array(["a", "b"]))


def test_subsets_are_nested_stratified_and_blind_to_the_test_items(data):
    _, targets = data
    subsets, plans = shuffled_subsets(targets, (0.1, 0.5, 1.0), seed=3)
    assert [(s.fraction, s.draw) for s in subsets] == [(f, d) for f in (0.1, 0.5, 1.0) for d in range(40)]
    by_key = {(s.fraction, s.draw): s for s in subsets}
    for draw, shuffle in enumerate(shuffles(N)):
        small, half, full = (by_key[fraction, draw] for fraction in (0.1, 0.5, 1.0))
        assert set(small.indices) < set(half.indices) < set(full.indices)
        assert full.indices.tolist() == shuffle.train.tolist()
        for subset in (small, half, full):
            assert subset.test is not None
            assert subset.test.tolist() == shuffle.test.tolist()
            folds = plans[subset.fraction, draw].folds
            assert sorted(np.concatenate(folds)) == list(range(len(subset.indices)))
        counts = np.bincount(strata_of(targets[shuffle.train])[np.searchsorted(shuffle.train, half.indices)])
        assert counts.min() >= 4, "every tenth of the target is represented by half of its eleven items"
    again, _ = shuffled_subsets(targets, (0.1, 0.5, 1.0), seed=4)
    assert any(a.indices.tolist() != b.indices.tolist() for a, b in zip(subsets, again, strict=True))


def test_a_shuffle_is_fitted_chosen_and_tested_on_its_own_items(data, tmp_path):
    rows, targets = data
    subsets, plans = shuffled_subsets(targets, (0.5, 1.0), seed=3)
    sweep = solve("ridge", lambda *_: rows, {"all": targets}, ("final",), "mean", subsets, plans, 0)
    for fraction, draw in ((0.5, 0), (1.0, 7)):
        row = sweep.row("final", fraction, draw)
        subset = next(s for s in subsets if (s.fraction, s.draw) == (fraction, draw))
        kept = subset.indices
        errors = np.zeros(40)
        for fold in plans[fraction, draw].folds:
            inner, held = np.delete(kept, fold), kept[fold]
            for index, penalty in enumerate(row.candidates):
                model = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(inner))).fit(
                    rows[inner], targets[inner]
                )
                errors[index] += np.square(model.predict(rows[held]) - targets[held]).sum()
        np.testing.assert_allclose(row.val_loss, errors / len(kept), rtol=1e-4)
        assert row.chosen_index == int(np.argmin(errors))
        model = make_pipeline(StandardScaler(), Ridge(alpha=row.chosen * len(kept))).fit(rows[kept], targets[kept])
        np.testing.assert_allclose(row.outcomes[subset.test], model.predict(rows[subset.test]), rtol=1e-4)
        assert np.isnan(np.delete(row.outcomes, subset.test)).all()
        assert (row.n_test, row.val_kind, row.n_val) == (12, "inner_cv", len(kept))
    save_sweep(sweep, tmp_path)
    for row, other in zip(load_sweep(tmp_path).rows, sweep.rows, strict=True):
        np.testing.assert_array_equal(row.outcomes, other.outcomes)


def test_what_shuffles_do_not_serve_is_refused(data):
    rows, targets = data
    subsets, plans = shuffled_subsets(targets, (1.0,), seed=3)

    def run(probe, labels, n_classes, subsets=subsets):
        return solve(probe, lambda *_: rows, labels, ("final",), "mean", subsets, plans, n_classes, task="crops")

    with pytest.raises(ContractError, match="probe 'knn' needs the splits train, val and test, but crops has shuffle"):
        run("knn", {"all": np.arange(N) % 2}, 2)
    with pytest.raises(ContractError, match="test samples are required without a test split"):
        run("ridge", {name: targets for name in ("train", "val", "test")}, 0)
    flat = np.where(np.isin(np.arange(N), subsets[4].test), 1.0, targets)
    with pytest.raises(DataError, match=r"the target is 1 in all of the test set of shuffle 4 \(12 samples\), so"):
        run("ridge", {"all": flat}, 0)
    with pytest.raises(DataError, match="crops: not finite: 1 of 120 targets of the all split"):
        run("ridge", {"all": np.where(np.arange(N) == 5, np.nan, targets)}, 0)
