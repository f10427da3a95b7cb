"""What every backbone is: named taps over tokens whose layout is declared, never guessed from a shape."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError, DataError, Unavailable


@dataclass(frozen=True)
class TokenLayout:
    """How the N tokens of a tap are laid out: ``N = prefix + len(groups) * h * w``, prefix tokens first, group-major.

    Args:
        grid: patches (h, w), row-major within a group.
        prefix: class and register tokens.
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
"""Parts of a block that can be tapped, in the order of the computation; every architecture uses these names."""


@dataclass(frozen=True)
class Submodule:
    """A part of a block whose output can be tapped.

    Args:
        module: the module that computes it.
        part: where the tap lies in the last dimension of the module's output; None takes all of it. A fused qkv
            projection serves three taps.
    """

    module: nn.Module
    part: slice | None = None


def date_groups(dates: int, groups: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the token groups of a series, date-major.

    Args:
        dates: number of dates T.
        groups: names of the groups of one date; none where a date is one group.

    Returns:
        ``("date00.S1", "date00.S2_RGB", "date01.S1", ...)``, or ``("date00", "date01", ...)``.
    """
    names = [f"date{index:02d}" for index in range(dates)]
    return tuple(f"{name}.{group}" for name in names for group in groups) if groups else tuple(names)


def attention_parts(qkv: nn.Module, width: int) -> dict[str, Submodule]:
    """Query, key and value as thirds of a fused projection whose output is (B, N, 3 * width), in this order."""
    return {name: Submodule(qkv, slice(i * width, (i + 1) * width)) for i, name in enumerate(("q", "k", "v"))}


def block_parts(blocks: Iterable[Mapping[str, Submodule]]) -> dict[str, Submodule]:
    """Name the parts of each block: ``block00.norm1``, ..., ``block11.fc2``.

    Args:
        blocks: for each block in order, one entry per name of ``SUBMODULES``.
    """
    return {f"block{i:02d}.{name}": parts[name] for i, parts in enumerate(blocks) for name in SUBMODULES}


class Backbone(nn.Module, ABC):
    """A frozen feature extractor with ordered, named taps.

    ``taps = ("embed", "block00", "block01", "final")`` for two blocks: ``embed`` is the input of block00, ``final``
    comes after the last norm.

    Args:
        taps: tap names in the order of depth.
        width: feature dimension D of every tap.
    """

    takes_time: ClassVar[bool] = False
    """True for backbones that take series (B, T, C, H, W) with T >= 1, whose token groups are then date-major: all
    groups of the first date, then all of the second."""

    weight_files: ClassVar[tuple[str, ...]] = ()
    """Files that ``read_weights`` reads where the weights are a folder; only they count in its hash."""

    weights_key: str = ""
    """State dict to read from a file that holds several; ``load_backbone`` sets it to the entry's ``weights.key``."""

    def __init__(self, taps: Sequence[str], width: int) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.width = width

    @abstractmethod
    def layout(self, batch: ModelInput) -> TokenLayout:
        """Layout of the tokens that ``forward`` gives for this batch."""

    @abstractmethod
    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Complete forward pass.

        Returns:
            One (B, N, D) float32 tensor per tap, in the order of ``taps``.
        """

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Truncated forward pass: the embedding and the first ``blocks`` blocks; used to measure speed.

        Raises:
            Unavailable: the backbone knows no truncated pass, as a user's own need not.
        """
        depth = max(len(self.taps) - 2, 0)
        if blocks == depth:
            return self.forward(batch)[self.taps[-1]]
        raise Unavailable(
            "method", f"{type(self).__name__} cannot stop after {blocks} of {depth} blocks", "Implement its forward_to."
        )

    def submodules(self) -> dict[str, Submodule]:
        """Parts of every block by their common names, such as ``block07.fc1``.

        Raises:
            ContractError: the architecture does not say which modules they are.
        """
        raise ContractError(
            f"{type(self).__name__} names no submodules: implement submodules() for it, or tap whole blocks"
        )

    def placed(self, tokens: Tensor, batch: ModelInput) -> Tensor:
        """Tokens as a submodule gives them, (B, L, D), at the places of the layout, (B, N, D).

        They are there already unless the architecture packs valid tokens together, which it then undoes here.
        """
        return tokens

    def groups_present(self, batch: ModelInput) -> tuple[bool, ...]:
        """Which token groups of the layout carry data; masked groups do not."""
        return (True,) * len(self.layout(batch).groups)

    def token_mask(self, batch: ModelInput) -> Tensor:
        """Valid patch tokens.

        Returns:
            (B, N) bool; False for prefix tokens, patches without a valid pixel, and groups that are masked.
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
    """A backbone ready to be used, and where its weights come from.

    Args:
        backbone: in eval mode, without gradients, on its device.
        spec: catalog entry.
        weights_sha256: hash over names, dtypes, shapes and values of the tensors that were loaded; of the whole network
            where there is no file.
        weights_source: ``file:<name>``, ``url:<address>``, ``random:seed=<n>`` or ``built:<architecture>``.
        missing_keys: keys that the file lacks and the entry allows to be missing.
        unexpected_keys: keys of the file that were ignored as the entry allows.
        parameters: how many numbers are in the network's parameters.
        code_sha256: hash of a user's own backbone, its file and what that imports from its own folder; empty for
            built-in architectures.
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
    """Patches with at least one valid pixel.

    Args:
        valid: (B, H, W) bool.
        grid: patches (h, w) that divide H and W.

    Returns:
        (B, h, w) bool.
    """
    return functional.adaptive_max_pool2d(valid[:, None].float(), grid)[:, 0] > 0


def pool(tokens: Tensor, mask: Tensor, layout: TokenLayout, pooling: str) -> Tensor:
    """Pool the tokens of each item to one vector.

    Args:
        tokens: (B, N, D) float32.
        mask: (B, N) bool, True for valid patch tokens.
        layout: layout of the N tokens.
        pooling: ``mean`` over valid patch tokens of all groups, or ``cls``, the first prefix token.

    Returns:
        (B, D) float32.

    Raises:
        ContractError: another number of tokens than the layout declares, an unknown pooling, or ``cls`` without a class
            token.
        DataError: an item without a valid patch.
    """
    if tokens.shape[1] != layout.tokens or mask.shape != tokens.shape[:2]:
        raise ContractError(
            f"tokens {tuple(tokens.shape)} and mask {tuple(mask.shape)} do not match the declared layout of "
            f"{layout.tokens} tokens: {layout}"
        )
    if pooling == "cls":
        if layout.prefix == 0:
            raise ContractError("cls pooling needs a class token, this model has none: use mean")
        return tokens[:, 0]
    if pooling != "mean":
        raise ContractError(f"pooling '{pooling}' is unknown; known: mean, cls")
    count = mask.sum(dim=1)
    if not bool(count.all()):
        empty = (count == 0).nonzero().flatten().tolist()
        raise DataError(f"items {empty} of the batch have no valid patch: remove them from the split lists")
    # A matrix product skips the (B, N, D) temporary of a masked sum; invalid tokens are finite: zero weights drop them.
    weights = mask.to(tokens.dtype) / count[:, None]
    return torch.bmm(weights[:, None, :], tokens)[:, 0]


@contextmanager
def recorded_blocks(blocks: Sequence[nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Record the input of the first block as ``embed`` and the output of each block as ``block00``, ``block01``, ...

    The dictionary fills while the network runs inside the context; the hooks are gone afterwards, whatever happens.
    """
    found: dict[str, Tensor] = {}

    def keep_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found["embed"] = args[0] if args else kwargs["x"]

    def keep_output(name: str) -> Any:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
            found[name] = output

        return hook

    handles = [blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True)]
    handles += [block.register_forward_hook(keep_output(f"block{i:02d}")) for i, block in enumerate(blocks)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
