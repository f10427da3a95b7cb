"""Mix of the feature maps of several dates: attention over dates (L-TAE), or one weight per date."""

import math

import torch
from torch import Tensor, nn

from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted

HEADS = 16
HEAD_WIDTH = 4
"""Fewest channels of a head: values are normalised over the channels of a head, and a single one would become zero."""
KEY_WIDTH = 4

DROPPED, DROPPED_ATTENTION = 0.2, 0.1
"""Proportions of outputs and of attention weights that are dropped in training."""


class Ltae(nn.Module):
    """Lightweight temporal attention: every head has one learned query for all places.

    Garnot & Landrieu 2020, Lightweight Temporal Self-Attention for Classifying Satellite Image Time Series, arXiv
    2007.00586, as used by PANGAEA: one module for all maps of a decoder, without an encoding of the days, so that dates
    are a set. Same outputs as PANGAEA's ``LTAE2d`` with the same weights (docs/parity.md).

    Args:
        width: D of the maps.
        heads: number of heads, each with its own query and part of the channels.
    """

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        if width % heads:
            raise ContractError(
                f"temporal attention of {heads} heads needs a width divisible by {heads}, found {width}"
            )
        self.heads, self.width = heads, width
        self.before = nn.GroupNorm(heads, width)
        self.project = nn.Linear(width, width)
        self.keys = nn.Linear(width, heads * KEY_WIDTH)
        self.queries = nn.Parameter(torch.empty(heads, KEY_WIDTH))
        for values in (self.keys.weight, self.queries):
            nn.init.normal_(values, std=math.sqrt(2 / KEY_WIDTH))
        self.drop_attention = nn.Dropout(DROPPED_ATTENTION)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(DROPPED))
        self.after = nn.GroupNorm(heads, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, T, D, h, w) to (B, D, h, w)."""
        batch, dates, width, height, columns = maps.shape
        rows = maps.permute(0, 3, 4, 1, 2).reshape(-1, dates, width)
        rows = self.project(self.before(rows.transpose(1, 2)).transpose(1, 2))
        keys = self.keys(rows).reshape(-1, dates, self.heads, KEY_WIDTH)
        scores = torch.einsum("nthk,hk->hnt", keys, self.queries) / math.sqrt(KEY_WIDTH)
        attention = self.drop_attention(scores.softmax(-1))
        values = rows.reshape(-1, dates, self.heads, width // self.heads)
        mixed = torch.einsum("hnt,nthd->nhd", attention, values).reshape(-1, width)
        found: Tensor = self.after(self.mix(mixed))
        return found.reshape(batch, height, columns, width).permute(0, 3, 1, 2)


class LinearMix(nn.Module):
    """One weight per date for all places and channels; initially the mean over dates."""

    def __init__(self, dates: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((dates,), 1 / dates))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, T, D, h, w) to (B, D, h, w); dates are identified by their order."""
        if maps.shape[1] != len(self.weights):
            raise ContractError(
                f"found a series of {counted(maps.shape[1], 'date')}, expected {len(self.weights)} as in training"
            )
        return torch.einsum("btdhw,t->bdhw", maps, self.weights)


class FirstDate(nn.Module):
    """Replaces the mix for a single date."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, 1, D, h, w) to (B, D, h, w)."""
        return maps[:, 0]


def temporal_mix(kind: str, width: int, dates: int) -> nn.Module:
    """Build the module that joins the dates of a decoder's maps.

    Args:
        kind: ``ltae`` or ``linear``.
        width: D of the maps.
        dates: number of dates T.

    Raises:
        ContractError: the kind is unknown.
    """
    if kind not in ("ltae", "linear"):
        raise ContractError(f"temporal mix '{kind}' is unknown; known: ltae, linear")
    if dates == 1:
        return FirstDate()
    return Ltae(width, heads_of(width)) if kind == "ltae" else LinearMix(dates)


def heads_of(width: int) -> int:
    """Return the number of attention heads for maps of this width: 16 as in PANGAEA, fewer on narrow maps."""
    return math.gcd(HEADS, max(width // HEAD_WIDTH, 1)) if width % HEAD_WIDTH == 0 else 1
