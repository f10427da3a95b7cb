"""The dense linear probe against scikit-learn's ridge on all pixels at once."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from benchmarks.studies.standins.pixelwise import PixelMoments
from geofm_eval.errors import ContractError
from geofm_eval.probes.ridge import RIDGE_PENALTIES


def _pixels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 3
    classes = (features @ rng.normal(size=(6, 3)) + rng.normal(size=(400, 3))).argmax(1)
    return features.astype(np.float32), classes


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_class_columns_equal_weighted_ridge(balance: float):
    features, classes = _pixels(1)
    moments = PixelMoments(6, 3)
    for part in np.array_split(np.arange(400), 7):
        moments.add(features[part], classes[part])
    fit = moments.fit(balance)
    weight = (np.bincount(classes) ** -balance)[classes]
    scaler = StandardScaler().fit(features.astype(np.float64), sample_weight=weight)
    rows = scaler.transform(features.astype(np.float64))
    for index in (0, 15, 30):
        oracle = Ridge(alpha=RIDGE_PENALTIES[index] * weight.sum()).fit(rows, np.eye(3)[classes], sample_weight=weight)
        np.testing.assert_allclose(fit.predict(features, index), oracle.predict(rows), atol=2e-5)


def test_a_number_per_pixel_equals_ridge():
    features, _ = _pixels(2)
    target = features @ np.arange(6.0) + np.random.default_rng(0).normal(size=400)
    moments = PixelMoments(6, 0)
    moments.add(features[:150], target[:150])
    moments.add(features[150:], target[150:])
    rows = StandardScaler().fit_transform(features.astype(np.float64))
    oracle = Ridge(alpha=RIDGE_PENALTIES[20] * 400).fit(rows, target)
    np.testing.assert_allclose(moments.fit().predict(features, 20)[:, 0], oracle.predict(rows), atol=2e-4)


def test_a_constant_channel_and_an_absent_class_do_no_harm():
    features, classes = _pixels(3)
    features[:, 2] = 7
    moments = PixelMoments(6, 5)
    moments.add(features, classes)
    for balance in (0.0, 1.0):
        fit = moments.fit(balance)
        assert np.isfinite(fit.weights).all()
        assert (fit.weights[:, 2] == 0).all()
        assert set(fit.predict(features, 25).argmax(1).tolist()) <= {0, 1, 2}


def test_bad_input_is_refused():
    moments = PixelMoments(2, 2)
    with pytest.raises(ContractError, match="no labelled pixel"):
        moments.fit()
    with pytest.raises(ContractError, match="must be finite"):
        moments.add(np.array([[np.nan, 1]], np.float32), np.array([0]))
