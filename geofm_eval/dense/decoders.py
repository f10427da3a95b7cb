"""Decoders: from feature maps of some taps to one value per class and pixel.

Every decoder takes a list of maps (B, D, h, w), shallow to deep, and returns (B, K, h', w') at its own size;
:class:`Decoder` resizes the result to the image. Regression has K = 1.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.errors import ContractError

UPERNET_WIDTH = 512
"""Channels of PANGAEA's UPerNet (arXiv 2412.04204)."""

SINGLE_WIDTH = 256
"""Channels of the single-level upsampler: 7 % of the parameters of UPerNet on a ViT-B (published: 7 to 18 %)."""

SMALL_WIDTH = 64
"""Channels of the variants for CPUs (``_w064``), which no table compares with the others."""

LIGHT_WIDTH = 64
"""Channels of the light multi-scale decoder, which give it a few hundred thousand parameters."""


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (B, C, h, w) bilinearly to ``size``, with aligned pixel areas (``align_corners = False``)."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def enlarge(maps: Tensor, factor: int) -> Tensor:
    """Enlarge (B, C, h, w) bilinearly by an integer factor."""
    height, width = maps.shape[-2:]
    return resize(maps, (height * factor, width * factor))


def convolution(inputs: int, outputs: int, kernel: int = 3, bias: bool = False) -> nn.Sequential:
    """Return a convolution that keeps the size, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class TokenLinear(nn.Module):
    """One linear map per patch token of one tap, without information from neighbouring tokens."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, K, h, w)."""
        found: Tensor = self.classifier(maps[0])
        return found


