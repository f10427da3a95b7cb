"""Feature maps: tokens of a tap at their places in the image, date by date; tokens without data are filled."""

import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.backbones.base import TokenLayout
from geofm_eval.backbones.series import Encoded
from geofm_eval.dense.decoders import resize


def dates_within(layout: TokenLayout) -> int:
    """Return the number of dates that one pass encodes together: 1, unless the groups of the layout are dates."""
    names = {name.partition(".")[0] for name in layout.groups}
    return len(names) if all(name.startswith("date") for name in names) else 1


def feature_map(encoded: Encoded, tap: str) -> Tensor:
    """Return the tokens of a tap as a map for every date.

    Prefix tokens are left out. The groups of a date (channel groups, modalities) are averaged over those with data at a
    place; without any, the token is filled from other dates or places (:func:`filled`).

    Args:
        encoded: B samples, encoded at once or date by date.
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
    """Return (B, T, h, w) bool, True if a token of :func:`feature_map` has data of its own date and place."""
    found = _known(encoded).any(2)
    return found.reshape(-1, encoded.passes * found.shape[1], *encoded.layout.grid)


def _known(encoded: Encoded) -> Tensor:
    """(B * passes, dates, groups, h * w) bool of the patch tokens."""
    layout, within = encoded.layout, dates_within(encoded.layout)
    mask = encoded.mask[:, layout.prefix :]
    return mask.reshape(len(mask), within, len(layout.groups) // within, layout.grid[0] * layout.grid[1])


def filled(maps: Tensor, known: Tensor) -> Tensor:
    """Replace tokens without data, which only encode fill values, by tokens with data from other dates or places.

    A token that lacks data on some dates becomes the mean of the dates with data, so that a mean over dates is one over
    dates with data; a token without data on any date is copied from the nearest place. Samples without any data are
    unchanged.

    Args:
        maps: (B, T, D, h, w).
        known: (B, T, h, w) bool, False for tokens without data.
    """
    if bool(known.all()):
        return maps
    weight = known[:, :, None].to(maps.dtype)
    # torch.where instead of a product with the weight, because values in a gap may not be finite.
    mean = torch.where(known[:, :, None], maps, 0).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    seen = known.any(1)
    found = torch.where(known[:, :, None] | ~seen[:, None, None], maps, mean)
    return torch.stack([_nearest(item, own) for item, own in zip(found, seen, strict=True)])


def enlarged(values: Tensor, usable: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate usable tokens to pixels, bilinearly with aligned pixel areas.

    The weight of an unusable token goes to the token that contains the pixel or, if that is unusable too, to the
    nearest usable one. A half-plane along the edges of tokens thus stays exact next to a gap; renormalised weights
    would move its edge.

    Args:
        values: (B, K, h, w).
        usable: (B, h, w) bool; if no token of a sample is usable, all are used.
        size: pixels (height, width).

    Returns:
        (B, K, height, width).
    """
    if bool(usable.all()):
        return resize(values, size)
    whole = torch.stack([_nearest(item, own) for item, own in zip(values, usable, strict=True)])
    weight = usable[:, None].to(values.dtype)
    own = functional.interpolate(whole, size=size, mode="nearest-exact")
    return resize(whole * weight, size) + (1 - resize(weight, size)) * own


def _nearest(values: Tensor, usable: Tensor) -> Tensor:
    """Values (..., h, w) with unusable places (h, w) copied from the nearest usable place."""
    if bool(usable.all()) or not bool(usable.any()):
        return values
    from scipy.ndimage import distance_transform_edt  # here, because loading it takes a second

    places = distance_transform_edt(~usable.cpu().numpy(), return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(places).to(values.device).long()
    return values[..., rows, columns]
