"""Input of similarity: (n, p) features, checked, and centred in float64 before any product."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted

FEWEST = 4
"""Minimum number of samples for the debiased estimator."""

CONSTANT = 1e-12
"""Ratio of a feature's spread to its largest magnitude below which only rounding noise is left."""

ROWS_AT_ONCE = 4096

Features = NDArray[Any] | Tensor
"""(n, p) float16, float32 or float64; may be memory-mapped."""


@dataclass(frozen=True)
class Centred:
    """Features of one layer, with the statistics for centring them chunk by chunk.

    Args:
        name: name of the layer, for messages.
        values: (n, p) as given.
        mean: (p,) float64.
        spread: square root of the summed squares after centring.
        constant: True if no column varies by more than rounding.
        device: device of the computation.
    """

    name: str
    values: Features
    mean: Tensor
    spread: float
    constant: bool
    device: torch.device

    @property
    def shape(self) -> tuple[int, int]:
        """(n, p)."""
        n, p = self.values.shape
        return int(n), int(p)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows, centred and divided by the spread, in float64; memory does not grow with n."""
        for rows in _rows(self.shape[0]):
            yield rows, self.part(rows)

    def part(self, rows: slice | NDArray[np.int64]) -> Tensor:
        """Return some rows, centred and divided by the spread, in float64."""
        return (_tensor(self.values[rows], self.device) - self.mean) / (self.spread or 1.0)

    def whole(self) -> Tensor:
        """Return all rows, centred and divided by the spread, in float64."""
        return self.part(slice(None))


def centred(name: str, values: Features, device: torch.device | None = None) -> Centred:
    """Check features and compute their mean.

    Args:
        name: name of the layer, for messages.
        values: (n, p) features of n samples.
        device: device of the computation; None uses the device of a tensor, or the CPU.

    Raises:
        ContractError: the features are not two-dimensional, have fewer than ``FEWEST`` samples or no channel, or are
            not finite.
    """
    if values.ndim != 2 or values.shape[1] == 0:
        raise ContractError(f"{name}: features have shape {tuple(values.shape)}, expected (samples, channels)")
    n = int(values.shape[0])
    if n < FEWEST:
        raise ContractError(
            f"{name}: found {counted(n, 'sample')}; the debiased estimator needs at least {FEWEST}. Use more samples"
        )
    if device is None:
        device = values.device if isinstance(values, Tensor) else torch.device("cpu")
    total: Tensor = _summed(values, device, lambda part: part.sum(0))
    if not bool(torch.isfinite(total).all()):
        raise ContractError(f"{name}: features are not finite; remove samples without features")
    mean = total / n
    squares = _summed(values, device, lambda part: (part - mean).square().sum(0))
    largest = max(float(_tensor(values[rows], device).abs().max()) for rows in _rows(n))
    constant = bool((squares.sqrt() <= CONSTANT * largest * n**0.5).all())
    return Centred(name, values, mean, float(squares.sum().sqrt()), constant, device)


def check_same_items(first: Centred, second: Centred) -> None:
    """Check that two layers have the same number of samples."""
    if first.shape[0] != second.shape[0]:
        raise ContractError(
            f"x has {counted(first.shape[0], 'sample')}, y has {second.shape[0]}; expected the same samples"
        )


def _rows(n: int) -> Iterator[slice]:
    return (slice(start, min(start + ROWS_AT_ONCE, n)) for start in range(0, n, ROWS_AT_ONCE))


def _summed(values: Features, device: torch.device, of: Callable[[Tensor], Tensor]) -> Tensor:
    total: Tensor | None = None
    for rows in _rows(int(values.shape[0])):
        part = of(_tensor(values[rows], device))
        total = part if total is None else total + part
    assert total is not None
    return total


def _tensor(values: Features, device: torch.device) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().to(device=device, dtype=torch.float64)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).to(device)
