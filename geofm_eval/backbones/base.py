"""Base class of backbones: named taps, and tokens with a declared layout."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.plurals import counted


@dataclass(frozen=True)
class TokenLayout:
    """Layout of the N tokens of a tap: ``N = prefix + len(groups) * h * w``, prefix tokens first, group-major.

    Args:
        grid: patches (h, w), row-major within a group.
        prefix: number of class and register tokens.
        groups: names of the token groups (channel groups, modalities or dates) in order; one for most models.
    """

    grid: tuple[int, int]
    prefix: int
    groups: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """N, the number of tokens."""
        return self.prefix + len(self.groups) * self.grid[0] * self.grid[1]


SUBMODULES = ("norm1", "q", "k", "v", "attn_proj", "norm2", "fc1", "fc2")
"""Parts of a block that can be tapped, in order of computation; the same names for every architecture."""


@dataclass(frozen=True)
class Submodule:
    """A part of a block whose output can be tapped.

    Args:
        module: module that computes the output.
        part: slice of the last dimension of the output; None takes all of it. A fused qkv projection has three taps.
    """

    module: nn.Module
    part: slice | None = None


def date_groups(dates: int, groups: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the token groups of a series, date-major.

    Args:
        dates: number of dates T.
        groups: names of the groups of one date; empty if a date is one group.

    Returns:
        ``("date00.S1", "date00.S2_RGB", "date01.S1", ...)``, or ``("date00", "date01", ...)``.
    """
    names = [f"date{index:02d}" for index in range(dates)]
    return tuple(f"{name}.{group}" for name in names for group in groups) if groups else tuple(names)


def attention_parts(qkv: nn.Module, width: int) -> dict[str, Submodule]:
    """Return query, key and value as thirds of a fused projection with output (B, N, 3 * width)."""
    return {name: Submodule(qkv, slice(i * width, (i + 1) * width)) for i, name in enumerate(("q", "k", "v"))}


def block_parts(blocks: Iterable[Mapping[str, Submodule]]) -> dict[str, Submodule]:
    """Name the parts of each block: ``block00.norm1``, ..., ``block11.fc2``.

    Args:
        blocks: parts of each block by the names in ``SUBMODULES``.
    """
    return {f"block{i:02d}.{name}": parts[name] for i, parts in enumerate(blocks) for name in SUBMODULES}


