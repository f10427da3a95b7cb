"""Laws of debiased CKA, and two independent implementations next to it."""

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from geofm_eval.errors import ContractError
from geofm_eval.similarity import cka, cka_matrix

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=40, deadline=None)


def gaussian(seed, n=12, p=5, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1.0, (n, p))


def related(seed, n=12, p=5, q=4):
    """Two feature sets that share something."""
    x = gaussian(seed, n, p)
    return x, x @ gaussian(seed + 1, p, q) + 0.5 * gaussian(seed + 2, n, q)


def rotation(seed, p):
    return np.linalg.qr(gaussian(seed, p, p))[0]


def song(x, y):
    """Debiased CKA by Song's formula, with loops over items: nothing is shared with the code under test."""

    def hsic(k, m):
        n = len(k)
        k, m = (g - np.diag(np.diag(g)) for g in (k, m))
        first = sum(k[i, j] * m[j, i] for i in range(n) for j in range(n))
        second = k.sum() * m.sum() / ((n - 1) * (n - 2))
        third = 2 / (n - 2) * sum(k[i].sum() * m[i].sum() for i in range(n))
        return (first + second - third) / (n * (n - 3))

    x, y = x - x.mean(0), y - y.mean(0)
    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def kornblith(x, y):
    """Biased CKA from centring matrices."""
    n = len(x)
    centre = np.eye(n) - 1 / n
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    return np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))


@FEW
@given(SEEDS, st.integers(4, 20), st.integers(1, 30), st.integers(1, 30))
def test_both_values_equal_independent_implementations(seed, n, p, q):
    x, y = related(seed, n, p, q)
    expected = song(x, y)
    assume(np.isfinite(expected))
    for form in ("gram", "features"):
        found = cka(x, y, form)
        assert found.debiased == pytest.approx(expected, abs=1e-8)
        assert found.biased == pytest.approx(kornblith(x, y), abs=1e-10)
        assert (found.n, found.reason) == (n, "")


@FEW
@given(SEEDS, st.integers(5, 20), st.integers(1, 30))
@example(seed=0, n=4, p=3)
@example(seed=0, n=6, p=500)
def test_anything_is_like_itself(seed, n, p):
    x = gaussian(seed, n, p)
    found = cka(x, x)
    assert found.debiased == pytest.approx(1, abs=1e-9)
    assert found.biased == pytest.approx(1, abs=1e-12)


@FEW
@given(SEEDS)
def test_it_is_symmetric(seed):
    x, y = related(seed)
    one, other = cka(x, y), cka(y, x)
    assert (one.debiased, one.biased) == pytest.approx((other.debiased, other.biased), abs=1e-12)


