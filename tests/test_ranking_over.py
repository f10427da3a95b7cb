"""Rankings over settings: Gail and Simon's test, tau, means, complete blocks; against oracles."""

import math
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from geofm_eval.errors import ContractError
from geofm_eval.ranking import Source, complete_block, gail_simon, kendall_tau, mean_of_shares

PUBLISHED = {2: 2.71, 3: 4.23, 4: 5.43, 5: 6.50}
"""Critical values of min(Q+, Q-) at .05 by number of settings (Gail and Simon 1985, table 1)."""


def test_p_is_five_percent_at_the_published_critical_values():
    for count, critical in PUBLISHED.items():
        statistics = [math.sqrt(critical), *[-math.sqrt(critical)] * (count - 1)]
        statistics = [statistics[0], *(value / math.sqrt(count - 1) for value in statistics[1:])]
        assert gail_simon(statistics) == pytest.approx(0.05, abs=1e-3)


def test_p_is_the_mixture_of_chi_squares():
    statistics = [2.5, 1.0, -1.8, -0.7, 0.3]
    least = 1.8**2 + 0.7**2
    expected = sum(stats.binom.pmf(h, 4, 0.5) * stats.chi2.sf(least, h) for h in range(1, 5))
    assert gail_simon(statistics) == pytest.approx(expected)
    assert gail_simon([-value for value in statistics]) == pytest.approx(expected)


def test_without_opposite_signs_nothing_speaks_for_a_change():
    assert gail_simon([3.0, 2.0, 0.0]) == 1
    assert gail_simon([]) == gail_simon([-4.0]) == 1


def rejected(statistics: np.ndarray, data: list[str] | None) -> float:
    return float(np.mean([gail_simon(row, data) <= 0.05 for row in statistics]))


def test_the_level_holds_in_the_least_favourable_case():
    """One difference is clearly positive, all others are zero."""
    drawn = np.random.default_rng(1).standard_normal((4000, 5))
    drawn[:, 0] += 50
    assert rejected(drawn, None) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_settings_with_the_same_items_do_not_count_as_many(correlation: float):
    rng = np.random.default_rng(2)
    shared = rng.standard_normal((1500, 3))[:, np.repeat(np.arange(3), 6)]
    drawn = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * rng.standard_normal((1500, 18))
    drawn[:, 0] += 50
    data = [str(number // 6) for number in range(18)]
    assert rejected(drawn, data) <= 0.06
    if correlation > 0.9:
        assert rejected(drawn, None) > 0.1  # what becomes of settings that are taken to be independent


def test_a_change_of_order_is_found():
    assert gail_simon([5.0, 4.0, -4.5], ["one", "one", "two"]) < 1e-3
    assert gail_simon([6.0, -6.0], ["one", "one"]) < 1e-3


def test_a_data_set_counts_its_clearest_setting_as_often_as_it_has_settings():
    p = 3 * stats.norm.sf(2.6)
    alone = -stats.norm.ppf(p)
    assert gail_simon([9.0, -2.6, -2.0, -1.0], ["a", "b", "b", "b"]) == pytest.approx(
        sum(stats.binom.pmf(h, 2, 0.5) * stats.chi2.sf(alone**2, h) for h in (1, 2))
    )


def test_statistics_that_make_no_sense_are_refused():
    with pytest.raises(ContractError, match="finite statistics"):
        gail_simon([1.0, math.nan])
    with pytest.raises(ContractError, match="one per data set"):
        gail_simon([1.0, -1.0], ["only one"])


@given(arrays(np.int64, (2, 7), elements=st.integers(0, 4)))
def test_tau_is_scipys(scores: np.ndarray):
    expected = stats.kendalltau(scores[0], scores[1]).statistic
    found = kendall_tau(scores[0], scores[1])
    assert found == (None if math.isnan(expected) else pytest.approx(expected))


def test_tau_of_orders():
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1
    assert kendall_tau([1, 1], [1, 2]) is None
    with pytest.raises(ContractError, match="two series"):
        kendall_tau([1, 2], [1, 2, 3])


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5)))
def test_means_over_settings_are_plain_and_scipys_trimmed_mean(values: np.ndarray):
    nothing: list[tuple[Source, ...]] = [()] * len(values)
    units = [1.0] * len(values)
    assert mean_of_shares(values.tolist(), nothing, nothing, units).value == pytest.approx(values.mean(), abs=1e-12)
    trimmed = mean_of_shares(values.tolist(), nothing, nothing, units, 0.25).value
    assert trimmed == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-12)


def test_a_mean_over_settings_errs_by_its_items():
    rng = np.random.default_rng(6)
    parts = rng.normal(0, 0.01, (3, 50))
    own = [(Source(f"items {number}", one, 49),) for number, one in enumerate(parts)]
    found = mean_of_shares([0.1, 0.2, 0.6], own, [()] * 3, [0.5, 0.5, 2.0])
    error = math.sqrt(
        sum(float(np.square(one / unit / 3).sum()) for one, unit in zip(parts, (0.5, 0.5, 2.0), strict=True))
    )
    assert found.value == pytest.approx(0.3)
    assert (found.high - found.low) / 2 == pytest.approx(error * stats.norm.ppf(0.975), rel=0.05)


@given(st.dictionaries(st.sampled_from("stuvwx"), st.frozensets(st.sampled_from("abcd")), max_size=6))
def test_no_block_is_larger_than_the_complete_one(measured: dict[str, frozenset[str]]):
    models, names = complete_block(measured)
    assert all(models <= measured[name] for name in names)
    every = chain.from_iterable(combinations("abcd", size) for size in range(1, 5))
    sizes = [len(own) * sum(set(own) <= found for found in measured.values()) for own in every]
    assert len(models) * len(names) == max(sizes)
