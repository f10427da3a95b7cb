"""Change of the weights of each part of a block by tuning; norms and the linear layers after them are one map.

A linear layer after a norm computes W (gain * z + shift) + b from normalised input z. Gain and weight can exchange a
factor without any effect. The comparison therefore uses the affine map from z, [W diag(gain), W shift + b]. A scale
after a layer (LayerScale) multiplies its rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, Submodule
from geofm_eval.backbones.parts import block_paths

BEFORE = {"q": "norm1", "k": "norm1", "v": "norm1", "fc1": "norm2"}
"""Norm before a linear layer."""

BEHIND = {"attn_proj": ("ls1.gamma", "gamma_1"), "fc2": ("ls2.gamma", "gamma_2")}
"""Names that architectures use for the scale after a linear layer."""

LINEAR = ("q", "k", "v", "attn_proj", "fc1", "fc2")


@dataclass(frozen=True)
class WeightChange:
    """Change of an affine map.

    Args:
        frobenius: ||A - A0|| / ||A0||, Frobenius norms.
        spectral: the same in spectral norms.
        stable_rank: ||A - A0||_F^2 / ||A - A0||_2^2, the effective number of changed directions; NaN without a change.
    """

    frobenius: float
    spectral: float
    stable_rank: float


def affine_maps(backbone: Backbone) -> dict[str, Tensor]:
    """Return the (rows, inputs + 1) float64 map of every linear part, with norms and scales folded in.

    Parts are named like ``block00.fc1``.
    """
    parts, paths = backbone.submodules(), block_paths(backbone)
    state = dict(backbone.named_parameters())
    found = {}
    for name, part in parts.items():
        block, _, kind = name.partition(".")
        if kind in LINEAR:
            norm = parts[f"{block}.{BEFORE[kind]}"].module if kind in BEFORE else None
            scale = next((state[at] for own in BEHIND.get(kind, ()) if (at := f"{paths[block]}.{own}") in state), None)
            found[name] = _folded(part, norm, scale)
    return found


def _folded(part: Submodule, norm: nn.Module | None, scale: Tensor | None) -> Tensor:
    rows = part.part or slice(None)
    weight = _tensor(part.module, "weight")
    assert weight is not None
    weight, bias = weight[rows], _tensor(part.module, "bias")
    shift = weight.new_zeros(len(weight)) if bias is None else bias[rows]
    if norm is not None:
        gain, offset = _tensor(norm, "weight"), _tensor(norm, "bias")
        shift = shift if offset is None else shift + weight @ offset
        weight = weight if gain is None else weight * gain
    whole = torch.cat([weight, shift[:, None]], dim=1)
    return whole if scale is None else whole * scale.detach().double().cpu()[:, None]


def _tensor(module: nn.Module, name: str) -> Tensor | None:
    found = getattr(module, name, None)
    return found.detach().double().cpu() if isinstance(found, Tensor) else None


def weight_changes(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], base: Mapping[str, Tensor]
) -> dict[str, WeightChange]:
    """Compute the change of every linear part, and of every block as one map.

    Args:
        first: maps of one network, see :func:`affine_maps`.
        second: maps of the other network.
        base: maps of the frozen network, whose norms the change is divided by.
    """
    changes = {name: second[name] - first[name] for name in first}
    found = {name: _change(change, base[name]) for name, change in changes.items()}
    for block in dict.fromkeys(name.partition(".")[0] for name in first):
        own = [name for name in first if name.startswith(f"{block}.")]
        moved, before = (sum(float(maps[name].square().sum()) for name in own) for maps in (changes, base))
        found[block] = WeightChange((moved / before) ** 0.5, float("nan"), float("nan"))
    return found


def _change(change: Tensor, base: Tensor) -> WeightChange:
    frobenius, spectral = float(change.norm()), _spectral(change)
    stable = (frobenius / spectral) ** 2 if spectral > 0 else float("nan")
    return WeightChange(frobenius / float(base.norm()), spectral / _spectral(base), stable)


def _spectral(matrix: Tensor) -> float:
    """Largest singular value, from the smaller of the two products; much faster than a decomposition."""
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return math.sqrt(max(float(torch.linalg.eigvalsh(small)[-1]), 0.0))