@FEW
@given(SEEDS, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.sampled_from(["gram", "features"]))
@example(seed=1, scale=1e-6, shift=0.0, form="gram")
@example(seed=1, scale=1.0, shift=1000.0, form="features")
def test_rotation_scale_translation_and_order_do_not_matter(seed, scale, shift, form):
    x, y = related(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    moved = (x @ rotation(seed + 3, 5) + shift * gaussian(seed + 4, 1, 5)) * scale
    padded = np.hstack([moved, np.zeros((len(x), 2))])
    doubled = np.hstack([padded, padded])
    expected, found = cka(x, y, form), cka(doubled[order], y[order], form)
    assert found.debiased == pytest.approx(expected.debiased, abs=1e-8)
    assert found.biased == pytest.approx(expected.biased, abs=1e-8)


def test_a_general_invertible_map_matters():
    x = gaussian(0, 200, 6)
    stretch = np.diag(np.logspace(0, 2, 6))
    assert cka(x, x @ stretch).debiased < 0.9
    assert cka(x, x @ rotation(1, 6)).debiased == pytest.approx(1)


@FEW
@given(SEEDS, st.integers(5, 20), st.integers(1, 40), st.integers(1, 40))
def test_the_biased_value_lies_between_0_and_1_and_the_debiased_below(seed, n, p, q):
    found = cka(gaussian(seed, n, p), gaussian(seed + 1, n, q))
    assert -1e-9 <= found.biased <= 1 + 1e-9
    assert found.debiased <= 1 + 1e-9


def test_independent_data_come_out_near_zero_and_biased_does_not():
    found = [cka(gaussian(seed, 30, 300), gaussian(seed + 1000, 30, 300)) for seed in range(60)]
    debiased, biased = np.array([(one.debiased, one.biased) for one in found]).T
    assert abs(debiased.mean()) < 4 * debiased.std(ddof=1) / np.sqrt(60)
    assert (biased > debiased).all()
    assert biased.mean() > 0.85


@FEW
@given(SEEDS, st.integers(0, 3))
def test_float32_gives_what_float64_gives(seed, decade):
    x, y = (part + 10.0**decade for part in related(seed, 40, 8, 6))
    exact, rounded = cka(x, y), cka(x.astype(np.float32), torch.from_numpy(y.astype(np.float32)))
    assert rounded.debiased == pytest.approx(exact.debiased, abs=1e-5)


def test_lists_that_share_names_keep_their_reasons_apart():
    x, y = related(0)
    found = cka_matrix({"a": x, "b": y}, {"a": np.ones((12, 2)), "b": y})
    assert found.pair("a", "b").reason == ""
    assert np.isfinite(found.pair("a", "b").debiased)
    assert found.pair("b", "a").reason == "a is the same for all items"


@pytest.mark.parametrize("form", ["gram", "features"])
def test_all_pairs_equal_each_pair_alone(form):
    layers = {f"l{k}": gaussian(k, 15, 3 + k) for k in range(4)}
    others = {f"m{k}": gaussian(10 + k, 15, 2 + k) for k in range(3)}
    inner, outer = cka_matrix(layers, form=form), cka_matrix(layers, others, form)
    assert (inner.debiased.shape, outer.debiased.shape) == ((4, 4), (4, 3))
    for a, x in layers.items():
        for b, y in {**layers, **others}.items():
            found = (inner if b in layers else outer).pair(a, b)
            assert found.debiased == pytest.approx(cka(x, y).debiased, abs=1e-10)


@pytest.mark.parametrize("form", ["gram", "features"])
def test_constant_input_has_no_similarity_and_a_reason(form):
    x = gaussian(0)
    for flat in (np.full((12, 3), 7.0), np.tile(gaussian(1, 1, 3) * 1e6, (12, 1))):
        found = cka(x, flat, form)
        assert np.isnan([found.debiased, found.biased]).all()
        assert found.reason == "y is the same for all items"
    column = np.hstack([x, np.full((12, 1), 1e3)])
    assert cka(x, column, form).debiased == pytest.approx(1, abs=1e-8)


def test_a_matrix_names_every_layer_without_similarity():
    found = cka_matrix({"a": gaussian(0), "b": np.ones((12, 2)), "c": gaussian(1)})
    assert found.row_reasons == found.column_reasons == {"b": "b is the same for all items"}
    assert np.isnan(found.debiased[1]).all()
    assert np.isfinite(found.debiased[[0, 0, 2], [0, 2, 2]]).all()


@pytest.mark.parametrize("form", ["gram", "features"])
def test_killers(form):
    far = gaussian(0, 30, 8, mean=1000.0)
    assert cka(far, far + 5, form).debiased == pytest.approx(1, abs=1e-6)
    twice = np.repeat(gaussian(1, 10, 4), 2, axis=0)
    assert cka(twice, twice, form).debiased == pytest.approx(1)
    wide = gaussian(2, 5, 3000)
    assert cka(wide, gaussian(3, 5, 3000), form).debiased < 0.9
    # Two items apart from the rest are all that similarity between items is made of.
    lone = np.zeros((8, 2))
    lone[0] = 1.0
    found = cka(lone, gaussian(4, 8, 2), form)
    assert np.isfinite(found.biased)
    assert np.isnan(found.debiased)
    assert found.reason.startswith("of x nothing is left")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (gaussian(0, 3), gaussian(1, 3), "found 3 samples"),
        (gaussian(0, 8), gaussian(1, 9), "numbers of samples differ .x 8, y 9"),
        (gaussian(0)[0], gaussian(1), r"have shape \(5,\), expected"),
        (gaussian(0)[:, :0], gaussian(1), "expected .samples, channels"),
        (np.full((8, 2), np.nan), gaussian(1, 8), "x: features are not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(x, y, message):
    with pytest.raises(ContractError, match=message):
        cka(x, y)


def test_no_layers_are_refused():
    with pytest.raises(ContractError, match="no layers to compare"):
        cka_matrix({})
