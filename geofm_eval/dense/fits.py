"""Linear maps from tokens to classes or values, fitted at every penalty that the dense probe chooses from."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.dense.tokens import TokenSample
from geofm_eval.probes.heads import HeadJob, ProbeHead, fit_heads, refine_heads
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.ridge import RidgePath, decompose
from geofm_eval.probes.standardise import Standardiser

NEVER = -1e30
"""Logit of a class without training tokens."""


@dataclass(frozen=True)
class LinearMap:
    """Map from the tokens of a tap to K values: a solved probe at one penalty."""

    tap: str
    standardiser: Standardiser
    weights: Tensor
    intercepts: Tensor

    def __call__(self, maps: Tensor) -> Tensor:
        """Map (B, D, h, w) to (B, K, h, w)."""
        height, width = maps.shape[-2:]
        tokens = maps.flatten(2).transpose(1, 2).flatten(0, 1)
        values = self.standardiser(tokens).float() @ self.weights.T + self.intercepts
        return values.reshape(len(maps), height * width, -1).transpose(1, 2).reshape(len(maps), -1, height, width)


@dataclass(frozen=True)
class Fit:
    """Fit of a tap on some tokens at every penalty.

    Args:
        at: returns the map at the penalty with this position.
        losses: returns the weighted sum (L,) of the losses of other tokens at every penalty.
        refined: returns the same fit with the penalties at these positions solved to the float64 optimum.
        converged: see ``DenseRow``.
        iterations: see ``DenseRow``.
    """

    at: Callable[[int], LinearMap]
    losses: Callable[[TokenSample], NDArray[np.float64]]
    refined: Callable[[Sequence[int]], "Fit"]
    converged: bool | None
    iterations: int | None


def logistic(tokens: TokenSample, device: torch.device) -> Iterator[tuple[str, Fit]]:
    """Fit a multinomial logistic regression of class shares at every tap; weights are shares of labelled pixels."""
    rows = np.arange(len(tokens.targets))
    jobs = [HeadJob(tap, rows, tokens.targets, tokens.weights) for tap in tokens.features]
    classes = tokens.targets.shape[1]

    def fit(job: HeadJob, head: ProbeHead) -> Fit:
        def at(index: int) -> LinearMap:
            weights, intercepts = head.at(index)
            # A class without a training token has the intercept -inf, which interpolation would turn into NaN.
            return LinearMap(job.tap, head.standardiser, weights.float(), intercepts.float().clamp(min=NEVER))

        def refined(indices: Sequence[int]) -> Fit:
            ((_, exact),) = refine_heads([(job, head, indices)], tokens.features, classes, device)
            return fit(job, exact)

        losses = functools.partial(_log_losses, head, job.tap)
        return Fit(at, losses, refined, head.converged, head.iterations)

    for job, head in fit_heads(jobs, tokens.features, classes, device):
        yield job.tap, fit(job, head)


def _log_losses(head: ProbeHead, tap: str, held: TokenSample) -> NDArray[np.float64]:
    targets, weights = torch.from_numpy(held.targets), torch.from_numpy(held.weights)
    losses, start = np.zeros(len(PENALTIES)), 0
    # A class without training tokens costs the same at every penalty.
    present = torch.isfinite(head.intercepts[0]).cpu()

    def summed(logits: Tensor, rows: slice) -> NDArray[np.float64]:
        log_shares = logits.double().log_softmax(-1).cpu()[..., present]
        loss = -(log_shares * targets[rows, None, present]).sum(-1) * weights[rows, None]
        return np.asarray(loss.sum(0).numpy())

    for logits in head.logits(held.features[tap]):
        rows = slice(start, start := start + len(logits))
        losses += summed(logits, rows)
    for index in head.exact:
        losses[index] = summed(head.logits_at(held.features[tap], index)[:, None], slice(None))[0]
    return losses


def ridge(tokens: TokenSample, device: torch.device) -> Iterator[tuple[str, Fit]]:
    """Fit a ridge regression of the tokens' mean targets at every tap."""

    def fit(tap: str, path: RidgePath) -> Fit:
        def at(index: int) -> LinearMap:
            weights = path.weights[:, index : index + 1].T.float()
            centre = torch.full((1,), path.centre, device=weights.device)
            return LinearMap(tap, path.standardiser, weights, centre)

        def losses(held: TokenSample) -> NDArray[np.float64]:
            errors = np.square(path.predict(held.features[tap]) - held.targets)
            return np.asarray((errors * held.weights[:, None]).sum(0))

        return Fit(at, losses, lambda indices: fit(tap, path), None, None)

    for tap, features in tokens.features.items():
        yield tap, fit(tap, decompose(features, device).fit(tokens.targets[:, 0]))
