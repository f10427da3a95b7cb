"""Features as similarity takes them: (n, p) arrays, checked, centred in float64 before any product."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.errors import ContractError

FEWEST = 4
"""Items that the debiased estimator needs."""

CONSTANT = 1e-12
"""Spread of a feature against its largest magnitude, below which nothing but rounding is left of it."""

ROWS_AT_ONCE = 4096

Features = NDArray[Any] | Tensor
"""(n, p) float16, float32 or float64; may be memory-mapped."""


@dataclass(frozen=True)
class Centred:
    """Features of one layer, with what is needed to centre them chunk by chunk.

    Args:
        name: of the layer, for messages.
        values: (n, p) as they were given.
        mean: (p,) float64.
        spread: square root of the summed squares after centring.
        constant: no column varies by more than rounding.
        device: where products are computed.
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
        """Rows, centred and divided by the spread, in float64: memory does not grow with n."""
        for rows in _rows(self.shape[0]):
            yield rows, self.part(rows)

    def part(self, rows: slice | NDArray[np.int64]) -> Tensor:
        """Some rows, centred and divided by the spread, in float64."""
        return (_tensor(self.values[rows], self.device) - self.mean) / (self.spread or 1.0)

    def whole(self) -> Tensor:
        """All rows, centred and divided by the spread, in float64."""
        return self.part(slice(None))


def centred(name: str, values: Features, device: torch.device | None = None) -> Centred:
    """Check features and find their mean.

    Args:
        name: of the layer, for messages.
        values: (n, p) features of n items.
        device: where products are computed; None takes that of a tensor, or the CPU.

    Raises:
        ContractError: not two-dimensional, fewer than ``FEWEST`` items, no channel, or not finite.
    """
    if values.ndim != 2 or values.shape[1] == 0:
        raise ContractError(f"{name}: features must have the shape (items, channels), found {tuple(values.shape)}")
    n = int(values.shape[0])
    if n < FEWEST:
        raise ContractError(f"{name}: {n} items, expected at least {FEWEST}: the debiased estimator needs them")
    if device is None:
        device = values.device if isinstance(values, Tensor) else torch.device("cpu")
    total: Tensor = _summed(values, device, lambda part: part.sum(0))
    if not bool(torch.isfinite(total).all()):
        raise ContractError(f"{name}: features must be finite: leave out items without features")
    mean = total / n
    squares = _summed(values, device, lambda part: (part - mean).square().sum(0))
    largest = max(float(_tensor(values[rows], device).abs().max()) for rows in _rows(n))
    constant = bool((squares.sqrt() <= CONSTANT * largest * n**0.5).all())
    return Centred(name, values, mean, float(squares.sum().sqrt()), constant, device)


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