class Backbone(nn.Module, ABC):
    """A frozen feature extractor with ordered, named taps.

    For two blocks, ``taps = ("embed", "block00", "block01", "final")``: ``embed`` is the input of block00, ``final``
    the output of the last norm.

    Args:
        taps: tap names, shallow to deep.
        width: feature dimension D of every tap.
    """

    takes_time: ClassVar[bool] = False
    """Whether the backbone takes series (B, T, C, H, W) with T >= 1. Its token groups are then date-major, with all
    groups of the first date before those of the second."""

    weight_files: ClassVar[tuple[str, ...]] = ()
    """Files that ``read_weights`` reads if the weights are a folder; only these are hashed."""

    windows_at_once: ClassVar[int] = 16
    """Windows of a chip that a dense probe encodes together; fewer for a backbone with very many tokens."""

    weights_key: str = ""
    """Name of the state dict in a file with several; ``load_backbone`` sets it to the entry's ``weights.key``."""

    def __init__(self, taps: Sequence[str], width: int) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.width = width

    @abstractmethod
    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the layout of the tokens that ``forward`` returns for this batch."""

    @abstractmethod
    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Run the complete forward pass.

        Returns:
            One (B, N, D) float32 tensor per tap, in the order of ``taps``.
        """

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Run the embedding and the first ``blocks`` blocks; used to measure speed.

        Raises:
            Unavailable: the backbone does not implement it, which is optional for a user's own backbone.
        """
        depth = max(len(self.taps) - 2, 0)
        if blocks == depth:
            return self.forward(batch)[self.taps[-1]]
        raise Unavailable(
            "method",
            f"{type(self).__name__} cannot stop after {blocks} of {counted(depth, 'block')}",
            "Implement forward_to().",
        )

    def submodules(self) -> dict[str, Submodule]:
        """Return the parts of every block by their common names, for example ``block07.fc1``.

        Raises:
            ContractError: the architecture does not implement it.
        """
        raise ContractError(f"{type(self).__name__} does not implement submodules(); implement it, or tap whole blocks")

    def placed(self, tokens: Tensor, batch: ModelInput) -> Tensor:
        """Move tokens from a submodule, (B, L, D), to their positions in the layout, (B, N, D).

        This is needed only for architectures that pack valid tokens together.
        """
        return tokens

    def groups_present(self, batch: ModelInput) -> tuple[bool, ...]:
        """Return whether each token group of the layout has data; masked groups have none."""
        return (True,) * len(self.layout(batch).groups)

    def token_mask(self, batch: ModelInput) -> Tensor:
        """Return which patch tokens are valid.

        Returns:
            (B, N) bool; False for prefix tokens, patches without a valid pixel, and masked groups.
        """
        layout = self.layout(batch)
        valid = batch.valid if batch.series else batch.valid[:, None]
        dates = valid.shape[1]
        patches = valid_patches(valid.flatten(0, 1), layout.grid).reshape(-1, dates, 1, layout.grid[0] * layout.grid[1])
        present = torch.tensor(self.groups_present(batch), device=patches.device).reshape(dates, -1, 1)
        prefix = torch.zeros(len(patches), layout.prefix, dtype=torch.bool, device=patches.device)
        return torch.cat([prefix, (patches & present).flatten(1)], dim=1)

    @property
    def network(self) -> nn.Module:
        """Module whose ``state_dict`` is the published weight file."""
        return self

    def read_weights(self, path: Path) -> dict[str, Tensor]:
        """Read the published weights for ``network``."""
        return read_state_dict(path, self.weights_key)


@dataclass(frozen=True)
class LoadedBackbone:
    """A backbone with loaded weights, and their provenance.

    Args:
        backbone: in eval mode, without gradients, on its device.
        spec: catalog entry.
        weights_sha256: hash over names, dtypes, shapes and values of the loaded tensors, or of the whole network if
            no file was read.
        weights_source: ``file:<name>``, ``url:<address>``, ``package:<name>``, ``random:seed=<n>``,
            ``built:<architecture>`` or ``built:<module>:<function>``, or ``table:<name>`` and ``pixels:<name>`` for
            embeddings from files; see ``records.Provenance``.
        missing_keys: missing keys that the entry allows.
        unexpected_keys: ignored keys that the entry allows.
        parameters: number of parameters of the network.
        code_sha256: hash of a user's own backbone: its file and imports from its own folder; empty for built-in
            architectures.
    """

    backbone: Backbone
    spec: ModelSpec
    weights_sha256: str
    weights_source: str
    missing_keys: tuple[str, ...]
    unexpected_keys: tuple[str, ...]
    parameters: int
    code_sha256: str = ""

    def __repr__(self) -> str:
        return f"LoadedBackbone({self.spec.slug}, {self.parameters:,} parameters, {self.weights_source})"


def valid_patches(valid: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return which patches have at least one valid pixel.

    Args:
        valid: (B, H, W) bool.
        grid: number of patches (h, w), which must divide (H, W).

    Returns:
        (B, h, w) bool.
    """
    return functional.adaptive_max_pool2d(valid[:, None].float(), grid)[:, 0] > 0


def pool(tokens: Tensor, mask: Tensor, layout: TokenLayout, pooling: str) -> Tensor:
    """Pool the tokens of each sample to one vector.

    Args:
        tokens: (B, N, D) float32.
        mask: (B, N) bool, True for valid patch tokens.
        layout: layout of the N tokens.
        pooling: ``mean`` over valid patch tokens of all groups, or ``cls``, the first prefix token.

    Returns:
        (B, D) float32.

    Raises:
        ContractError: the number of tokens differs from the layout, the pooling is unknown, or ``cls`` is used without
            a class token.
        DataError: a sample has no valid patch.
    """
    if tokens.shape[1] != layout.tokens or mask.shape != tokens.shape[:2]:
        raise ContractError(
            f"tokens {tuple(tokens.shape)} and mask {tuple(mask.shape)} do not match the declared layout of "
            f"{counted(layout.tokens, 'token')}: {layout}"
        )
    if pooling == "cls":
        if layout.prefix == 0:
            raise ContractError("cls pooling needs a class token, and this model has none; use mean pooling")
        return tokens[:, 0]
    if pooling != "mean":
        raise ContractError(f"unknown pooling '{pooling}'; expected mean or cls")
    count = mask.sum(dim=1)
    if not bool(count.all()):
        empty = (count == 0).nonzero().flatten().tolist()
        raise DataError(f"samples {empty} of the batch have no valid patch; remove them from the split lists")
    # A matrix product avoids the (B, N, D) temporary of a masked sum; weight 0 drops invalid tokens, which are finite.
    weights = mask.to(tokens.dtype) / count[:, None]
    return torch.bmm(weights[:, None, :], tokens)[:, 0]


@contextmanager
def recorded_blocks(blocks: Sequence[nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Record the input of the first block as ``embed`` and the output of each block as ``block00``, ``block01``, ...

    The dictionary fills while the network runs inside the context; the hooks are always removed afterwards.
    """
    found: dict[str, Tensor] = {}

    def keep_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found["embed"] = args[0] if args else kwargs["x"]

    def keep_output(name: str, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        found[name] = output

    with ExitStack() as hooks:
        hooks.enter_context(blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True))
        for i, block in enumerate(blocks):
            hooks.enter_context(block.register_forward_hook(partial(keep_output, f"block{i:02d}")))
        yield found
