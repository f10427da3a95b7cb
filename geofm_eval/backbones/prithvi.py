"""Prithvi-EO-1.0-100M (Jakubik et al. 2023, arXiv 2310.18660): a video ViT over six HLS bands, with timm blocks."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import TokenLayout, date_groups
from geofm_eval.backbones.block_backbone import PATCH, BlockBackbone, check_entry, initialise, sine_cosine, timm_blocks
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError


class PrithviEncoder(nn.Module):
    """Encoder for one or several dates.

    Args:
        channels: number of bands C.
        width: feature dimension D, a multiple of 16.
        side: pixels per side.
        blocks: transformer blocks.
    """

    positions: Tensor

    def __init__(self, channels: int, width: int, side: int, blocks: nn.ModuleList) -> None:
        super().__init__()
        patch = (1, PATCH, PATCH)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(channels, width, kernel_size=patch, stride=patch)})
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.blocks = blocks
        self.norm = nn.LayerNorm(width)
        self.grid = (side // PATCH, side // PATCH)
        # They depend on the number of dates, so those in the file (for three dates) are never loaded.
        self.register_buffer("positions", patch_positions(width, (1, *self.grid)), persistent=False)
        initialise(self)

    def embed(self, pixels: Tensor) -> Tensor:
        """Embed patches with their positions, after the class token.

        Args:
            pixels: (B, C, T, H, W) normalised; T dates.

        Returns:
            (B, 1 + T*h*w, D): the class token, then the patches date by date.
        """
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        positions, dates = self.positions, pixels.shape[2]
        if dates > 1:
            positions = patch_positions(patches.shape[-1], (dates, *self.grid)).to(patches)
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches + positions], dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, C, T, H, W) to tokens after the last norm, (B, 1 + T*h*w, D)."""
        tokens = self.embed(pixels)
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed


class Prithvi(BlockBackbone):
    """Prithvi on one or several dates; it uses their order, not their times."""

    takes_time = True
    model: PrithviEncoder

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the class token, then a square grid of patches for every date; see ``BlockBackbone.layout``."""
        layout = super().layout(batch)
        return replace(layout, groups=date_groups(batch.pixels.shape[1])) if batch.series else layout

    def embed(self, pixels: Tensor) -> Tensor:
        """Return class token and patches from a single date (B, C, H, W) or a series (B, T, C, H, W)."""
        dates = pixels if pixels.ndim == 5 else pixels[:, None]
        return self.model.embed(dates.transpose(1, 2))

    @property
    def blocks(self) -> nn.ModuleList:
        """The encoder's blocks."""
        return self.model.blocks

    @property
    def norm(self) -> nn.Module:
        """The encoder's last norm."""
        return self.model.norm


def build(spec: ModelSpec, adapter: InputAdapter) -> Prithvi:
    """Build an entry's encoder with random weights; ``options`` may set ``num_heads``.

    Raises:
        Unavailable: timm is not installed.
        ContractError: unsupported options, size, width or prefix.
    """
    side = check_entry(spec, ("num_heads",), prefix=1, width_step=16)
    # torch's norm adds 1e-5 to the variance, as in training; timm's default of 1e-6 would shift every block.
    blocks = timm_blocks(spec, spec.options.get("num_heads", 12), qkv_bias=True, norm_layer=nn.LayerNorm)
    return Prithvi(spec, PrithviEncoder(len(adapter.bands), spec.width, side, blocks), ("image",))


def patch_positions(width: int, grid: tuple[int, int, int]) -> Tensor:
    """Return fixed 3D sine-cosine positions.

    Args:
        width: feature dimension D; 6/16 of it each for column and row, 4/16 for the date.
        grid: dates, rows and columns of patches (t, h, w).

    Returns:
        (t*h*w, D) float32, date by date and row by row.

    Raises:
        ContractError: the width is not divisible by 16.
    """
    if width % 16:
        raise ContractError(f"positions in time and space need a width divisible by 16, found {width}")
    dates, rows, columns = grid
    parts = (
        sine_cosine(columns, width // 16 * 6)[None, None].expand(dates, rows, -1, -1),
        sine_cosine(rows, width // 16 * 6)[None, :, None].expand(dates, -1, columns, -1),
        sine_cosine(dates, width // 16 * 4)[:, None, None].expand(-1, rows, columns, -1),
    )
    return torch.cat(parts, dim=-1).flatten(0, 2).float()
