"""Drift: what is planted is found where it was planted; contrasts, intervals and verdicts from few seeds."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geofm_eval.backbones.base import SUBMODULES
from geofm_eval.catalog import load_catalog
from geofm_eval.data.relabelled import with_shuffled_labels
from geofm_eval.errors import ContractError, DataError
from geofm_eval.similarity import cka, drift_contrasts
from geofm_eval.similarity.drift import DriftValues, Networks, compute_drift
from geofm_eval.stats.jackknife import jackknife_error_of
from geofm_eval.stats.over_seeds import estimate, estimate_of, leader, p_of
from tests.reduced_models import batch, subject
from tests.small_chips import chips
from tests.small_items import WOOD, items
from tests.small_vit import batch as small_batch
from tests.small_vit import load, small_vit
from tests.test_inside import noised

SEEDS = range(3)


@dataclass(frozen=True)
class One:
    """A contrast as a record holds it."""

    per_seed: tuple[float, ...]
    error: float | None = None


def networks(frozen, tuned, shuffled=None, starts=None):
    return Networks(
        frozen=starts or (frozen,) * len(tuned),
        tuned=tuple(tuned),
        shuffled=tuple(shuffled or tuned),
        still=copy.deepcopy(frozen),
        again=copy.deepcopy(frozen),
    )


def small():
    """A frozen backbone, and 40 items in two batches."""
    images = small_batch(40)
    return load(small_vit()).backbone, lambda: [images]


def at(values, measure, tap, arm="tuned"):
    return values.values[measure][arm][:, values.taps.index(tap)]


def test_a_change_of_fc1_in_one_block_is_found_there_and_inherited_downstream():
    frozen, batches = small()
    tuned = [noised(frozen, seed, only="blocks.1.mlp.fc1") for seed in SEEDS]
    values = compute_drift(networks(frozen, tuned), batches, False)
    assert values.taps[:5] == ("embed", "block00", "block01", "block02", "final")
    assert values.taps[5:] == tuple(f"block0{i}.{part}" for i in range(3) for part in SUBMODULES)
    assert values.n == 40
    upstream = ["embed", "block00", *(f"block01.{part}" for part in SUBMODULES[:6])]
    for tap in upstream:
        assert np.abs(at(values, "total", tap)).max() < 1e-9, tap
    for tap in ("block01.fc1", "block01.fc2", "block01", "block02.q", "block02", "final"):
        assert at(values, "total", tap).min() > 1e-6, tap
    for tap in values.taps:
        local, weight = at(values, "local", tap), at(values, "weight", tap)
        if tap == "final":
            assert np.isnan(local).all()
        elif tap in ("block01.fc1", "block01"):
            assert local.min() > 1e-6, tap
        else:
            assert np.abs(local).max() < 1e-9, f"{tap} was not changed, it inherited"
        if tap in ("block01.fc1", "block01"):
            assert weight.min() > 0.01
        elif not np.isnan(weight).all():
            assert weight.max() == 0, tap
    for measure in ("total", "local", "procrustes", "distance"):
        for arm in ("still", "again"):
            assert np.nanmax(np.abs(values.values[measure][arm])) < 1e-6
    assert at(values, "total", "block01.fc1", "seeds").min() > 1e-6
    assert len(values.values["total"]["seeds"]) == 3


def test_measures_are_those_of_the_features():
    frozen, batches = small()
    tuned = noised(frozen)
    values = compute_drift(networks(frozen, [tuned]), batches, False)
    with torch.inference_mode():
        x, y = (one(small_batch(40))["block01"][:, 1:].mean(1).double().numpy() for one in (frozen, tuned))
    assert at(values, "total", "block01")[0] == pytest.approx(1 - cka(x, y).debiased, abs=1e-5)
    x, y = x - x.mean(0), y - y.mean(0)
    assert at(values, "distance", "block01")[0] == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(x), abs=1e-4)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    nuclear = np.linalg.svd(x.T @ y, compute_uv=False).sum()
    assert at(values, "procrustes", "block01")[0] == pytest.approx(2 - 2 * nuclear, abs=1e-4)
    assert values.layers.debiased[2, 2] == pytest.approx(1 - at(values, "total", "block01")[0])
    assert values.layers.rows == ("embed", "block00", "block01", "block02", "final")


def test_an_architecture_without_callable_blocks_has_local_drift_of_blocks_too():
    _, _, frozen = subject("croma_optical_random")
    tuned, images = noised(frozen, only="layers.1."), batch("croma_optical_random", 8)
    values = compute_drift(networks(frozen, [tuned]), lambda: [images], False)
    assert abs(at(values, "local", "block00")[0]) < 1e-9
    assert at(values, "local", "block01")[0] == pytest.approx(at(values, "total", "block01")[0], abs=1e-6)
    assert at(values, "local", "block01")[0] > 1e-6


def test_seeds_that_began_elsewhere_have_no_floor_of_seeds():
    frozen, batches = small()
    starts = (frozen, noised(frozen, 7))
    tuned = [noised(one, 9) for one in starts]
    values = compute_drift(networks(frozen, tuned, starts=starts), batches, False)
    assert "seeds" not in values.values["total"]
    assert drift_contrasts.above_seeds(values, "total") is None
    own = compute_drift(networks(starts[1], [tuned[1]]), batches, False)
    np.testing.assert_allclose(at(values, "total", "block02")[1], at(own, "total", "block02")[0], rtol=1e-6)


def test_single_tokens_have_drift_of_their_own():
    frozen, batches = small()
    values = compute_drift(networks(frozen, [noised(frozen)]), batches, False, tokens=True)
    assert at(values, "token", "block02")[0] > 1e-6
    assert at(values, "token", "block02")[0] != pytest.approx(at(values, "total", "block02")[0], rel=1e-3)
    assert "token" not in compute_drift(networks(frozen, [copy.deepcopy(frozen)]), batches, False).values


def test_a_backbone_beside_itself_is_refused():
    frozen, batches = small()
    with pytest.raises(ContractError, match="pass a copy"):
        compute_drift(networks(frozen, [frozen]), batches, False)


def planted(tuned, shuffled, without=None):
    """Two blocks and all parts; rows of values (repetitions, taps) for measure ``total``."""
    taps = ("block00", "block01", *(f"block0{i}.{part}" for i in range(2) for part in SUBMODULES))
    arms = {"tuned": np.array(tuned), "shuffled": np.array(shuffled)}
    return DriftValues(taps, 40, {"total": arms}, {} if without is None else {"total": without}, None)


def test_contrasts_are_what_a_loop_gives():
    rng = np.random.default_rng(0)
    tuned, shuffled = rng.uniform(size=(3, 18)), rng.uniform(size=(3, 18))
    without = {arm: rng.uniform(size=(3, 10, 18)) for arm in ("tuned", "shuffled")}
    values = planted(tuned, shuffled, without)

    def part_mean(rows, part):
        return np.mean([rows[..., values.taps.index(f"block0{i}.{part}")] for i in range(2)], axis=0)

    for floor in (True, False):
        less = shuffled if floor else np.zeros_like(shuffled)
        gone = without["shuffled"] if floor else 0 * without["shuffled"]
        means = drift_contrasts.part_means(values, "total", floor)
        for part in SUBMODULES:
            expected = part_mean(tuned, part) - part_mean(less, part)
            np.testing.assert_allclose(means[part].per_seed, expected)
            each = (part_mean(without["tuned"], part) - part_mean(gone, part)).mean(0)
            assert means[part].error == pytest.approx(jackknife_error_of(each))
        assert set(drift_contrasts.leads(values, "total", floor)) == set(SUBMODULES) - {"fc1"}
        lead = drift_contrasts.leads(values, "total", floor)["q"]
        np.testing.assert_allclose(lead.per_seed, np.subtract(means["fc1"].per_seed, means["q"].per_seed))
        deep = drift_contrasts.deepening(values, "total", floor)
        np.testing.assert_allclose(deep.per_seed, (tuned - less)[:, 1] - (tuned - less)[:, 0])
        np.testing.assert_allclose(
            drift_contrasts.whole(values, "total", floor).per_seed, (tuned - less)[:, :2].mean(1)
        )
    errors = drift_contrasts.errors(values, "total")
    assert errors[4] == pytest.approx(jackknife_error_of(without["tuned"].mean(0)[:, 4]))


def test_drift_above_that_of_seeds_uses_the_pairs_of_each_seed():
    tuned = np.zeros((3, 18))
    tuned[:, :2] = [[0.3, 0.3], [0.4, 0.4], [0.5, 0.5]]
    values = planted(tuned, tuned)
    pairs = np.zeros((3, 18))  # seeds (0, 1), (0, 2), (1, 2)
    pairs[:, :2] = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]
    values.values["total"]["seeds"] = pairs
    assert drift_contrasts.above_seeds(values, "total").per_seed == pytest.approx((0.15, 0.2, 0.25))


def test_a_measure_that_does_not_apply_has_no_contrast():
    tuned = np.full((3, 18), np.nan)
    values = planted(tuned, tuned)
    assert drift_contrasts.whole(values, "total") is None
    assert drift_contrasts.part_means(values, "total") == {}


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(0.5, 0.99))
def test_without_item_error_the_interval_is_that_of_student(values, level):
    found = estimate_of(values, level=level)
    if np.std(values) > 1e-6:
        low, high = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high))
        t, p = stats.ttest_1samp(values, 0.0)
        assert p_of(One(tuple(values))) == pytest.approx(p)
        if abs(p - (1 - level)) > 1e-9:  # at the very edge rounding decides
            assert found.above == (p < 1 - level and t > 0)
    assert found.value == pytest.approx(np.mean(values))


def test_item_error_widens_and_one_seed_has_no_interval():
    assert estimate(One((0.1, 0.1, 0.1), 0.05)).high == pytest.approx(0.1 + stats.norm.ppf(0.975) * 0.05)
    assert estimate(One((0.1,), 0.05)).low is None
    assert p_of(One((0.1, 0.1, 0.1), 0.05)) == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-4)
    assert p_of(One((0.0, 0.0))) == 1.0
    assert p_of(One((0.2, 0.2))) == 0.0


def test_intervals_cover():
    """Seeds and items are both random: 3 seeds and as many errors over the items again."""
    rng, hits, draws = np.random.default_rng(0), 0, 2000
    for _ in range(draws):
        items_part = rng.normal(0, 0.1)
        found = estimate(One(tuple(1 + rng.normal(0, 0.2, 3) + items_part), 0.1))
        hits += found.low < 1 < found.high
    assert 0.93 <= hits / draws <= 0.99


def test_verdicts_follow_from_the_leads():
    ahead, behind, even = (One(values) for values in ((0.3, 0.31, 0.29), (-0.3, -0.31, -0.29), (-0.3, 0.3, 0.1)))
    parts = [part for part in SUBMODULES if part != "fc1"]
    assert leader(dict.fromkeys(parts, ahead)).verdict == "supported"
    found = leader({**dict.fromkeys(parts, ahead), "v": behind})
    assert (found.verdict, found.rival) == ("refuted", "v")
    assert found.lead.value == pytest.approx(-0.3)
    assert leader({**dict.fromkeys(parts, ahead), "q": even}).verdict == "undecided"
    # Clearly behind one part at 95 %, but not at 95 % over seven tests.
    spread = One((-0.2, -0.3, -0.4))
    assert estimate(spread).below
    assert leader({**dict.fromkeys(parts, even), "k": spread}).verdict == "undecided"


def test_what_lies_below_its_floor_neither_leads_nor_refutes():
    ahead, behind = One((0.3, 0.31, 0.29)), One((-0.3, -0.31, -0.29))
    parts = [part for part in SUBMODULES if part != "fc1"]
    above, below = (dict.fromkeys(SUBMODULES, one) for one in (ahead, behind))
    assert leader(dict.fromkeys(parts, ahead), above).verdict == "supported"
    assert leader(dict.fromkeys(parts, ahead), below).verdict == "undecided"
    assert leader(dict.fromkeys(parts, behind), above).verdict == "refuted"
    assert leader(dict.fromkeys(parts, behind), below).verdict == "undecided"
    # Of two parts ahead the one above its floor decides.
    leads = {**dict.fromkeys(parts, ahead), "q": behind, "v": One((-0.1, -0.1, -0.1001))}
    assert leader(leads, {**below, "q": ahead}).rival == "q"
    assert leader(leads, {**below, "q": ahead}).verdict == "refuted"


def test_the_part_that_refutes_is_the_one_that_is_named():
    parts = [part for part in SUBMODULES if part != "fc1"]
    even = One((-0.01, 0.3, 0.1))
    leads = {**dict.fromkeys(parts, even), "q": One((-0.10, -0.11, -0.105)), "v": One((-0.9, 0.2, -0.3))}
    found = leader(leads)
    assert (found.verdict, found.rival) == ("refuted", "q")
    assert found.lead.high < 0
    assert found.p == pytest.approx(7 * p_of(leads["q"]))


def test_few_units_widen_and_one_seed_tests_nothing():
    one = One((0.1, 0.1, 0.1), 0.05)
    assert estimate(one, 10).high == pytest.approx(0.1 + stats.t.ppf(0.975, 9) * 0.05, rel=1e-3)
    assert estimate(one, 10).high > estimate(one).high
    assert p_of(One((0.1,), 0.05)) == 1.0


def test_false_alarms_are_few():
    """Without any difference between parts, at most one in twenty verdicts says that another part is ahead."""
    rng, alarms, draws = np.random.default_rng(1), 0, 1000
    parts = [part for part in SUBMODULES if part != "fc1"]
    for _ in range(draws):
        values = rng.normal(1, 0.1, (8, 3))
        leads = {part: One(tuple(values[0] - values[1 + number])) for number, part in enumerate(parts)}
        alarms += leader(leads, dict.fromkeys(SUBMODULES, One((1.0, 1.01, 0.99)))).verdict != "undecided"
    assert alarms / draws <= 0.06


def test_too_few_groups_leave_items_out():
    frozen, batches = small()
    tuned = [noised(frozen, seed) for seed in range(2)]
    many = compute_drift(networks(frozen, tuned), batches, False, groups=np.repeat(np.arange(8), 5))
    assert (many.units, many.errors_over) == (8, "groups")
    few = compute_drift(networks(frozen, tuned), batches, False, groups=np.repeat(["a", "b"], 20))
    assert (few.units, few.errors_over) == (40, "items")


def test_nobody_keeps_its_label_and_one_item_is_refused():
    for seed in range(20):
        split = items(WOOD, count=5, labels=[10.0, 20.0, 30.0, 40.0, 50.0])
        other = with_shuffled_labels(split, list(range(5)), seed)
        assert not (other.labels == split.labels).any()
    with pytest.raises(DataError, match="cannot shuffle labels, found 1 labelled sample"):
        with_shuffled_labels(split, [2], 0)


def test_label_maps_of_other_sizes_are_cut_or_filled_up():
    land = load_catalog().task("sen1floods11_sim")
    split = replace(chips(land, "train", count=2), load_target=lambda item: np.ones(SIZES[item.id], dtype=np.int64))
    SIZES.update({split.items[0].id: (4, 6), split.items[1].id: (6, 4)})
    other = with_shuffled_labels(split, [0, 1], 0)
    got = other.load_target(other.items[0])
    assert got.shape == (4, 6)
    assert (got[:, :4] == 1).all()
    assert (got[:, 4:] == land.ignore).all()


SIZES = {}


def test_labels_are_exchanged_among_the_training_items_alone():
    split = items(count=20)
    rows = list(range(12))
    other = with_shuffled_labels(split, rows, seed=3)
    assert sorted(other.labels[:12]) == sorted(split.labels[:12])
    assert other.labels[:12].tolist() != split.labels[:12].tolist()
    assert other.labels[12:].tolist() == split.labels[12:].tolist()
    assert other.ids == split.ids
    assert other.labels_sha256 != split.labels_sha256
    assert other.items_sha256 == split.items_sha256
    assert with_shuffled_labels(split, rows, seed=3).labels.tolist() == other.labels.tolist()
    assert with_shuffled_labels(split, rows, seed=4).labels.tolist() != other.labels.tolist()
    numbers = items(WOOD, count=20)
    assert sorted(with_shuffled_labels(numbers, rows, 0).labels) == sorted(numbers.labels)
