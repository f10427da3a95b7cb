"""A backbone whose later blocks are gone: what is left to store and to run where an early tap is read."""

import copy
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, LoadedBackbone, Submodule, TokenLayout
from geofm_eval.backbones.parts import block_paths
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError

_NOISE = 1e-5
"""Largest difference to the whole backbone, as a share of its largest feature: the same products in another order."""


class TruncatedSpec(ModelSpec):
    """Entry of a truncated backbone: ``depth`` counts the blocks that are kept; the last of them is the last tap."""

    @property
    def taps(self) -> tuple[str, ...]:
        """``embed`` and the blocks; there is no last norm."""
        return super().taps[:-1]


class TruncatedBackbone(Backbone):
    """The embedding and the first blocks of a backbone: ``taps = ("embed", "block00", ..., "block05")`` of six.

    Later blocks, and whatever runs after the last block only, are dropped from the module tree, so that their numbers
    are neither stored nor moved. Which modules are blocks is read off the names of their parts; what runs after them is
    seen in one pass. The whole backbone stays as it is, and both share the numbers that are kept.

    Args:
        whole: backbone with named submodules.
        blocks: how many blocks are kept; at least one, which is where architectures take ``embed`` from.
        batch: any input of the backbone; the taps of both must agree on it.

    Raises:
        ContractError: the blocks of this architecture cannot be told apart, or it does not run without those that were
            dropped.
    """

    def __init__(self, whole: Backbone, blocks: int, batch: ModelInput) -> None:
        name = type(whole).__name__
        paths = list(block_paths(whole).values())
        container = _container(whole, paths)
        if not 1 <= blocks <= len(paths):
            raise ContractError(f"blocks must be 1 to {len(paths)}, found {blocks}")
        super().__init__(whole.taps[: blocks + 1], whole.width)
        after = _after(whole, container, batch)
        self.inner = _copy(whole)
        kept = self.inner.get_submodule(container)
        assert isinstance(kept, nn.ModuleList | nn.Sequential)
        _put(self.inner, container, kept[:blocks])
        for path in after:
            _put(self.inner, path, nn.Identity())
        # Backbones give the taps that they are asked for, and what their last norm gives under the last name.
        self.inner.taps = (*self.taps, whole.taps[-1])
        if blocks < len(paths) and _count(self.inner) >= _count(whole):
            raise ContractError(f"{name} keeps all numbers of the blocks that are dropped: it cannot be cut")
        self._check(whole, batch)

    def _check(self, whole: Backbone, batch: ModelInput) -> None:
        with torch.inference_mode():
            expected = whole(batch)
            try:
                found = self(batch)
            except Exception as stopped:
                raise ContractError(
                    f"{type(whole).__name__} does not run with {len(self.taps) - 1} of {len(whole.taps) - 2} blocks "
                    f"({type(stopped).__name__}: {stopped}): it cannot be cut"
                ) from stopped
        for tap in self.taps:
            largest = float(expected[tap].abs().max())
            error = float((found[tap] - expected[tap]).abs().max())
            if not error <= _NOISE * largest:
                raise ContractError(
                    f"{type(whole).__name__} gives other features of {tap} without its later blocks (off by {error:.3g}"
                    f", the largest is {largest:.3g}): it cannot be cut"
                )

    @property
    def network(self) -> nn.Module:
        """What is left of the module whose ``state_dict`` is published."""
        return self.inner.network

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Layout of the whole backbone."""
        return self.inner.layout(batch)

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Taps up to the last block that is kept; see ``Backbone.forward``."""
        found = self.inner(batch)
        return {tap: found[tap] for tap in self.taps}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """The first of the blocks that are kept, for timings; Galileo's last norm, which it applies here, is gone."""
        return self.inner.forward_to(batch, blocks)

    def submodules(self) -> dict[str, Submodule]:
        """Parts of the blocks that are kept."""
        return self.inner.submodules()

    def placed(self, tokens: Tensor, batch: ModelInput) -> Tensor:
        """Places of the whole backbone."""
        return self.inner.placed(tokens, batch)

    def groups_present(self, batch: ModelInput) -> tuple[bool, ...]:
        """Token groups of the whole backbone."""
        return self.inner.groups_present(batch)

    def token_mask(self, batch: ModelInput) -> Tensor:
        """Mask of the whole backbone."""
        return self.inner.token_mask(batch)


def truncate(loaded: LoadedBackbone, tap: str, batch: ModelInput) -> LoadedBackbone:
    """Drop everything after a tap; of ``embed`` the first block is kept.

    Args:
        loaded: the whole backbone.
        tap: the last that is needed.
        batch: any input of the backbone.

    Raises:
        ContractError: no such tap, ``final``, which needs all, or see :class:`TruncatedBackbone`.
    """
    taps = loaded.backbone.taps
    if tap not in taps[:-1]:
        raise ContractError(
            f"{loaded.spec.slug} cannot be cut after '{tap}': expected one of {', '.join(taps[:-1]) or 'no tap'}"
        )
    blocks = max(taps.index(tap), 1)
    backbone = TruncatedBackbone(loaded.backbone, blocks, batch).eval()
    spec = TruncatedSpec.model_construct(**{**dict(loaded.spec), "depth": blocks})
    return replace(loaded, backbone=backbone, spec=spec, parameters=_count(backbone))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _container(whole: Backbone, paths: list[str]) -> str:
    """Path of the list that holds the blocks and nothing else."""
    parents = {path.rpartition(".")[0] for path in paths}
    container = parents.pop() if len(parents) == 1 else ""
    module = whole.get_submodule(container)
    children = [f"{container}.{name}" for name, _ in module.named_children()]
    if not container or not isinstance(module, nn.ModuleList | nn.Sequential) or children != paths:
        raise ContractError(
            f"{type(whole).__name__}: blocks lie at {paths[0]} to {paths[-1]}, expected one ModuleList or Sequential "
            "of blocks: it cannot be cut"
        )
    return container


def _after(whole: Backbone, container: str, batch: ModelInput) -> list[str]:
    """Paths of the outermost modules with numbers of their own that first run when the last block has ended."""
    calls: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _, __, name=name: calls.append(name))
        for name, module in whole.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        with torch.inference_mode():
            whole(batch)
    finally:
        for handle in handles:
            handle.remove()
    last = max((i for i, name in enumerate(calls) if name.startswith(f"{container}.")), default=len(calls))
    before = set(calls[: last + 1])
    found = [name for name in dict.fromkeys(calls[last + 1 :]) if name not in before]
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]


def _copy(whole: Backbone) -> Backbone:
    """The same modules anew, around the same numbers: nothing is changed in them, and nothing is stored twice."""
    shared = {id(tensor): tensor for tensor in chain(whole.parameters(), whole.buffers())}
    try:
        return copy.deepcopy(whole, shared)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ContractError(f"{type(whole).__name__} cannot be copied ({error}): it cannot be cut") from error


def _put(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
