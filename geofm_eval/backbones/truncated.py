"""A backbone without its later blocks, for cases in which only an early tap is used."""

import copy
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, LoadedBackbone, Submodule, TokenLayout
from geofm_eval.backbones.parts import block_paths
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted

_NOISE = 1e-5
"""Largest allowed difference from the whole backbone, relative to its largest feature; allows for summation order."""


class TruncatedSpec(ModelSpec):
    """Entry of a truncated backbone: ``depth`` counts the remaining blocks, the last of which is the last tap."""

    @property
    def taps(self) -> tuple[str, ...]:
        """``embed`` and the blocks; there is no last norm."""
        return super().taps[:-1]


class TruncatedBackbone(Backbone):
    """The embedding and the first blocks of a backbone; for six, ``taps = ("embed", "block00", ..., "block05")``.

    Later blocks, and modules that run only after the last block, are removed from the module tree, so that their
    parameters are neither stored nor moved. Blocks are identified by the names of their parts, and modules after them
    by one forward pass. The whole backbone is unchanged; both share the remaining parameters.

    Args:
        whole: backbone with named submodules.
        blocks: number of remaining blocks; at least one, because architectures record ``embed`` at its input.
        batch: any input of the backbone, on which the taps of both must agree.

    Raises:
        ContractError: the blocks of this architecture cannot be identified, or it does not run without later blocks.
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
        # Backbones return the taps in ``taps``, and the output of the last norm under the last name.
        self.inner.taps = (*self.taps, whole.taps[-1])
        if blocks < len(paths) and _count(self.inner) >= _count(whole):
            raise ContractError(f"{name} cannot be cut: it keeps all parameters of the removed blocks")
        self._check(whole, batch)

    def _check(self, whole: Backbone, batch: ModelInput) -> None:
        with torch.inference_mode():
            expected = whole(batch)
            try:
                found = self(batch)
            except Exception as stopped:
                raise ContractError(
                    f"{type(whole).__name__} does not run with {len(self.taps) - 1} of "
                    f"{counted(len(whole.taps) - 2, 'block')} "
                    f"({type(stopped).__name__}: {stopped}) and cannot be cut"
                ) from stopped
        for tap in self.taps:
            largest = float(expected[tap].abs().max())
            error = float((found[tap] - expected[tap]).abs().max())
            if not error <= _NOISE * largest:
                raise ContractError(
                    f"{type(whole).__name__} cannot be cut: features of {tap} change by {error:.3g} without its later "
                    f"blocks (the largest is {largest:.3g})"
                )

    @property
    def network(self) -> nn.Module:
        """Remaining part of the module whose ``state_dict`` is published."""
        return self.inner.network

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the layout of the whole backbone."""
        return self.inner.layout(batch)

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Return the taps up to the last remaining block; see ``Backbone.forward``."""
        found = self.inner(batch)
        return {tap: found[tap] for tap in self.taps}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Run the first remaining blocks, for timings; without Galileo's last norm, which its own method applies."""
        return self.inner.forward_to(batch, blocks)

    def submodules(self) -> dict[str, Submodule]:
        """Return the parts of the remaining blocks."""
        return self.inner.submodules()

    def placed(self, tokens: Tensor, batch: ModelInput) -> Tensor:
        """Move tokens to their positions in the layout of the whole backbone."""
        return self.inner.placed(tokens, batch)

    def groups_present(self, batch: ModelInput) -> tuple[bool, ...]:
        """Return the token groups of the whole backbone."""
        return self.inner.groups_present(batch)

    def token_mask(self, batch: ModelInput) -> Tensor:
        """Return the mask of the whole backbone."""
        return self.inner.token_mask(batch)


def truncate(loaded: LoadedBackbone, tap: str, batch: ModelInput) -> LoadedBackbone:
    """Remove everything after a tap; for ``embed``, the first block is kept.

    Args:
        loaded: the whole backbone.
        tap: the last tap that is needed.
        batch: any input of the backbone.

    Raises:
        ContractError: no such tap, or ``final``, which needs all blocks; also see :class:`TruncatedBackbone`.
    """
    taps = loaded.backbone.taps
    if tap not in taps[:-1]:
        raise ContractError(
            f"{loaded.spec.slug} cannot be cut after '{tap}'; expected one of {', '.join(taps[:-1]) or 'no tap'}"
        )
    blocks = max(taps.index(tap), 1)
    backbone = TruncatedBackbone(loaded.backbone, blocks, batch).eval()
    spec = TruncatedSpec.model_construct(**{**dict(loaded.spec), "depth": blocks})
    return replace(loaded, backbone=backbone, spec=spec, parameters=_count(backbone))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _container(whole: Backbone, paths: list[str]) -> str:
    """Path of the list that contains exactly the blocks."""
    parents = {path.rpartition(".")[0] for path in paths}
    container = parents.pop() if len(parents) == 1 else ""
    module = whole.get_submodule(container)
    children = [f"{container}.{name}" for name, _ in module.named_children()]
    if not container or not isinstance(module, nn.ModuleList | nn.Sequential) or children != paths:
        raise ContractError(
            f"{type(whole).__name__} cannot be cut: its blocks are {paths[0]} to {paths[-1]}, expected one ModuleList "
            "or Sequential of blocks"
        )
    return container


def _after(whole: Backbone, container: str, batch: ModelInput) -> list[str]:
    """Paths of the outermost modules with own parameters that run only after the last block."""
    calls: list[str] = []
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in whole.named_modules():
            if next(module.parameters(recurse=False), None) is not None:
                hooks.enter_context(module.register_forward_pre_hook(lambda _, __, name=name: calls.append(name)))
        whole(batch)
    last = max((i for i, name in enumerate(calls) if name.startswith(f"{container}.")), default=len(calls))
    before = set(calls[: last + 1])
    found = [name for name in dict.fromkeys(calls[last + 1 :]) if name not in before]
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]


def _copy(whole: Backbone) -> Backbone:
    """Copy the modules without copying parameters and buffers."""
    shared = {id(tensor): tensor for tensor in chain(whole.parameters(), whole.buffers())}
    try:
        return copy.deepcopy(whole, shared)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ContractError(f"{type(whole).__name__} cannot be cut: it cannot be copied ({error})") from error


def _put(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
