"""Tokens without data: what a backbone makes of fill values says nothing about the place, and must not reach others."""

import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.dense.decoders import resize


def filled(maps: Tensor, known: Tensor) -> Tensor:
    """Replace tokens without data by tokens with data: of other dates, else of the nearest place.

    A map without gaps is returned as it is. So is an item that has no data at all.

    Args:
        maps: (B, T, D, h, w).
        known: (B, T, h, w) bool, False for tokens without data.

    Returns:
        (B, T, D, h, w). A token that lacks data on some dates is the mean of the dates that have them, so that a mean
        over dates is one over dates with data.
    """
    if bool(known.all()):
        return maps
    weight = known[:, :, None].to(maps.dtype)
    # Where, not a product with the weight: what stands in a gap need not be finite.
    mean = torch.where(known[:, :, None], maps, 0).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    seen = known.any(1)
    found = torch.where(known[:, :, None] | ~seen[:, None, None], maps, mean)
    return torch.stack([_nearest(item, own) for item, own in zip(found, seen, strict=True)])


def enlarged(values: Tensor, usable: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate tokens to pixels; only usable tokens take part.

    Bilinear, pixel areas aligned. What a token that is not usable would contribute to a pixel is given to the token
    that the pixel lies in, or, where that is not usable either, to the usable token nearest to it. A half-plane along
    the edges of tokens then stays exact beside a gap; weights that are merely renormalised move its edge there.

    Args:
        values: (B, K, h, w).
        usable: (B, h, w) bool. Where no token of an item is usable, all of them are used.
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
    """Values (..., h, w) with those of the nearest usable place wherever a place (h, w) is not usable."""
    if bool(usable.all()) or not bool(usable.any()):
        return values
    from scipy.ndimage import distance_transform_edt  # here, because loading it takes a second

    places = distance_transform_edt(~usable.cpu().numpy(), return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(places).to(values.device).long()
    return values[..., rows, columns]
