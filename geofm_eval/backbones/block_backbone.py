"""Shared parts of our own loaders: forward pass through timm blocks, fixed positions, random initialisation."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, Submodule, TokenLayout, block_parts, recorded_blocks
from geofm_eval.backbones.vit import timm_block
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError, Unavailable

PATCH = 16


class BlockBackbone(Backbone):
    """Network around timm blocks, with a tap before them, after each, and after the last norm.

    Args:
        spec: catalog entry.
        model: network whose ``state_dict`` is the published weight file.
        groups: names of the token groups in order.
    """

    def __init__(self, spec: ModelSpec, model: nn.Module, groups: tuple[str, ...]) -> None:
        super().__init__(spec.taps, spec.width)
        self.model = model
        self.prefix = spec.prefix
        self.groups = groups
        self.side = int(spec.image_size or 0)

    @abstractmethod
    def embed(self, pixels: Tensor) -> Tensor:
        """Return the tokens that enter the first block, (B, N, D), from normalised pixels (B, C, H, W)."""

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The blocks in order."""

    @property
    @abstractmethod
    def norm(self) -> nn.Module:
        """The norm after the last block."""

    @property
    def network(self) -> nn.Module:
        """Module whose ``state_dict`` is the published weight file."""
        return self.model

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return a square grid of patches for each group, after the class token if there is one.

        Raises:
            ContractError: the image size differs from that of the positions.
        """
        size = tuple(batch.pixels.shape[-2:])
        if size != (self.side, self.side):
            raise ContractError(
                f"the model was built for images of {self.side} pixels, found {size}; set image_size in its entry"
            )
        return TokenLayout((self.side // PATCH, self.side // PATCH), self.prefix, self.groups)

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Run the complete forward pass; see ``Backbone.forward``."""
        with recorded_blocks(list(self.blocks)) as found:
            found["final"] = self.norm(self.forward_to(batch, len(self.blocks)))
        return {tap: found[tap] for tap in self.taps}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Run the embedding and the first ``blocks`` blocks (at least one); return all tokens before the last norm."""
        if not 1 <= blocks <= len(self.blocks):
            raise ContractError(f"blocks must be 1 to {len(self.blocks)}, found {blocks}")
        self.layout(batch)
        tokens = self.embed(batch.pixels)
        for block in self.blocks[:blocks]:
            tokens = block(tokens)
        return tokens

    def submodules(self) -> dict[str, Submodule]:
        """Return the parts of every block; see ``Backbone.submodules``."""
        return block_parts(timm_block(block, self.width) for block in self.blocks)


def timm_blocks(spec: ModelSpec, num_heads: int, **arguments: Any) -> nn.ModuleList:
    """Make timm blocks for an entry, with an MLP four times as wide.

    Raises:
        Unavailable: timm is not installed.
        ContractError: the number of heads does not divide the width.
    """
    if not isinstance(num_heads, int) or num_heads < 1 or spec.width % num_heads:
        raise ContractError(f"{spec.slug}: num_heads must divide the width {spec.width}, found {num_heads!r}")
    try:
        from timm.models.vision_transformer import Block
    except ImportError:
        raise Unavailable("package", "timm", "Install it with: pip install timm") from None
    return nn.ModuleList(Block(spec.width, num_heads, mlp_ratio=4.0, **arguments) for _ in range(spec.depth))


def check_entry(spec: ModelSpec, options: Iterable[str], prefix: int, width_step: int) -> int:
    """Check the fields of an entry against its architecture.

    Args:
        spec: catalog entry.
        options: names of the known ``options``.
        prefix: number of prefix tokens of the architecture.
        width_step: number by which the width must be divisible, for the positions.

    Returns:
        Pixels per side.

    Raises:
        ContractError: unknown options, or an unsupported size, width or prefix.
    """
    unknown = sorted(set(spec.options) - set(options))
    if unknown:
        known = ", ".join(options)
        raise ContractError(f"{spec.slug}: unknown options {unknown} for {spec.architecture}; known: {known}")
    if spec.image_size is None or spec.image_size % PATCH:
        raise ContractError(
            f"{spec.slug}: image_size must be a multiple of the patch size of {PATCH} pixels, found {spec.image_size}"
        )
    if spec.prefix != prefix or spec.width % width_step or not spec.width:
        raise ContractError(
            f"{spec.slug}: expected prefix = {prefix} and a width divisible by {width_step}, found prefix = "
            f"{spec.prefix} and width = {spec.width}"
        )
    return spec.image_size


def sine_cosine(count: int, width: int) -> Tensor:
    """Return fixed 1D positions (Vaswani et al. 2017), half sine and half cosine, wavelengths 2 pi to 20,000 pi.

    Args:
        count: positions 0 to ``count - 1``.
        width: even feature dimension.

    Returns:
        (count, width) float64.
    """
    half = width // 2
    frequencies = 10_000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def initialise(model: nn.Module) -> None:
    """Initialise as in masked autoencoders (He et al. 2022): Glorot-uniform weights, zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv3d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
