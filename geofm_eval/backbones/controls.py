"""Controls without training: band statistics and random convolutional features."""

import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.backbones.base import Backbone, TokenLayout
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError

AT_ONCE = 4
"""Number of images whose filter responses are computed together."""


class _WholeImage(Backbone):
    """A control with one token per image and no blocks."""

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the layout of one token without a prefix."""
        return TokenLayout((1, 1), 0, ("image",))


class BandStatistics(_WholeImage):
    """Mean and standard deviation of every band over the valid pixels, in the task's own unit."""

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__(spec.taps, 2 * channels)

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Return (B, 1, 2C): C means, then C standard deviations (zero for an image without a valid pixel)."""
        valid = batch.valid[:, None]
        count = valid.sum(dim=(2, 3)).clamp_min(1)
        mean = (batch.pixels * valid).sum(dim=(2, 3)) / count
        # Two passes, because a difference of squares would lose the variance of dark bands to rounding.
        deviation = (batch.pixels - mean[:, :, None, None]) * valid
        variance = deviation.square().sum(dim=(2, 3)) / count
        return {"final": torch.cat([mean, variance.sqrt()], dim=1)[:, None]}


class RandomConvolutions(_WholeImage):
    """Random convolutional features: rectified responses to random filters, averaged over the image.

    ``f(x) = [mean(relu(w * x)), mean(relu(-(w * x)))]`` with Gaussian filters w (Rolf et al. 2021, Nature
    Communications 12; Gaussian instead of sampled patches, so that nothing is fitted to the task). Reflectance is
    positive, so a Gaussian filter seldom changes sign within an image and responds to colour. Every second filter sums
    to zero over its window in each band and responds to texture. Windows with an invalid pixel are excluded.
    """

    weights: Tensor

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__(spec.taps, spec.width)
        size = spec.options.get("kernel_size")
        if set(spec.options) != {"kernel_size"} or not isinstance(size, int) or size < 2:
            raise ContractError(f"{spec.slug}: options must be {{ kernel_size = <2 or more> }}, found {spec.options}")
        if spec.width < 2 or spec.width % 2:
            raise ContractError(f"{spec.slug}: width must be even (two signs per filter), found {spec.width}")
        weights = torch.randn(spec.width // 2, channels, size, size)
        weights[1::2] -= weights[1::2].mean(dim=(2, 3), keepdim=True)
        self.register_buffer("weights", weights)

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Return (B, 1, D): D/2 positive parts, then D/2 negative parts (zero without a valid window)."""
        if min(batch.pixels.shape[-2:]) < self.weights.shape[-1]:
            raise ContractError(
                f"images of {tuple(batch.pixels.shape[-2:])} pixels are smaller than the filters of "
                f"{self.weights.shape[-1]} pixels; choose a smaller options.kernel_size in the entry"
            )
        # Responses of a whole batch take hundreds of megabytes; those of a few images fit the CPU cache.
        parts = zip(torch.split(batch.pixels, AT_ONCE), torch.split(batch.valid, AT_ONCE), strict=True)
        return {"final": torch.cat([self._features(pixels, valid) for pixels, valid in parts])[:, None]}

    def _features(self, pixels: Tensor, valid: Tensor) -> Tensor:
        response = functional.conv2d(pixels, self.weights)
        size = self.weights.shape[-1]
        whole = functional.max_pool2d((~valid[:, None]).float(), size, stride=1) == 0
        response *= whole
        count = whole.sum(dim=(2, 3)).clamp_min(1)
        positive, negative = response.clamp_min(0).sum(dim=(2, 3)), response.clamp_max(0).sum(dim=(2, 3))
        return torch.cat([positive / count, -negative / count], dim=1)
