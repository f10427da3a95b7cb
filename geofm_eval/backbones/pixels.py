"""The pixels themselves: maps of embeddings, or raw pixels as a control. One token per pixel, nothing is learned."""

from typing import ClassVar

from torch import Tensor

from geofm_eval.backbones.base import Backbone, TokenLayout
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput


class Pixels(Backbone):
    """Returns every pixel as a token of its bands, in the task's own unit; pixels without data are left out.

    A chip of H x W pixels has H * W tokens. The dense probe therefore fits at most 20,000 pixels of the training and
    validation chips each, and encodes chips in windows of at most 224 pixels, a few at a time.
    """

    windows_at_once: ClassVar[int] = 4

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__(spec.taps, channels)

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the layout of one token per pixel."""
        height, width = batch.pixels.shape[-2:]
        return TokenLayout((int(height), int(width)), 0, ("image",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Return (B, H * W, C)."""
        return {"final": batch.pixels.flatten(2).transpose(1, 2)}
