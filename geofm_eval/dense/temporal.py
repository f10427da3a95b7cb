"""From a feature map per date to one: attention over dates (L-TAE), or one weight per date."""

import math
from collections.abc import Sequence
from datetime import date

import torch
from torch import Tensor, nn

from geofm_eval.errors import ContractError

HEADS = 16
HEAD_WIDTH = 4
"""Fewest channels of a head: its values are normalised over them, and a single one would come out as zero."""
KEY_WIDTH = 4
PERIOD = 1000.0
"""Of the sinusoids that encode a day, in days."""


def days_of(dates: Sequence[Sequence[date]]) -> Tensor:
    """Days since the first of January of the first date's year, (B, T) float32."""
    rows = [[float((day - date(days[0].year, 1, 1)).days) for day in days] for days in dates]
    return torch.tensor(rows, dtype=torch.float32)


class Ltae(nn.Module):
    """Lightweight temporal attention: every head has one learnt query for all places.

    Garnot & Landrieu 2020, Lightweight Temporal Self-Attention for Classifying Satellite Image Time Series, arXiv
    2007.00586.

    Args:
        width: D of the maps.
        heads: each attends with a query of its own over its share of the channels.
    """

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        if width % heads:
            raise ContractError(f"temporal attention of {heads} heads needs a width that they divide, found {width}")
        self.heads, self.width = heads, width
        self.before = nn.GroupNorm(heads, width)
        self.keys = nn.Linear(width, heads * KEY_WIDTH)
        self.queries = nn.Parameter(torch.randn(heads, KEY_WIDTH) * math.sqrt(2 / KEY_WIDTH))
        self.mix = nn.Linear(width, width)
        self.after = nn.GroupNorm(heads, width)

    def forward(self, maps: Tensor, days: Tensor) -> Tensor:
        """Attend over dates.

        Args:
            maps: (B, T, D, h, w).
            days: (B, T), any origin; earlier dates first.

        Returns:
            (B, D, h, w).
        """
        batch, dates, width, height, columns = maps.shape
        rows = maps.permute(0, 3, 4, 1, 2).reshape(-1, dates, width)
        rows = self.before(rows.transpose(1, 2)).transpose(1, 2)
        code = _positions(days, width // self.heads).repeat(1, 1, self.heads)
        rows = rows + code.repeat_interleave(height * columns, dim=0)
        keys = self.keys(rows).reshape(-1, dates, self.heads, KEY_WIDTH)
        attention = torch.einsum("nthk,hk->nht", keys, self.queries).div(math.sqrt(KEY_WIDTH)).softmax(-1)
        values = rows.reshape(-1, dates, self.heads, width // self.heads)
        mixed = torch.einsum("nht,nthd->nhd", attention, values).reshape(-1, width)
        found: Tensor = self.after(torch.relu(self.mix(mixed)))
        return found.reshape(batch, height, columns, width).permute(0, 3, 1, 2)


def _positions(days: Tensor, width: int) -> Tensor:
    """Sinusoids of a day, (B, T, width)."""
    rates = PERIOD ** (-torch.arange(width, device=days.device).div(2, rounding_mode="floor") * 2 / width)
    angles = days[..., None] * rates
    return torch.where(torch.arange(width, device=days.device) % 2 == 0, angles.sin(), angles.cos())


class LinearMix(nn.Module):
    """One weight per date, the same at every place and in every channel; begins as the mean over dates."""

    def __init__(self, dates: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((dates,), 1 / dates))

    def forward(self, maps: Tensor, days: Tensor) -> Tensor:
        """(B, T, D, h, w) to (B, D, h, w); ``days`` are not read, dates count in their order."""
        if maps.shape[1] != len(self.weights):
            raise ContractError(f"series of {maps.shape[1]} dates, expected {len(self.weights)} as in training")
        return torch.einsum("btdhw,t->bdhw", maps, self.weights)


def temporal_mix(kind: str, width: int, dates: int) -> nn.Module | None:
    """Build what joins the dates of a tap; None for a single date.

    Raises:
        ContractError: an unknown kind.
    """
    if kind not in ("ltae", "linear"):
        raise ContractError(f"temporal mix '{kind}' is unknown; known: ltae, linear")
    if dates == 1:
        return None
    return Ltae(width, heads_of(width)) if kind == "ltae" else LinearMix(dates)


def heads_of(width: int) -> int:
    """Heads of the attention over dates for maps of ``width`` channels."""
    return math.gcd(HEADS, max(width // HEAD_WIDTH, 1)) if width % HEAD_WIDTH == 0 else 1
