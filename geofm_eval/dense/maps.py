"""Feature maps: tokens of a tap put back where they lie in the image, date by date."""

import torch
from torch import Tensor

from geofm_eval.backbones.base import TokenLayout
from geofm_eval.backbones.series import Encoded
from geofm_eval.dense.gaps import filled


def dates_within(layout: TokenLayout) -> int:
    """Number of dates whose tokens stand side by side in one pass: 1, unless the groups of the layout are dates."""
    names = {name.partition(".")[0] for name in layout.groups}
    return len(names) if all(name.startswith("date") for name in names) else 1


def feature_map(encoded: Encoded, tap: str) -> Tensor:
    """Tokens of a tap as a map for every date.

    Prefix tokens are left out. The groups of a date (channel groups, modalities) are averaged over those that have data
    at a place; where none has, the token is filled from other dates or places (``gaps.filled``).

    Args:
        encoded: B items, encoded at once or date by date.
        tap: name of the tap.

    Returns:
        (B, T, D, h, w) float32.
    """
    layout = encoded.layout
    height, width = layout.grid
    tokens = encoded.tokens[tap][:, layout.prefix :]
    within = dates_within(layout)
    groups = len(layout.groups) // within
    tokens = tokens.reshape(-1, within, groups, height * width, tokens.shape[-1])
    known = _known(encoded)
    weight = torch.where(known.any(2, keepdim=True), known, torch.ones_like(known)).to(tokens.dtype)[..., None]
    mean = (tokens * weight).sum(2) / weight.sum(2)
    maps = mean.transpose(-1, -2).reshape(-1, within, tokens.shape[-1], height, width)
    return filled(maps.reshape(-1, encoded.passes * within, *maps.shape[2:]), tokens_with_data(encoded))


def tokens_with_data(encoded: Encoded) -> Tensor:
    """(B, T, h, w) bool, True where a map of :func:`feature_map` rests on data of its own date and place."""
    found = _known(encoded).any(2)
    return found.reshape(-1, encoded.passes * found.shape[1], *encoded.layout.grid)


def _known(encoded: Encoded) -> Tensor:
    """(B * passes, dates, groups, h * w) bool of the patch tokens."""
    layout, within = encoded.layout, dates_within(encoded.layout)
    mask = encoded.mask[:, layout.prefix :]
    return mask.reshape(len(mask), within, len(layout.groups) // within, layout.grid[0] * layout.grid[1])
