"""Where the parts of a backbone lie: paths of its blocks, tensors of a part, and outputs read while it runs."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, Submodule
from geofm_eval.errors import ContractError


def block_paths(backbone: Backbone) -> dict[str, str]:
    """Module path of every block by its name, such as ``{"block00": "model.blocks.0"}``.

    A block is what its parts have in common.

    Raises:
        ContractError: the backbone names no submodules, or a block's parts lie in no module of their own.
    """
    names = {id(module): name for name, module in backbone.named_modules()}
    paths: dict[str, list[str]] = {}
    for name, part in backbone.submodules().items():
        paths.setdefault(name.partition(".")[0], []).append(names[id(part.module)])
    found = {block: _shared([path.split(".") for path in own]) for block, own in paths.items()}
    if len(set(found.values())) < len(found):
        raise ContractError(f"{type(backbone).__name__}: several blocks share one module: their parts cannot be parted")
    return found


def _shared(paths: Sequence[Sequence[str]]) -> str:
    """What some paths begin with alike."""
    names = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    return ".".join(level[0] for level in names)


@dataclass(frozen=True)
class Rows:
    """Some rows of a tensor of a state dict; None stands for all of it."""

    name: str
    rows: slice | None = None


def part_rows(backbone: Backbone, part: str) -> list[Rows]:
    """Tensors that belong to a part of all blocks (``fc1``, or ``qkv`` for q, k and v), to a block, or to ``all``.

    Raises:
        ContractError: no such part or block.
    """
    if part == "all":
        return [Rows(name) for name in backbone.state_dict()]
    if part.startswith("block"):
        path = block_paths(backbone).get(part)
        if path is None:
            raise ContractError(f"{type(backbone).__name__} has no {part}")
        return [Rows(name) for name in backbone.state_dict() if name.startswith(f"{path}.")]
    wanted = ("q", "k", "v") if part == "qkv" else (part,)
    names = {id(module): name for name, module in backbone.named_modules()}
    found = []
    for name, one in backbone.submodules().items():
        if name.partition(".")[2] in wanted:
            own = one.module.state_dict()
            found += [Rows(f"{names[id(one.module)]}.{tensor}", one.part) for tensor in own]
    if not found:
        raise ContractError(f"{type(backbone).__name__} has no part {part} in its blocks")
    return found


@contextmanager
def exchanged(target: Backbone, source: Backbone, rows: Sequence[Rows]) -> Iterator[bool]:
    """Put numbers of one backbone into another for the time being; True where that changes anything.

    Args:
        target: is changed in place and restored; without low-rank updates beside its weights.
        source: of the same architecture, such as the backbone before tuning.
        rows: what is put in.
    """
    own, other = target.state_dict(), source.state_dict()
    pairs: list[tuple[Tensor, Tensor]] = []
    for one in rows:
        values, put = own[one.name], other[one.name].to(own[one.name].device)
        # A number that is no array (the count of batches of a norm) has no rows.
        part = slice(None) if one.rows is None else one.rows
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
"""Takes the name of a part or block and its output (B, N, D) as the module gives it."""

_TOKENS = 3


@contextmanager
def outputs_read(backbone: Backbone, read: Read, others: Mapping[str, Backbone] | None = None) -> Iterator[None]:
    """Read the output of every part while a backbone runs; what others make of the same inputs is read beside it.

    Args:
        backbone: runs inside the context.
        read: is given ``block00.fc1`` and its output.
        others: networks of the same architecture by a name of theirs; ``read`` is also given ``<name>/block00.fc1``,
            the output of their part for the input that this backbone's part had, and ``<name>/block00`` for whole
            blocks, where the architecture calls a block as one module.

    Raises:
        ContractError: one of the others is this backbone itself, not a copy.
    """
    handles, known, own = [], others or {}, backbone.submodules()
    if any(other is backbone for other in known.values()):
        raise ContractError("a backbone cannot be compared with itself while it runs: give a copy of it")
    parts = {name: other.submodules() for name, other in known.items()}
    modules: dict[int, tuple[nn.Module, list[str]]] = {}
    for name, one in own.items():
        modules.setdefault(id(one.module), (one.module, []))[1].append(name)
    for module, names in modules.values():
        handles.append(module.register_forward_hook(_part_hook(read, names, own, parts), with_kwargs=True))
    for block, path in block_paths(backbone).items() if known else ():
        # The hook of a container that is never called never fires: whole blocks are then not read.
        same = {f"{label}/{block}": other.get_submodule(path) for label, other in known.items()}
        handles.append(backbone.get_submodule(path).register_forward_hook(_block_hook(read, same), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _part_hook(
    read: Read, names: Sequence[str], own: Mapping[str, Submodule], parts: Mapping[str, Mapping[str, Submodule]]
) -> Any:
    """Reads what a module computes for some parts, and what the same module of others makes of its input."""

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        for name in names:
            read(name, _part(output, own[name].part))
        for label, found in parts.items():
            # One call serves all that the module computes.
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
    if output.ndim != _TOKENS:
        raise ContractError(f"a part of a block gives {tuple(output.shape)}, expected (items, tokens, channels)")
    return output if part is None else output[..., part]
