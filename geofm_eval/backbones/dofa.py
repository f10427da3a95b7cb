"""DOFA (Xiong et al. 2024, arXiv 2403.15356): a ViT whose patch embedding depends on wavelengths, from torchgeo."""

from typing import Any

import torch
from torch import Tensor, nn

from geofm_eval.backbones.block_backbone import PATCH, BlockBackbone, check_entry, sine_cosine
from geofm_eval.catalog import ModelSpec
from geofm_eval.catalog.bands import BANDS
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.errors import ContractError, Unavailable


class Dofa(BlockBackbone):
    """DOFA with a tap before the first block, after every block, and after the last norm.

    torchgeo's forward pass pools the tokens, so embedding, blocks and norm are run separately here. Any set of optical
    bands is accepted: bands that a task lacks are left out, neither filled nor masked.

    Args:
        spec: catalog entry.
        model: torchgeo's model, with a norm over tokens.
        wavelengths: wavelength of each channel in micrometres.
        present: whether the task has each channel.
    """

    def __init__(
        self, spec: ModelSpec, model: nn.Module, wavelengths: tuple[float, ...], present: tuple[bool, ...]
    ) -> None:
        super().__init__(spec, model, ("image",))
        self.kept = [channel for channel, there in enumerate(present) if there]
        self.wavelengths = [wavelengths[channel] for channel in self.kept]

    def embed(self, pixels: Tensor) -> Tensor:
        """Return the class token and the patches of the task's bands, with positions."""
        model: Any = self.model
        patches, _ = model.patch_embed(pixels[:, self.kept], pixels.new_tensor(self.wavelengths))
        first = (model.cls_token + model.pos_embed[:, :1]).expand(len(patches), -1, -1)
        return torch.cat([first, patches + model.pos_embed[:, 1:]], dim=1)

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks in order."""
        blocks = self.model.get_submodule("blocks")
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    @property
    def norm(self) -> nn.Module:
        """The norm after the last block."""
        return self.model.get_submodule("norm")


def build(spec: ModelSpec, adapter: InputAdapter) -> Dofa:
    """Build the architecture of an entry with optical bands and random weights; ``options`` may set ``num_heads``.

    Raises:
        Unavailable: torchgeo is not installed.
        ContractError: unsupported options, size, width or prefix, or a band without a wavelength.
    """
    side = check_entry(spec, ("num_heads",), prefix=1, width_step=4)
    wavelengths = tuple(_micrometres(spec.slug, name) for name in adapter.bands)
    try:
        from torchgeo.models import DOFA
    except ImportError:
        raise Unavailable("package", "torchgeo", "Install it with: pip install torchgeo requests") from None
    model = DOFA(
        img_size=side,
        patch_size=PATCH,
        embed_dim=spec.width,
        depth=spec.depth,
        num_heads=spec.options.get("num_heads", 12),
        num_classes=0,
        global_pool=False,
    )
    # Positions are fixed sine-cosine in the published weights but zero in a new model; a random twin needs them too.
    model.pos_embed.data[:, 1:] = plane_positions(side // PATCH, spec.width)
    return Dofa(spec, model, wavelengths, adapter.present)


def plane_positions(side: int, width: int) -> Tensor:
    """Return fixed 2D positions as in MAE (He et al. 2022, arXiv 2111.06377): half of the features hold the column.

    Args:
        side: patches per side.
        width: feature dimension, a multiple of 4.

    Returns:
        (side * side, width) float32, row-major.
    """
    line = sine_cosine(side, width // 2)
    return torch.cat([line.repeat(side, 1), line.repeat_interleave(side, dim=0)], dim=1).float()


def _micrometres(slug: str, name: str) -> float:
    band = BANDS.get(name)
    if band is None or band.wavelength is None:
        raise ContractError(f"{slug}: DOFA needs a wavelength for every band, {name} has none; choose optical bands")
    return band.wavelength / 1000
