"""UNet, trained from scratch: the baseline that a pretrained backbone must beat on a dense task."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.backbones.base import Backbone, TokenLayout
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError

STRIDE = 32
"""The encoder halves an image five times."""

CHANNELS = (256, 128, 64, 32, 16)
"""Of the five stages of the decoder; the last is the width of the one tap."""


class UNet(Backbone):
    """UNet (Ronneberger et al. 2015, arXiv 1505.04597) of segmentation-models-pytorch, without pretrained weights.

    Its one tap has a token for every pixel. Inputs are normalised by a batch normalisation of their own, so that bands
    of any unit will do.
    """

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__(spec.taps, CHANNELS[-1])
        # Here, because it takes a second to load.
        from segmentation_models_pytorch import Unet

        encoder = spec.options.get("encoder")
        if set(spec.options) != {"encoder"}:
            raise ContractError(f"{spec.slug}: options must be {{ encoder = <name> }}, found {spec.options}")
        made = Unet(encoder, encoder_weights=None, decoder_channels=CHANNELS, in_channels=channels)
        self.scale = nn.BatchNorm2d(channels, affine=False)
        self.encoder, self.decoder = made.encoder, made.decoder

    def layout(self, batch: ModelInput) -> TokenLayout:
        """A token for every pixel."""
        height, width = batch.pixels.shape[-2:]
        return TokenLayout((int(height), int(width)), 0, ("image",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Features (B, H * W, D)."""
        height, width = batch.pixels.shape[-2:]
        pixels = self.scale(torch.nan_to_num(batch.pixels))
        padded = functional.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE))
        maps = self.decoder(self.encoder(padded))[..., :height, :width]
        return {"final": maps.flatten(2).transpose(1, 2)}
