"""Which penalties are admissible: by what rounding makes of their lead, and no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.expected.admissible import DEVIATIONS, Admitted, Choices, as_text, choices, from_text


def solves(leads, sd, count=9, seed=0):
    """Validation losses above their lowest: one solve without noise, and others whose leads differ by ``sd``."""
    rng = np.random.default_rng(seed)
    own = np.array(leads)
    noisy = own + sd * rng.standard_normal((count, len(leads)))
    noisy[:, int(own.argmin())] = 0.0
    return own, [one - one.min() for one in noisy]


def test_a_penalty_within_five_deviations_of_the_best_is_admissible_and_no_other():
    own, noisy = solves([3e-2, 4e-5, 0.0, 2e-5, 1e-3], sd=2e-5, count=2000)
    assert choices(own, noisy, 2, 1.2) == Choices((2, 1, 3), 2e-5)
    near = choices(np.array([0.0, 1e-4 * 0.97]), solves([0.0, 1e-4], 2e-5, 2000)[1], 0, 1.2)
    far = choices(np.array([0.0, 1e-4 * 1.07]), solves([0.0, 1e-4], 2e-5, 2000)[1], 0, 1.2)
    assert (near.indices, far.indices) == ((0, 1), (0,))


def test_a_shift_that_all_solves_share_counts_as_much_as_scatter():
    """Noise moved the two best penalties apart in every solve: without noise they are nearly tied."""
    own = np.array([0.0, 5e-5])
    shifted = [np.array([0.0, 7e-5]), np.array([0.0, 7.1e-5]), np.array([0.0, 6.9e-5])]
    assert choices(own, shifted, 0, 1.2).indices == (0, 1)


@given(st.lists(st.floats(0, 1e-2), min_size=2, max_size=12), st.floats(1e-9, 1e-3), st.integers(0, 99))
def test_whatever_a_solve_chose_is_admissible(leads, sd, seed):
    leads[seed % len(leads)] = 0.0
    own, noisy = solves(leads, sd, seed=seed)
    chosen = int(own.argmin())
    found = choices(own, noisy, chosen, 1.0)
    assert found.indices[0] == chosen
    assert {int(one.argmin()) for one in noisy} <= set(found.indices)
    assert len(noisy) < DEVIATIONS**2, "with more solves than that a single turn could lie beyond the tolerance"


def test_each_solve_is_compared_with_the_best_penalty_whatever_its_own_lowest_loss():
    own = np.array([0.0, 1e-4, 1e-2])
    turned = np.array([1e-4, 0.0, 1e-2 + 1e-4])
    assert choices(own, [turned], 0, 1.0).indices == (0, 1)


def test_without_any_noise_only_rounding_is_a_tie():
    own = np.array([0.0, 1e-12, 1e-8])
    assert choices(own, [own, own], 0, 1.0).indices == (0, 1)


def test_without_validation_the_default_penalty_is_the_only_one():
    assert choices(np.zeros(0), [np.zeros(0)], 17, float("nan")) == Choices((17,), None)


PENALTIES = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True).map(tuple)


@given(st.lists(PENALTIES, min_size=1, max_size=40))
def test_choices_survive_their_text(draws):
    assert from_text(as_text([Choices(one) for one in draws])) == tuple(draws)


def test_the_text_is_short():
    assert as_text([Choices((21,)), Choices((22, 20)), Choices((21, 19, 20))]) == "21 22|20 21|19|20"


@pytest.mark.parametrize("text", ["", "21  22", "21|", "-1", "2.5", "21|21", "a"])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        from_text(text)


def test_the_gap_of_a_score_is_the_smallest_of_its_draws():
    draws = (Choices((1,), 0.2), Choices((2, 3), 0.001), Choices((4,), None))
    assert Admitted(0.5, 0.6, {}, draws).gap == 0.001
    assert Admitted(0.5, 0.6, {}).gap is None
