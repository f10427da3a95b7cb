"""What tokens cover, the ceiling of a grid of them, and the dense probe, against brute force and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.items import Item
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.probe import DenseProbe, label_subsets
from geofm_eval.dense.tokens import TokenEncoder, grid_ceiling, sample_tokens, token_targets
from geofm_eval.dense.windows import Window
from geofm_eval.errors import DataError
from geofm_eval.probes.heads import HeadJob, fit_heads
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.progress import LogProgress
from geofm_eval.stats.confusion_counts import confusion, mean_iou
from geofm_eval.stats.counts import count_score
from tests.small_chips import CATALOG, CROPS, FLOODS, chips, target_of
from tests.small_vit import load, small_vit

HEIGHTS = CATALOG.task("biomassters_sim")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


def probe(task=FLOODS, side=32, size=32, count=6, splits=None, most=None):
    spec = small_vit(image_size=size, bands=task.bands)
    adapter = InputAdapter(spec, task, CATALOG.recipe("probing"))
    splits = splits or {
        name: chips(task, name, count=n, first=first, side=side)
        for name, n, first in (("train", count, 0), ("val", 3, 50), ("test", 4, 70))
    }
    encoder = TokenEncoder(load(spec, task.slug), adapter, min(side, size), torch.device("cpu"))
    budgets = {(1.0, 0): ChipBudget(np.arange(count), np.arange(3))}
    return DenseProbe(encoder, splits, budgets, 7, LogProgress)


def test_tokens_say_what_their_labelled_pixels_are():
    target = target_of(3)
    target[:8, :8] = -1
    shares, weights = token_targets(target, (4, 4), FLOODS)
    for row in range(4):
        for column in range(4):
            block = target[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            known = block[block != -1]
            assert weights[row, column] == pytest.approx(known.size / 64)
            expected = [np.mean(known == k) for k in range(2)] if known.size else [0, 0]
            assert shares[:, row, column].tolist() == pytest.approx(expected)


def test_tokens_of_a_regression_say_their_mean():
    target = np.arange(16.0).reshape(4, 4)
    target[0, 0] = np.nan
    means, weights = token_targets(target, (2, 2), HEIGHTS)
    assert means[0].tolist() == [[pytest.approx((1 + 4 + 5) / 3), 4.5], [10.5, 12.5]]
    assert weights[0, 0] == 0.75


def test_the_ceiling_is_the_score_of_whoever_says_every_tokens_most_frequent_class():
    split = chips(name="test", count=3)
    total = np.zeros((2, 2), np.int64)
    for item in range(3):
        target = split.read_target(item)
        said = np.zeros_like(target)
        for row in range(0, 32, 8):
            for column in range(0, 32, 8):
                block = target[row : row + 8, column : column + 8]
                said[row : row + 8, column : column + 8] = np.argmax([np.sum(block == k) for k in range(2)])
        total += confusion(target, said, 2, -1)
    assert grid_ceiling(split, 32, (4, 4)) == pytest.approx(float(mean_iou(total)))
    assert grid_ceiling(split, 32, (32, 32)) == 1.0
    assert grid_ceiling(split, 32, (1, 1)) < grid_ceiling(split, 32, (4, 4)) < 1.0


def test_soft_targets_and_weights_give_the_optimum_of_scikit_learn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5)).astype(np.float32)
    shares = rng.dirichlet([1, 1, 1], 60)
    weights = rng.uniform(0.2, 1, 60)
    job = HeadJob("tap", np.arange(60), shares, weights)
    ((_, head),) = fit_heads([job], {"tap": features}, 3, torch.device("cpu"))
    index = 20
    # Every row three times, once as each class, weighted by its share.
    standard = head.standardiser(torch.from_numpy(features)).numpy()
    repeated, labels = np.repeat(standard, 3, axis=0), np.tile(np.arange(3), 60)
    counted = (shares * weights[:, None] / weights.sum()).ravel()
    model = LogisticRegression(C=1 / PENALTIES[index], tol=1e-10, max_iter=10_000)
    model.fit(repeated, labels, sample_weight=counted)
    found = head.logits_at(features, index).softmax(1).numpy()
    np.testing.assert_allclose(found, model.predict_proba(standard), atol=2e-4)


def test_counts_equal_those_of_a_loop_over_pixels():
    made = probe()
    sweep = made.stored()
    (_, counts), *_ = sweep.rows_for("block01", 1.0)
    samples = {name: sample_tokens(made.encoder, made.splits[name], 7) for name in ("train", "val")}
    solved = made.problem.solved(samples)["block01", (1.0, 0)]
    split = made.splits["test"]
    for item in range(len(split)):
        target = split.read_target(item)
        encoded, *_ = made.encoder.maps(split.read(item), [Window(0, 0, 32)])
        logits = solved.apply(encoded.taps["block01"])[0].detach().numpy()
        said = np.zeros_like(target)
        for row in range(32):
            for column in range(32):
                said[row, column] = int(np.argmax([_bilinear(logits[k], row, column, 32) for k in range(2)]))
        np.testing.assert_array_equal(counts[item], confusion(target, said, 2, -1))


def _bilinear(grid, row, column, size):
    """One pixel of a bilinear enlargement whose pixel areas are aligned."""
    places = []
    for position, length in ((row, grid.shape[0]), (column, grid.shape[1])):
        at = min(max((position + 0.5) * length / size - 0.5, 0), length - 1)
        low = min(int(at), length - 1)
        places.append((low, min(low + 1, length - 1), at - low))
    (top, bottom, down), (left, right, across) = places
    upper = grid[top, left] * (1 - across) + grid[top, right] * across
    lower = grid[bottom, left] * (1 - across) + grid[bottom, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize(("task", "side"), [(FLOODS, 32), (FLOODS, 48), (FLOODS, 20), (CROPS, 32)])
def test_what_is_easy_is_found_in_chips_of_any_size_and_in_series(task, side):
    sweep = probe(task, side=side).stored()
    scores = {row.tap: count_score(sweep.counts[i][None], "miou")[0] for i, row in enumerate(sweep.rows)}
    if task is FLOODS:
        # Saying "dry" everywhere scores less than a half.
        assert max(scores.values()) > 0.6
    assert sweep.counts.shape[:2] == (5, 4)
    assert all(row.converged for row in sweep.rows)


def test_a_class_without_a_training_token_is_never_predicted():
    sweep = probe(CROPS).stored()  # of ten classes the chips show the first two
    assert not sweep.counts[..., 2:].any()


def test_few_labels_are_cross_validated():
    made = probe()
    parts = (np.array([0, 1]), np.array([2, 3]), np.array([4, 5]))
    folded = replace(made, budgets={(0.1, 0): ChipBudget(np.arange(6), np.arange(0), folds=parts)})
    rows = {row.tap: row for row in folded.stored().rows}
    # The same by hand: every fold is the validation split of a probe that is solved without it.
    alone = []
    for part in parts:
        splits = {**made.splits, "val": replace(made.splits["train"], name="val")}
        budget = ChipBudget(np.setdiff1d(np.arange(6), part), part)
        alone.append(replace(made, splits=splits, budgets={(0.1, 0): budget}))
    tokens = sample_tokens(made.encoder, made.splits["train"], 7)
    weights = [tokens.of(part).weights.sum() for part in parts]
    for tap in ("block00", "final"):
        losses = [next(r for r in one.stored().rows if r.tap == tap).val_loss for one in alone]
        expected = np.average(losses, axis=0, weights=weights)
        np.testing.assert_allclose(rows[tap].val_loss, expected, rtol=1e-5)
        assert rows[tap].cross_validated
        assert rows[tap].n_val == 6
        assert 0 < rows[tap].val_score <= 1
    # What is tested is solved with all training chips.
    np.testing.assert_array_equal(folded.stored().counts.shape, made.stored().counts.shape)


def test_numbers_are_regressed_and_scored_by_all_pixels():
    def heights(item: Item) -> np.ndarray:
        target = target_of(int(item.path.stem))
        return np.where(target == -1, np.nan, 100.0 + 100.0 * target).astype(np.float32)

    made = probe(HEIGHTS)
    splits = {name: replace(split, load_target=heights) for name, split in made.splits.items()}
    sweep = replace(made, splits=splits).stored()
    assert sweep.counts.shape == (5, 4, 5)
    assert max(count_score(counts[None], "r2")[0] for counts in sweep.counts) > 0.5
    assert all(row.converged is None for row in sweep.rows)


def test_it_is_solved_once(monkeypatch):
    first = probe().stored()
    monkeypatch.setattr("geofm_eval.dense.probe.sample_tokens", lambda *_: pytest.fail("encoded again"))
    again = probe().stored()
    np.testing.assert_array_equal(first.counts, again.counts)
    assert (first.rows, first.grid) == (again.rows, again.grid)


@pytest.mark.parametrize("folded", [False, True])
def test_validation_scores_are_resampled_by_chip_the_same_chips_for_every_tap(monkeypatch, folded):
    """With every chip drawn once the resampled score is the score."""
    monkeypatch.setattr("geofm_eval.dense.pixel_counts.resample_weights", lambda n, *_: np.ones((3, n), np.float32))
    parts = (np.array([0, 1]), np.array([2, 3]), np.array([4, 5]))
    made = probe()
    if folded:
        made = replace(made, budgets={(0.1, 0): ChipBudget(np.arange(6), np.arange(0), folds=parts)})
    sweep = made.stored()
    for fraction, scores in sweep.resamples.items():
        for tap, found in zip(sweep.taps, scores, strict=True):
            own = [row.val_score for row, _ in sweep.rows_for(tap, fraction)]
            np.testing.assert_allclose(found, np.mean(own), rtol=2e-5)
    assert sorted(sweep.resamples) == sweep.fractions
    monkeypatch.undo()
    assert made.stored().resamples.keys() == sweep.resamples.keys()


def test_the_best_blocks_are_chosen_on_validation_and_named_by_depth():
    sweep = probe().stored()
    blocks = sorted((row for row in sweep.rows if row.tap.startswith("block")), key=lambda r: (-r.val_score, r.tap))
    assert sweep.best_taps(1) == (blocks[0].tap,)
    assert sweep.best_taps(2) == tuple(sorted(row.tap for row in blocks[:2]))


def test_a_sample_is_the_same_for_all_models_of_a_grid():
    split = probe().splits["train"]
    one, other = (sample_tokens(probe().encoder, split, 7, most=20) for _ in range(2))
    whole = sample_tokens(probe().encoder, split, 7)
    assert len(one.weights) == 20 < len(whole.weights)
    np.testing.assert_array_equal(one.chips, other.chips)
    np.testing.assert_array_equal(one.features["final"], other.features["final"])
    assert all((one.features["final"][i] == whole.features["final"]).all(1).any() for i in range(20))


def test_chips_of_one_class_are_refused():
    made = probe()
    dry = replace(made.splits["train"], load_target=lambda _: np.zeros((32, 32), np.int64))
    with pytest.raises(DataError, match="show only 'dry', expected two or more classes"):
        probe(splits={**made.splits, "train": dry}).stored()


def test_a_hundredth_of_some_dozens_of_chips_is_left_out():
    assert label_subsets((0.01, 0.1, 1.0), 2) == [(0.1, 0), (0.1, 1), (1.0, 0)]
