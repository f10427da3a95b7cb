"""Linear probe of dense features: ridge regression over pixels, fitted from moments summed over images.

Classes are one-hot columns, and the highest prediction determines the class of a pixel. Memory is that of one image
plus one (D, D) matrix per class. One decomposition serves all penalties, as in :mod:`geofm_eval.probes.ridge`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError
from geofm_eval.probes.ridge import RIDGE_PENALTIES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PixelFit:
    """Linear maps from features to predictions, one per penalty.

    Attributes:
        weights: (L, D, K) float64.
        intercept: (L, K) float64.
    """

    weights: Floats
    intercept: Floats

    def predict(self, features: NDArray[np.float32], penalty: int) -> Floats:
        """Return predictions (n, K) for ``features`` (n, D) at the penalty with this index."""
        return np.asarray(features @ self.weights[penalty] + self.intercept[penalty])


class PixelMoments:
    """First and second moments of dense features, per class or with a regression target.

    Args:
        width: feature dimension D.
        classes: number of classes K; 0 for regression.
    """

    def __init__(self, width: int, classes: int) -> None:
        parts = max(classes, 1)
        self._classes = classes
        self._count = np.zeros(parts)
        self._first = np.zeros((parts, width))
        self._second = np.zeros((parts, width, width))
        self._with_target = np.zeros(width)
        self._target = 0.0

    def add(self, features: NDArray[np.float32], target: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """Add the labelled pixels of an image.

        Args:
            features: (n, D) float32.
            target: (n,) classes or regression targets.

        Raises:
            ContractError: values that are not finite.
        """
        if not np.isfinite(features).all():
            raise ContractError("dense features must be finite; leave out pixels without data")
        for part in range(len(self._count)):
            # In float64, because centring subtracts nearly equal numbers.
            rows = (features[target == part] if self._classes else features).astype(np.float64)
            self._count[part] += len(rows)
            self._first[part] += rows.sum(0)
            self._second[part] += rows.T @ rows
        if not self._classes:
            self._with_target += rows.T @ target
            self._target += float(target.sum())

    def fit(self, balance: float = 0.0, penalties: Sequence[float] = RIDGE_PENALTIES) -> PixelFit:
        """Fit every penalty.

        Args:
            balance: exponent b of the weight n_k^-b of class k: 0 weights pixels equally, 1 weights classes equally.
            penalties: multiples of the mean eigenvalue of X'X of standardised features.

        Raises:
            ContractError: no pixel was added.
        """
        if not self._count.sum():
            raise ContractError("no labelled pixel was added; call add() with labelled pixels before fit()")
        weight = np.where(self._count > 0, np.maximum(self._count, 1) ** -balance, 0) if self._classes else np.ones(1)
        total = float(weight @ self._count)
        first = weight @ self._first
        second = np.tensordot(weight, self._second, 1) - np.outer(first, first) / total
        scale = np.sqrt(np.clip(np.diag(second) / total, 0, None))
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 1e-6 * scale.max())
        products = (weight[:, None] * self._first).T if self._classes else self._with_target[:, None]
        mean = weight * self._count / total if self._classes else np.array([self._target / total])
        standard = inverse[:, None] * second * inverse
        along = inverse[:, None] * (products - np.outer(first, mean))
        values, axes = np.linalg.eigh(standard)
        values = np.clip(values, 0, None)
        level = values.sum() / max(int((inverse > 0).sum()), 1)
        rotated = axes.T @ along
        weights = np.stack([inverse[:, None] * (axes @ (rotated / (values + c * level)[:, None])) for c in penalties])
        return PixelFit(weights, mean - np.einsum("d,ldk->lk", first / total, weights))
