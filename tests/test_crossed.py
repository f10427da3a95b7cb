"""Intervals of scores of counts: against a jackknife in loops, scipy, and what is refused."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from geofm_eval.errors import ContractError
from geofm_eval.metric import iou_per_class
from geofm_eval.stats.confusion_counts import mean_iou
from geofm_eval.stats.counts import Term, contrast_interval, count_interval, count_score


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


def jackknife(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Standard error and degrees of freedom from scores without each unit."""
    count = len(scores)
    error = float(np.sqrt((count - 1) / count * np.square(scores - scores.mean()).sum()))
    return error, min(count - 1, 2 * count / (stats.kurtosis(scores, fisher=False) - 1))


@pytest.mark.parametrize("grouped", [False, True])
def test_one_seed_is_a_jackknife_on_the_logit_scale(grouped: bool):
    counts = images(np.random.default_rng(1), 30)
    groups = np.repeat(np.arange(10), 3) if grouped else np.arange(30)
    found = count_interval(counts, "miou", groups if grouped else None)
    without = np.array([float(mean_iou(counts[0, groups != g].sum(0))) for g in np.unique(groups)])
    error, freedom = jackknife(without)
    score = float(mean_iou(counts[0].sum(0)))
    middle, reach = np.log(score / (1 - score)), stats.t.ppf(0.975, freedom) * error / score / (1 - score)
    assert found is not None
    assert found.freedom == pytest.approx(freedom)
    expected = [1 / (1 + np.exp(-end)) for end in (middle - reach, middle + reach)]
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.method == f"t interval, jackknife over {found.covers}, logit scale"


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
    plain = contrast_interval([Term(2, counts[:1], "accuracy")])
    error, freedom = jackknife(np.array([np.delete(right[0], item).mean() for item in range(50)]))
    assert plain is not None
    assert (plain.low / 2, plain.high / 2) == pytest.approx(stats.t.interval(0.95, freedom, right[0].mean(), error))
    certain = count_interval(np.repeat(np.eye(3)[None, None] / 3, 20, axis=1), "accuracy")
    assert certain is not None
    assert (certain.low, certain.high) == (1, 1)


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


def test_seeds_that_differ_in_quality_widen_the_interval():
    rng = np.random.default_rng(5)
    alike = np.repeat(images(rng, 40), 3, axis=0)
    apart = alike.copy()
    for seed, lost in enumerate((0, 60, 120)):
        moved = np.minimum(lost, apart[seed, :, 0, 0])
        apart[seed, :, 0, 0] -= moved
        apart[seed, :, 0, 1] += moved
    narrow, wide = count_interval(alike, "miou"), count_interval(apart, "miou")
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.freedom < 4 < narrow.freedom
    assert wide.covers == "seeds x items"


def test_seeds_that_differ_by_the_noise_of_images_alone_narrow_the_interval():
    rng = np.random.default_rng(6)
    one, three = (np.concatenate([images(rng, 40) for _ in range(count)]) for count in (1, 3))
    single, several = count_interval(one, "miou"), count_interval(three, "miou")
    assert single is not None
    assert several is not None
    assert several.high - several.low < 0.8 * (single.high - single.low)


def test_a_class_that_one_image_shows_is_left_out_without_it():
    # One image in ten shows class 2, which is predicted by mistake in another.
    counts = np.zeros((1, 10, 3, 3), dtype=np.int64)
    counts[0, :, 0, 0] = counts[0, :, 1, 1] = 100
    counts[0, 0, 2, 2] = 50
    counts[0, 1, 0, 2] = 1
    found = count_interval(counts, "miou")
    assert found is not None
    assert found.low > 0.9


def test_seeds_and_groups_are_named():
    counts = images(np.random.default_rng(9), 40, seeds=3)
    found = count_interval(counts, "miou", np.arange(40) % 5)
    assert found is not None
    assert found.covers == "seeds x groups"
    assert 0 < found.freedom <= 4
    assert count_interval(counts, "miou", np.zeros(40)) is None


def test_seeds_of_two_networks_have_nothing_in_common():
    rng = np.random.default_rng(13)
    first, second = images(rng, 40, seeds=3), images(rng, 40, seeds=3)
    found = contrast_interval([Term(1, first, "miou"), Term(-1, second, "miou")])
    turned = contrast_interval([Term(1, first[::-1], "miou"), Term(-1, second, "miou")])
    assert found is not None
    assert turned is not None
    assert (found.low, found.high) == pytest.approx((turned.low, turned.high))


def test_no_interval_goes_beyond_what_a_score_can_be():
    counts = np.array([[[[9, 1], [0, 10]], [[1, 9], [10, 0]], [[9, 1], [9, 1]]]])
    alone = count_interval(counts, "miou", np.arange(3))
    paired = contrast_interval([Term(1, counts, "miou"), Term(-1, counts[:, ::-1], "miou")], np.arange(3))
    assert alone is not None
    assert paired is not None
    assert 0 <= alone.low < 0.05 < 0.95 < alone.high <= 1
    assert -1 <= paired.low <= paired.high <= 1


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], "at least one term"),
        ([Term(1, np.ones((1, 3, 2, 2)), "miou"), Term(-1, np.ones((1, 4, 2, 2)), "miou")], "over the same images"),
        ([Term(1, np.ones((1, 3, 2, 2)), "dice")], "found metric 'dice', expected one of accuracy"),
        ([Term(1, np.ones((3, 2, 2)), "miou")], r"must have shape \(seeds, n, K, K\), found \(3, 2, 2\)"),
        ([Term(1, np.ones((1, 3, 4)), "rmse")], r"must have shape \(seeds, n, 5\), found \(1, 3, 4\)"),
        ([Term(1, np.full((1, 3, 2, 2), np.nan), "miou")], "expected finite counts"),
    ],
)
def test_what_makes_no_contrast_is_refused(terms: list[Term], message: str):
    with pytest.raises(ContractError, match=message):
        contrast_interval(terms)
