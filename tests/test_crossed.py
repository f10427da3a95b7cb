"""Intervals of scores of counts: against brute-force resampling, against simulations, and what is refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from geofm_eval.confusion import iou_per_class, mean_iou
from geofm_eval.crossed import Term, contrast_interval, count_interval, count_score
from geofm_eval.errors import ContractError
from geofm_eval.resampling import resample_counts


def images(rng: np.random.Generator, n: int, seeds: int = 1, spread: float = 0.1) -> NDArray[np.int64]:
    """(seeds, n, 2, 2) confusion counts of images of 500 pixels of either class, of differing difficulty."""
    quality = np.clip(rng.normal(0.8, spread, n), 0.05, 0.99)
    hits = rng.binomial(500, quality[None, :, None], (seeds, n, 2))
    return np.stack(
        [np.stack([hits[..., 0], 500 - hits[..., 0]], -1), np.stack([500 - hits[..., 1], hits[..., 1]], -1)], -2
    )


def test_intervals_cover_the_score_and_groups_widen_them():
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(20), 5)
    quality = rng.uniform(0.5, 0.95, 20)[scene]
    hits = rng.binomial(500, quality[:, None], (100, 2))
    counts = np.stack([np.array([[a, 500 - a], [500 - b, b]]) for a, b in hits])
    score = float(mean_iou(counts.sum(0)))
    items, groups = count_interval(counts[None], "miou"), count_interval(counts[None], "miou", scene)
    assert items is not None
    assert groups is not None
    assert items.low < score < items.high
    assert groups.high - groups.low > 1.5 * (items.high - items.low)
    assert (items.covers, groups.covers) == ("items", "groups")
    one_class = count_interval(counts[None], "iou")
    assert one_class is not None
    assert one_class.low < float(iou_per_class(counts.sum(0))[1]) < one_class.high
    assert count_interval(counts[None, :1], "miou") is None


def test_one_seed_equals_resampling_image_by_image():
    counts = images(np.random.default_rng(1), 30)
    found = count_interval(counts, "miou", resamples=400, seed=7)
    drawn = np.concatenate(resample_counts(30, 400, 7)).astype(np.int64)
    scores = [float(mean_iou(np.repeat(counts[0], row, axis=0).sum(0))) for row in drawn]
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])))


def labelled_items(rng: np.random.Generator, shares: list[float], n: int) -> NDArray[np.int64]:
    """(seeds, n, 3, 3) confusion counts of one label per item, of seeds that are right that often."""
    truth = rng.integers(0, 3, n)
    counts = np.zeros((len(shares), n, 3, 3), dtype=np.int64)
    for seed, share in enumerate(shares):
        counts[seed, np.arange(n), truth, (truth + (rng.random(n) >= share)) % 3] = 1
    return counts


def test_accuracy_is_the_share_of_items_on_the_diagonal():
    counts = labelled_items(np.random.default_rng(11), [0.6, 0.9], 50)
    right = np.array([[bool(one.argmax() % 4 == 0) for one in seed] for seed in counts])
    assert count_score(counts, "accuracy").tolist() == right.mean(1).tolist()
    found = count_interval(counts[:1], "accuracy", resamples=400, seed=7)
    drawn = np.concatenate(resample_counts(50, 400, 7)).astype(np.int64)
    scores = [np.repeat(right[0], row).mean() for row in drawn]
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])))
    certain = count_interval(np.repeat(np.eye(3)[None, None] / 3, 20, axis=1), "accuracy")
    assert certain is not None
    assert (certain.low, certain.high) == (1, 1)


def test_the_interval_of_an_accuracy_is_as_wide_as_a_binomial_one_and_holds_the_truth():
    rng, n, share = np.random.default_rng(12), 300, 0.8
    held, widths = 0, []
    for _ in range(200):
        found = count_interval(labelled_items(rng, [share], n), "accuracy", resamples=300)
        assert found is not None
        held += found.low <= share <= found.high
        widths.append(found.high - found.low)
    assert 0.90 <= held / 200 <= 0.985
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / n), rel=0.05)


def test_the_error_of_a_regression_is_that_of_all_pixels():
    rng = np.random.default_rng(2)
    target, error = rng.normal(50, 10, (20, 64)), rng.normal(0, 3, (20, 64))
    sums = np.stack([np.full(20, 64), error.sum(1), (error**2).sum(1), target.sum(1), (target**2).sum(1)], 1)[None]
    assert count_score(sums, "rmse")[0] == pytest.approx(np.sqrt((error**2).mean()))
    assert count_score(sums, "r2")[0] == pytest.approx(1 - (error**2).mean() / target.var())
    interval = count_interval(sums, "rmse")
    assert interval is not None
    assert interval.low < float(count_score(sums, "rmse")[0]) < interval.high


def test_a_difference_is_paired_by_image():
    rng = np.random.default_rng(3)
    one = images(rng, 40, spread=0.2)
    other = one.copy()
    other[..., 0, 0] -= 10
    other[..., 0, 1] += 10
    paired = contrast_interval([Term(1, one, "miou"), Term(-1, other, "miou")])
    alone = count_interval(one, "miou")
    assert paired is not None
    assert alone is not None
    assert 0 < paired.low < paired.high < 0.05
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_nothing_differs_from_itself():
    counts = images(np.random.default_rng(4), 30)
    found = contrast_interval([Term(1, counts, "miou"), Term(-1, counts, "miou")])
    assert found is not None
    assert (found.low, found.high) == (0, 0)


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(5)
    alike = np.repeat(images(rng, 40), 3, axis=0)
    apart = np.concatenate([images(np.random.default_rng(6), 40), images(rng, 40) // 2, images(rng, 40)])
    narrow, wide = count_interval(alike, "miou"), count_interval(apart, "miou")
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > narrow.high - narrow.low
    assert wide.covers == "seeds x items"


@pytest.mark.parametrize(("scenes", "per_scene"), [(6, 8), (40, 1)])
def test_intervals_hold_the_truth_as_often_as_they_promise(scenes: int, per_scene: int):
    """Scenes of differing difficulty; the truth is the score of very many of them."""
    rng = np.random.default_rng(8)

    def drawn(count: int) -> NDArray[np.int64]:
        quality = np.repeat(np.clip(rng.normal(0.8, 0.1, count), 0.05, 0.99), per_scene)
        hits = rng.binomial(200, quality[:, None], (count * per_scene, 2))
        return np.stack(
            [np.stack([hits[:, 0], 200 - hits[:, 0]], -1), np.stack([200 - hits[:, 1], hits[:, 1]], -1)], -2
        )

    truth = float(mean_iou(drawn(20_000).sum(0)))
    groups = np.repeat(np.arange(scenes), per_scene)
    held = 0
    for _ in range(200):
        found = count_interval(drawn(scenes)[None], "miou", groups, resamples=300)
        assert found is not None
        held += found.low <= truth <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_a_resample_without_a_class_leaves_it_out():
    # One image in ten shows class 2, which is predicted by mistake in another.
    counts = np.zeros((1, 10, 3, 3), dtype=np.int64)
    counts[0, :, 0, 0] = counts[0, :, 1, 1] = 100
    counts[0, 0, 2, 2] = 50
    counts[0, 1, 0, 2] = 1
    found = count_interval(counts, "miou", resamples=500)
    assert found is not None
    assert found.low > 0.9


def test_few_groups_get_a_jackknife_and_say_so():
    counts = images(np.random.default_rng(9), 40, seeds=3)
    found = count_interval(counts, "miou", np.arange(40) % 5)
    assert found is not None
    assert found.method.startswith("jackknife over 5 groups, t with")
    assert found.covers == "seeds x groups"
    assert count_interval(counts, "miou", np.zeros(40)) is None


def test_no_interval_goes_beyond_what_a_score_can_be():
    counts = np.array([[[[9, 1], [0, 10]], [[1, 9], [10, 0]], [[9, 1], [9, 1]]]])
    alone = count_interval(counts, "miou", np.arange(3))
    paired = contrast_interval([Term(1, counts, "miou"), Term(-1, counts[:, ::-1], "miou")], np.arange(3))
    assert alone is not None
    assert paired is not None
    assert (alone.low, alone.high) == (0, 1)
    assert -1 <= paired.low <= paired.high <= 1


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], "terms over the same images"),
        ([Term(1, np.ones((1, 3, 2, 2)), "miou"), Term(-1, np.ones((1, 4, 2, 2)), "miou")], "over the same images"),
        ([Term(1, np.ones((1, 3, 2, 2)), "dice")], "metric 'dice' is none of counts"),
        ([Term(1, np.ones((3, 2, 2)), "miou")], r"must have shape \(seeds, n, K, K\), found \(3, 2, 2\)"),
        ([Term(1, np.ones((1, 3, 4)), "rmse")], r"must have shape \(seeds, n, 5\), found \(1, 3, 4\)"),
        ([Term(1, np.full((1, 3, 2, 2), np.nan), "miou")], "counts must be finite"),
    ],
)
def test_what_makes_no_contrast_is_refused(terms: list[Term], message: str):
    with pytest.raises(ContractError, match=message):
        contrast_interval(terms)
