"""UNet trained from scratch, the baseline of dense tasks."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.backbones.base import Backbone, TokenLayout
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError

STRIDE = 32
"""Downsampling factor of the encoder."""

CHANNELS = (256, 128, 64, 32, 16)
"""Widths of the five decoder stages; the last is the width of the tap."""


class UNet(Backbone):
    """UNet (Ronneberger et al. 2015, arXiv 1505.04597) from segmentation-models-pytorch, without pretrained weights.

    Its only tap has one token per pixel. A batch normalisation of the inputs makes it independent of the bands' units.
    """

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__(spec.taps, CHANNELS[-1])
        # Imported here, because it takes a second.
        from segmentation_models_pytorch import Unet

        encoder = spec.options.get("encoder")
        if set(spec.options) != {"encoder"}:
            raise ContractError(f"{spec.slug}: options must be {{ encoder = <name> }}, found {spec.options}")
        made = Unet(encoder, encoder_weights=None, decoder_channels=CHANNELS, in_channels=channels)
        self.scale = nn.BatchNorm2d(channels, affine=False)
        self.encoder, self.decoder = made.encoder, made.decoder

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the layout with one token per pixel."""
        height, width = batch.pixels.shape[-2:]
        return TokenLayout((int(height), int(width)), 0, ("image",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Return features (B, H * W, D)."""
        height, width = batch.pixels.shape[-2:]
        pixels = self.scale(torch.nan_to_num(batch.pixels))
        padded = functional.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE))
        maps = self.decoder(self.encoder(padded))[..., :height, :width]
        return {"final": maps.flatten(2).transpose(1, 2)}
