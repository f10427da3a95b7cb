"""Limited-memory quasi-Newton directions for a batch of problems with changing penalties."""

import torch
from torch import Tensor


class CurvatureMemory:
    """The last steps of every problem and the resulting changes of its loss gradient.

    The penalty's part of the gradient change is known exactly (penalty * step), so only the loss part is stored. The
    memory therefore stays valid when the penalty changes, which makes a warm-started path cheap.

    Args:
        batch: number of problems B.
        size: number of parameters P of one problem.
        depth: number of steps that are stored.
        device: torch device.
    """

    def __init__(self, batch: int, size: int, depth: int, device: torch.device) -> None:
        self.steps = torch.zeros(depth, batch, size, dtype=torch.float64, device=device)
        self.changes = torch.zeros_like(self.steps)
        self.newest = 0

    def push(self, steps: Tensor, changes: Tensor) -> None:
        """Store ``steps`` (B, P) and the ``changes`` (B, P) of the loss gradient along them."""
        self.newest = (self.newest + 1) % len(self.steps)
        self.steps[self.newest] = steps
        self.changes[self.newest] = changes

    def forget(self, problems: Tensor) -> None:
        """Clear the memory of the ``problems`` (B,) marked True."""
        self.steps[:, problems] = 0
        self.changes[:, problems] = 0

    def select(self, index: Tensor) -> None:
        """Keep only the problems in ``index``."""
        self.steps = self.steps[:, index]
        self.changes = self.changes[:, index]

    def direction(self, gradient: Tensor, penalties: Tensor, diagonal: Tensor) -> Tensor:
        """Quasi-Newton descent direction by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4).

        Args:
            gradient: (B, P) gradient of the penalised loss.
            penalties: (B, P) second derivative of the penalty term.
            diagonal: (B, P) initial inverse Hessian.

        Returns:
            (B, P). Pairs without positive curvature, including unused slots, are ignored.
        """
        changes = torch.addcmul(self.changes, penalties, self.steps)
        curvature = (self.steps * changes).sum(-1)
        inverse = torch.where(curvature > 0, 1 / curvature.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
        depth = len(self.steps)
        order = [(self.newest - age) % depth for age in range(depth)]
        result = -gradient
        factors = {}
        for i in order:
            factors[i] = inverse[i] * (self.steps[i] * result).sum(-1)
            result = torch.addcmul(result, factors[i][:, None], changes[i], value=-1)
        result = result * diagonal
        for i in reversed(order):
            correction = factors[i] - inverse[i] * (changes[i] * result).sum(-1)
            result = torch.addcmul(result, correction[:, None], self.steps[i])
        return result
