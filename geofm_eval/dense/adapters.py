"""Tuning of a backbone: nothing, all parameters, low-rank updates of some linear layers, or norms and biases."""

import math
from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geofm_eval.backbones.base import Backbone
from geofm_eval.catalog.dense import LORA_PARTS
from geofm_eval.errors import ContractError

RANK = 8
ALPHA = 16
"""Updates are scaled by alpha / rank, as in LoRA (Hu et al. 2021, arXiv 2106.09685)."""

ADAPTATIONS = ("frozen", "full", *LORA_PARTS, "lnbias")

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class LowRank(nn.Module):
    """Add alpha / rank * B A to some rows of a weight (out, in); A is (rank, in), B is (rows, rank) and starts at zero.

    A fused projection of queries, keys and values gets one pair (A, B) for each.
    """

    def __init__(self, weight: Tensor, rows: Iterable[slice], rank: int = RANK, alpha: float = ALPHA) -> None:
        super().__init__()
        self.rows = [range(*part.indices(len(weight))) for part in rows]
        self.scale = alpha / rank
        self.down = nn.ParameterList(weight.new_empty(rank, weight.shape[1]) for _ in self.rows)
        self.up = nn.ParameterList(weight.new_zeros(len(part), rank) for part in self.rows)
        for down in self.down:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with its update."""
        update = torch.zeros_like(weight)
        for part, down, up in zip(self.rows, self.down, self.up, strict=True):
            update[part.start : part.stop] = self.scale * (up @ down)
        return weight + update


def adapt(backbone: Backbone, adaptation: str) -> list[nn.Parameter]:
    """Prepare a frozen backbone for one of the ``ADAPTATIONS``.

    Args:
        backbone: frozen backbone, changed in place. New parameters are drawn from torch's global generator.
        adaptation: ``frozen`` tunes nothing.

    Returns:
        The parameters to train, in the order of the network.

    Raises:
        ContractError: the adaptation is unknown, or the backbone has no parameters for it.
    """
    if adaptation not in ADAPTATIONS:
        raise ContractError(f"adaptation '{adaptation}' is unknown; known: {', '.join(ADAPTATIONS)}")
    if adaptation == "frozen":
        return []
    if adaptation in LORA_PARTS:
        tuned = _add_low_rank(backbone, LORA_PARTS[adaptation])
    elif adaptation == "lnbias":
        tuned = [p for module in backbone.modules() for p in _norm_and_bias(module)]
    else:
        tuned = list(backbone.parameters())
    if not tuned:
        raise ContractError(f"{type(backbone).__name__} has no parameters for '{adaptation}'; use it frozen")
    for parameter in tuned:
        parameter.requires_grad_(True)
    return tuned


def _norm_and_bias(module: nn.Module) -> list[nn.Parameter]:
    own = dict(module.named_parameters(recurse=False))
    return list(own.values()) if isinstance(module, _NORMS) else [p for name, p in own.items() if name.endswith("bias")]


def _add_low_rank(backbone: Backbone, parts: tuple[str, ...]) -> list[nn.Parameter]:
    chosen = [(name, part) for name, part in backbone.submodules().items() if name.partition(".")[2] in parts]
    if not chosen:
        raise ContractError(
            f"{type(backbone).__name__} has no {', '.join(parts)} in its blocks, which low-rank updates need; "
            "implement submodules(), or tune it with 'full'"
        )
    tuned: list[nn.Parameter] = []
    # Queries, keys and values of one fused module are consecutive.
    for module, group in groupby(chosen, key=lambda entry: entry[1].module):
        named = list(group)
        if not isinstance(module, nn.Linear):
            raise ContractError(
                f"{type(backbone).__name__}: {named[0][0]} is a {type(module).__name__}; low-rank updates need a Linear"
            )
        update = LowRank(module.weight, [part.part or slice(None) for _, part in named])
        parametrize.register_parametrization(module, "weight", update)
        tuned += update.parameters()
    return tuned


def merge(backbone: nn.Module) -> None:
    """Merge low-rank updates into the weights that they change, in place."""
    for module in backbone.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def plain_state(backbone: nn.Module) -> dict[str, Tensor]:
    """Copy a backbone's state under its usual names, with low-rank updates merged."""
    with torch.no_grad():
        parts = {
            f"{name}.weight" if name else "weight": module.weight.detach().clone()
            for name, module in backbone.named_modules()
            if parametrize.is_parametrized(module, "weight")
        }
    own = {name: value for name, value in backbone.state_dict().items() if ".parametrizations." not in f".{name}"}
    return {**{name: value.detach().clone() for name, value in own.items()}, **parts}
