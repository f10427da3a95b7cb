"""Compare the dense probe with scikit-learn's Newton solver; see :mod:`benchmarks.studies.trust.exact`.

A token with several classes is one row per class, weighted by the proportion of its labelled pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.fits import NEVER
from geofm_eval.dense.probe import DenseProbe
from geofm_eval.dense.tokens import TokenSample
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.selection import NEAR_LOWEST


@dataclass(frozen=True)
class Independent:
    """Multinomial logistic regression of tokens by scikit-learn, in float64."""

    tap: str
    scaler: StandardScaler
    model: LogisticRegression
    classes: int

    def logits(self, tokens: NDArray[Any]) -> NDArray[np.float64]:
        """Map tokens (n, D) to logits (n, K)."""
        values = self.model.decision_function(self.scaler.transform(tokens.astype(np.float64)))
        if values.ndim == 1:
            values = np.stack([-values / 2, values / 2], axis=1)
        found = np.full((len(values), self.classes), NEVER)
        found[:, self.model.classes_] = values
        return found

    def __call__(self, maps: Tensor) -> Tensor:
        """Map features (B, D, h, w) to logits (B, K, h, w), as the probe does."""
        tokens = maps.permute(0, 2, 3, 1)
        logits = self.logits(tokens.flatten(0, 2).numpy()).reshape(*tokens.shape[:3], -1)
        return torch.from_numpy(logits).permute(0, 3, 1, 2)

    def loss(self, held: TokenSample) -> float:
        """Return the weighted sum of log losses of tokens."""
        logits = torch.from_numpy(self.logits(held.features[self.tap]))
        shares = torch.from_numpy(held.targets)
        losses = -torch.where(shares > 0, shares * logits.log_softmax(1), 0.0).sum(1)
        return float((losses * torch.from_numpy(held.weights)).sum())


def independent(tokens: TokenSample, tap: str, penalty: float) -> Independent:
    """Fit tokens at one penalty."""
    features = tokens.features[tap].astype(np.float64)
    scaler = StandardScaler().fit(features)
    rows, labels = np.nonzero(tokens.targets)
    weights = tokens.targets[rows, labels] * tokens.weights[rows]
    present = np.unique(labels)
    strength = (2 if len(present) == 2 else 1) / (penalty * tokens.weights.sum())
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-12, max_iter=10_000)
    model.fit(scaler.transform(features)[rows], labels, sample_weight=weights)
    return Independent(tap, scaler, model, tokens.targets.shape[1])


def held_out(samples: dict[str, TokenSample], budget: ChipBudget) -> list[tuple[TokenSample, TokenSample]]:
    """Return pairs of training and validation tokens: the validation chips, or every fold of the training chips."""
    train, val = samples["train"], samples["val"]
    if not budget.folds:
        return [(train.of(budget.train), val.of(budget.val))]
    return [(train.of(budget.without(k)), train.of(fold)) for k, fold in enumerate(budget.folds)]


def compared(
    probe: DenseProbe, samples: dict[str, TokenSample], before: Any, now: Any, close: float
) -> Iterator[dict[str, Any]]:
    """Yield one result per tap and label subset, as for the other probes.

    Args:
        probe: probe of one model and task.
        samples: tokens by split.
        before: solutions from the path alone.
        now: current solutions.
        close: at least two penalties, and all within this many nats of the best, are solved independently.
    """
    choices: dict[Any, int] = {}
    losses: dict[Any, dict[int, float]] = {}
    asked: dict[Any, Any] = {}
    for key, own in now.items():
        tap, subset = key
        budget = probe.budgets[subset]
        parts = held_out(samples, budget)
        weight = sum(float(held.weights.sum()) for _, held in parts)
        order = np.argsort(own.losses)
        near = [int(i) for n, i in enumerate(order) if n < 2 or own.losses[i] <= own.losses.min() + close]
        losses[key] = {
            i: sum(independent(known, tap, PENALTIES[i]).loss(held) for known, held in parts) / weight for i in near
        }
        choices[key] = min(losses[key], key=losses[key].__getitem__)
        optimum = independent(samples["train"].of(budget.train), tap, PENALTIES[choices[key]])
        asked |= {(key, 0): before[key].apply, (key, 1): own.apply, (key, 2): optimum}
    counts = probe.tested(asked)
    for key, own in now.items():
        (tap, (fraction, draw)), exact = key, losses[key]
        lowest, second = sorted(own.losses)[:2]
        near = [i for i, loss in exact.items() if loss <= min(exact.values()) + NEAR_LOWEST]
        yield {
            "tap": tap,
            "fraction": fraction,
            "draw": draw,
            "gap": float(second - lowest),
            "chosen": [before[key].index, own.index, choices[key]],
            "moved": [_pixels(counts[key, i], counts[key, 2]) for i in (0, 1)],
            "apart": [0.0, 0.0],
            "loss_error": [max(abs(float(one[key].losses[i]) - exact[i]) for i in near) for one in (before, now)],
        }


def _pixels(ours: NDArray[Any], theirs: NDArray[Any]) -> int:
    """Least number of pixels that differ between two predictions, from their confusion counts (chips, K, K)."""
    differences = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
    return int(np.sum(differences)) // 2
