"""Parts of a backbone: paths of its blocks, tensors of a part, and outputs of parts during a forward pass."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, Submodule
from geofm_eval.errors import ContractError


def block_paths(backbone: Backbone) -> dict[str, str]:
    """Return the module path of every block by its name, for example ``{"block00": "model.blocks.0"}``.

    The path of a block is what the paths of its parts have in common.

    Raises:
        ContractError: the backbone names no submodules, or blocks share a module.
    """
    names = {id(module): name for name, module in backbone.named_modules()}
    paths: dict[str, list[str]] = {}
    for name, part in backbone.submodules().items():
        paths.setdefault(name.partition(".")[0], []).append(names[id(part.module)])
    found = {block: _shared([path.split(".") for path in own]) for block, own in paths.items()}
    if len(set(found.values())) < len(found):
        raise ContractError(
            f"{type(backbone).__name__}: blocks share one module, so their parts cannot be separated; name only parts "
            "with a module of their own in submodules()"
        )
    return found


def _shared(paths: Sequence[Sequence[str]]) -> str:
    names = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    return ".".join(level[0] for level in names)


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor in a state dict; None takes the whole tensor."""

    name: str
    rows: slice | None = None


def part_rows(backbone: Backbone, part: str) -> list[Rows]:
    """Return the tensors of a part in all blocks (``fc1``, or ``qkv`` for q, k and v), of a block, or of ``all``.

    Raises:
        ContractError: there is no such part or block.
    """
    if part == "all":
        return [Rows(name) for name in backbone.state_dict()]
    if part.startswith("block"):
        paths = block_paths(backbone)
        path = paths.get(part)
        if path is None:
            raise ContractError(f"{type(backbone).__name__} has no {part}; choose one of {', '.join(paths)[:200]}")
        return [Rows(name) for name in backbone.state_dict() if name.startswith(f"{path}.")]
    wanted = ("q", "k", "v") if part == "qkv" else (part,)
    names = {id(module): name for name, module in backbone.named_modules()}
    submodules, found = backbone.submodules(), []
    for name, one in submodules.items():
        if name.partition(".")[2] in wanted:
            own = one.module.state_dict()
            found += [Rows(f"{names[id(one.module)]}.{tensor}", one.part) for tensor in own]
    if not found:
        known = dict.fromkeys(name.partition(".")[2] for name in submodules)
        raise ContractError(
            f"{type(backbone).__name__} has no part {part} in its blocks; choose one of {', '.join(known)[:200]}"
        )
    return found


@contextmanager
def exchanged(target: Backbone, source: Backbone, rows: Sequence[Rows]) -> Iterator[bool]:
    """Copy values of one backbone into another within the context; yield True if this changes any value.

    Args:
        target: changed in place and restored; its low-rank updates must be merged.
        source: of the same architecture, for example the backbone before tuning.
        rows: tensors to copy.
    """
    own, other = target.state_dict(), source.state_dict()
    pairs: list[tuple[Tensor, Tensor]] = []
    for one in rows:
        values, put = own[one.name], other[one.name].to(own[one.name].device)
        # A scalar (the number of batches of a norm) has no rows.
        part = one.rows or slice(None)
        pairs.append((values[part], put[part]) if values.ndim else (values, put))
    kept = [values.clone() for values, _ in pairs]
    try:
        for values, put in pairs:
            values.copy_(put)
        yield any(not torch.equal(before, put) for before, (_, put) in zip(kept, pairs, strict=True))
    finally:
        for (values, _), before in zip(pairs, kept, strict=True):
            values.copy_(before)


Read = Callable[[str, Tensor], None]
"""Receives the name of a part or block, and its output (B, N, D) as returned by the module."""


@contextmanager
def outputs_read(backbone: Backbone, read: Read, others: Mapping[str, Backbone] | None = None) -> Iterator[None]:
    """Read the output of every part while a backbone runs, and what other networks make of the same inputs.

    Args:
        backbone: runs inside the context.
        read: receives ``block00.fc1`` and its output.
        others: networks of the same architecture by label; ``read`` also receives ``<label>/block00.fc1``, the output
            of their part for the input of this backbone's part, and ``<label>/block00`` for whole blocks, if the
            architecture calls a block as one module.

    Raises:
        ContractError: one of the others is this backbone itself, not a copy.
    """
    known, own = others or {}, backbone.submodules()
    if any(other is backbone for other in known.values()):
        raise ContractError("a backbone cannot be compared with itself while it runs; pass a copy of it")
    parts = {name: other.submodules() for name, other in known.items()}
    modules: dict[int, tuple[nn.Module, list[str]]] = {}
    for name, one in own.items():
        modules.setdefault(id(one.module), (one.module, []))[1].append(name)
    with ExitStack() as hooks:
        for module, names in modules.values():
            hooks.enter_context(module.register_forward_hook(_part_hook(read, names, own, parts), with_kwargs=True))
        for block, path in block_paths(backbone).items() if known else ():
            # The hook of a container that is never called does not fire, so its whole blocks are not read.
            same = {f"{label}/{block}": other.get_submodule(path) for label, other in known.items()}
            whole = backbone.get_submodule(path)
            hooks.enter_context(whole.register_forward_hook(_block_hook(read, same), with_kwargs=True))
        yield


def _part_hook(
    read: Read, names: Sequence[str], own: Mapping[str, Submodule], parts: Mapping[str, Mapping[str, Submodule]]
) -> Any:
    """Hook that reads the parts that a module computes, and those of the same module of others for its input."""

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        for name in names:
            read(name, _part(output, own[name].part))
        for label, found in parts.items():
            # One call computes all parts of the module.
            same = found[names[0]].module(*args, **kwargs)
            for name in names:
                read(f"{label}/{name}", _part(same, found[name].part))

    return hook


def _block_hook(read: Read, others: Mapping[str, nn.Module]) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], __: Tensor) -> None:
        for name, block in others.items():
            read(name, block(*args, **kwargs))

    return hook


def _part(output: Tensor, part: slice | None) -> Tensor:
    if output.ndim != 3:
        raise ContractError(f"a part of a block returned {tuple(output.shape)}, expected (samples, tokens, channels)")
    return output if part is None else output[..., part]