class SingleLevel(nn.Module):
    """Upsampler on one tap: convolutions at the tokens' resolution and at half of it, then two enlargements by two.

    Most parameters act at few positions, so that a step costs a fraction of the backbone's forward pass.
    """

    def __init__(self, width: int, outputs: int, channels: int = SINGLE_WIDTH) -> None:
        super().__init__()
        wide, narrow = 3 * channels, max(channels // 4, 32)
        self.mix = nn.Sequential(convolution(width, channels, 1), convolution(channels, channels))
        # ceil_mode keeps a grid of a single token.
        halve = nn.AvgPool2d(2, ceil_mode=True)
        self.context = nn.Sequential(halve, convolution(channels, wide), convolution(wide, channels, 1))
        self.enlarge = nn.Sequential(_doubling(channels, narrow), _doubling(narrow, narrow))
        self.classifier = nn.Conv2d(narrow, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, K, 4h, 4w)."""
        mixed = self.mix(maps[0])
        height, width = mixed.shape[-2:]
        found = mixed + resize(self.context(mixed), (height, width))
        logits: Tensor = self.classifier(self.enlarge(found))
        return logits


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class LightMultiScale(nn.Module):
    """Four taps, projected to a common width, summed and enlarged by four, then two 3 x 3 convolutions."""

    def __init__(self, width: int, outputs: int, channels: int = LIGHT_WIDTH, levels: int = 4) -> None:
        super().__init__()
        self.project = nn.ModuleList(convolution(width, channels, 1) for _ in range(levels))
        self.fuse = nn.Sequential(convolution(channels, channels), convolution(channels, channels))
        self.classifier = nn.Conv2d(channels, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, K, 4h, 4w)."""
        # Summed before they are enlarged: the same sum at a sixteenth of the cost.
        common = torch.stack([project(one) for project, one in zip(self.project, maps, strict=True)]).sum(0)
        logits: Tensor = self.classifier(self.fuse(enlarge(common, 4)))
        return logits


class Pyramid(nn.Module):
    """Neck that gives four maps of one resolution the four resolutions of a pyramid: 4, 2, 1 and 1/2 times theirs.

    Transposed convolutions enlarge and max pooling shrinks, as is usual for plain Vision Transformers (Li et al. 2022,
    Exploring Plain Vision Transformer Backbones for Object Detection, arXiv 2203.16527).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(width, width, 2, stride=2),
                    nn.BatchNorm2d(width),
                    nn.GELU(),
                    nn.ConvTranspose2d(width, width, 2, stride=2),
                ),
                nn.ConvTranspose2d(width, width, 2, stride=2),
                nn.Identity(),
                Halve(),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map four (B, D, h, w) to (B, D, 4h, 4w), (B, D, 2h, 2w), (B, D, h, w) and (B, D, h/2, w/2)."""
        return [level(one) for level, one in zip(self.levels, maps, strict=True)]


class Halve(nn.Module):
    """Max pooling to half the size, rounded down; a row or column of a single token is kept."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, D, h, w) to (B, D, h/2, w/2)."""
        return functional.max_pool2d(maps, 2, stride=2, ceil_mode=min(maps.shape[-2:]) < 2)


POOL_SCALES = (1, 2, 3, 6)
"""Sides of the grids to which the deepest map is pooled."""

DROPPED = 0.1
"""Proportion of channels that training drops before the classifier."""


class UPerNet(nn.Module):
    """UPerNet (Xiao et al. 2018, arXiv 1807.10221) after a pyramid neck, as trained by PANGAEA.

    Same outputs as PANGAEA's ``SegUPerNet`` with the same weights (docs/parity.md): convolutions have a bias, the maps
    of the neck are not normalised, and a proportion of the channels is dropped before the classifier.
    """

    def __init__(self, width: int, outputs: int, channels: int = UPERNET_WIDTH) -> None:
        super().__init__()
        self.pyramid = Pyramid(width)
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), *convolution(width, channels, 1, bias=True))
            for size in POOL_SCALES
        )
        self.context = convolution(width + len(POOL_SCALES) * channels, channels, bias=True)
        self.laterals = nn.ModuleList(convolution(width, channels, 1, bias=True) for _ in range(3))
        self.smooth = nn.ModuleList(convolution(channels, channels, bias=True) for _ in range(3))
        self.fuse = convolution(4 * channels, channels, bias=True)
        self.dropout = nn.Dropout2d(DROPPED)
        self.classifier = nn.Conv2d(channels, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, K, 4h, 4w)."""
        levels = self.pyramid(maps)
        deepest = levels[-1]
        pooled = [resize(pool(deepest), _size(deepest)) for pool in self.pools]
        # From the coarsest level to the finest, each added to the next finer one.
        merged = [self.context(torch.cat([deepest, *pooled], dim=1))]
        for lateral, level in zip(reversed(self.laterals), reversed(levels[:-1]), strict=True):
            fine = lateral(level)
            merged.insert(0, fine + resize(merged[0], _size(fine)))
        smoothed = [*(smooth(one) for smooth, one in zip(self.smooth, merged[:-1], strict=True)), merged[-1]]
        finest = _size(smoothed[0])
        fused = self.fuse(torch.cat([smoothed[0], *(resize(one, finest) for one in smoothed[1:])], dim=1))
        logits: Tensor = self.classifier(self.dropout(fused))
        return logits


def _size(maps: Tensor) -> tuple[int, int]:
    return int(maps.shape[-2]), int(maps.shape[-1])


DECODERS: Mapping[str, tuple[int, Callable[[int, int], nn.Module]]] = {
    "tokenlinear": (1, TokenLinear),
    "single": (1, SingleLevel),
    "single_w064": (1, lambda width, outputs: SingleLevel(width, outputs, SMALL_WIDTH)),
    "lightms": (4, LightMultiScale),
    "upernet": (4, UPerNet),
    "upernet_w064": (4, lambda width, outputs: UPerNet(width, outputs, SMALL_WIDTH)),
}
"""Number of maps that a decoder reads, and its constructor from the width D of the maps and the number of outputs K."""


class Decoder(nn.Module):
    """A decoder whose output is resized to the image.

    Args:
        name: one of ``DECODERS``.
        width: D of the feature maps.
        outputs: number of classes K; 1 for regression.
        levels: number of feature maps it is given.

    Raises:
        ContractError: the decoder is unknown, or reads another number of maps.
    """

    def __init__(self, name: str, width: int, outputs: int, levels: int) -> None:
        super().__init__()
        if name not in DECODERS:
            raise ContractError(f"decoder '{name}' is unknown; known: {', '.join(DECODERS)}")
        wanted, build = DECODERS[name]
        if wanted != levels:
            raise ContractError(f"decoder '{name}' reads {wanted} feature maps, found {levels}")
        self.decoder = build(width, outputs)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return the values (B, K, height, width) of every class and pixel.

        Args:
            maps: (B, D, h, w) per tap, shallow to deep.
            size: height and width of the image in pixels.
        """
        return resize(self.decoder(maps), size)
