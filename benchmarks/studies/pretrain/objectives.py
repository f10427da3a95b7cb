"""Pretraining objectives of the pockets, one class each; losses come from lightly where it has them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.studies.pretrain.stream import SceneBatch
from benchmarks.studies.pretrain.views import random_view
from geofm_eval.backbones.pocket.vit import ARCHITECTURE, network
from geofm_eval.errors import Unavailable

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

WIDTH = int(ARCHITECTURE["embed_dim"])
PATCH = int(ARCHITECTURE["patch_size"])
GRID = int(ARCHITECTURE["img_size"]) // PATCH
OPTICAL, RADAR = 13, 2

Normalise = Callable[[Tensor, str], Tensor]
"""Standardises pixels of a sensor (``s2`` or ``s1``) to mean 0 and standard deviation 1 per channel."""


class Objective(nn.Module, ABC):
    """A backbone with the modules that its pretraining needs."""

    paper: ClassVar[str]
    task: ClassVar[str]
    landscapes: ClassVar[bool] = False
    """True for objectives that need radar."""

    def __init__(self, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.backbone = network(OPTICAL, dynamic=True)

    @abstractmethod
    def loss(self, batch: SceneBatch) -> Tensor:
        """Return the scalar loss of a batch."""

    def after_step(self, progress: float) -> None:
        """Update momentum networks; called after every step, with ``progress`` from 0 to 1."""

    def published(self) -> dict[str, Tensor]:
        """Return the tensors of the weight file."""
        return dict(self.backbone.state_dict())


class MomentumContrast(Objective):
    """MoCo v2: identify another view of the same place, on another date, among 4,096 other places."""

    paper = "He et al. 2020, Momentum Contrast, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297"
    task = (
        "identify another view of the same place (on another date if available) among a queue of 4,096 other places, "
        "from a random half of the patches"
    )

    def __init__(self, normalise: Normalise) -> None:
        super().__init__(normalise)
        lightly_loss, heads = _lightly()
        self.head = heads.MoCoProjectionHead(WIDTH, 256, 64)
        self.slow, self.slow_head = _frozen_copy(self.backbone), _frozen_copy(self.head)
        self.criterion = lightly_loss.NTXentLoss(temperature=0.2, memory_bank_size=(4096, 64))

    def loss(self, batch: SceneBatch) -> Tensor:
        """Return the InfoNCE loss between a view and the momentum network's embedding of the other one."""
        first, second = (random_view(part, self.normalise, 64, (0.3, 1.0)) for part in (batch.first, batch.second))
        query = self.head(_pooled_half(self.backbone, first))
        with torch.no_grad():
            key = self.slow_head(_pooled(self.slow, second))
        loss: Tensor = self.criterion(query, key)
        return loss

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the queue, which lightly's state dict lacks; resumed trainings need it."""
        bank = self.criterion.memory_bank
        return {"bank": bank.bank, "position": bank.bank_ptr}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore the queue."""
        bank = self.criterion.memory_bank
        bank.bank, bank.bank_ptr = (state[name].to(bank.bank.device, copy=True) for name in ("bank", "position"))

    def after_step(self, progress: float) -> None:
        """Update the momentum network."""
        _follow(self.backbone, self.slow, 0.99)
        _follow(self.head, self.slow_head, 0.99)


class Distill(Objective):
    """DINO: outputs for small crops of a place must match a momentum network's output for the whole place."""

    paper = "Caron et al. 2021, Emerging Properties in Self-Supervised Vision Transformers, arXiv 2104.14294"
    task = "match a momentum network's output for two whole views, from half of their patches and two small crops"

    def __init__(self, normalise: Normalise) -> None:
        super().__init__(normalise)
        lightly_loss, heads = _lightly()
        # Built twice because deepcopy cannot copy the weight norm of this head.
        self.head, slow_head = (heads.DINOProjectionHead(WIDTH, 256, 64, 1024, norm_last_layer=True) for _ in range(2))
        slow_head.load_state_dict(self.head.state_dict())
        self.slow, self.slow_head = _frozen_copy(self.backbone), slow_head.requires_grad_(False)
        self.criterion = lightly_loss.DINOLoss(output_dim=1024, teacher_temp=0.04, student_temp=0.1)

    def loss(self, batch: SceneBatch) -> Tensor:
        """Return the cross-entropy with the momentum network's outputs, over all pairs of different views."""
        dates = (batch.first, batch.second)
        whole = [random_view(pixels, self.normalise, 64, (0.4, 1.0)) for pixels in dates]
        small = [random_view(pixels, self.normalise, 32, (0.1, 0.3)) for pixels in dates]
        with torch.no_grad():
            wanted = self.slow_head(_pooled(self.slow, torch.cat(whole))).chunk(2)
        given = self.head(_pooled_half(self.backbone, torch.cat(whole))).chunk(2)
        parts = self.head(_pooled(self.backbone, torch.cat(small))).chunk(2)
        loss: Tensor = self.criterion(list(wanted), [*given, *parts])
        return loss

    def after_step(self, progress: float) -> None:
        """Update the momentum network, ever more slowly."""
        momentum = 0.99 + 0.01 * progress
        _follow(self.backbone, self.slow, momentum)
        _follow(self.head, self.slow_head, momentum)


class Reconstruction(Objective):
    """MAE: reconstruct three quarters of the patches from the rest."""

    paper = "He et al. 2021, Masked Autoencoders Are Scalable Vision Learners, arXiv 2111.06377"
    task = "predict the pixels of 75 % of the patches from the rest, with errors relative to each patch's contrast"

    def __init__(self, normalise: Normalise) -> None:
        super().__init__(normalise)
        self.decoder = MaskedDecoder(1)
        self.predict = nn.Linear(WIDTH, OPTICAL * PATCH**2)

    def loss(self, batch: SceneBatch) -> Tensor:
        """Return the reconstruction error over hidden patches."""
        images = _mirrored(self.normalise(batch.first, "s2"))
        kept, hidden = _masked(images, 0.75)
        tokens = encode_visible(self.backbone, self.backbone.patch_embed, images, kept)
        decoded = self.decoder([tokens], [kept])[0]
        return _reconstruction_loss(self.predict(decoded[hidden]), images, hidden)


class Crossmodal(Objective):
    """CROMA-like: match radar and optical images of the same place, and reconstruct both from visible patches."""

    paper = "after Fuller et al. 2023, CROMA, arXiv 2311.00566"
    task = (
        "match radar and optical images of the same place and date within a batch, from half of the patches, and "
        "predict the pixels of the hidden patches of both from the visible patches of both"
    )
    landscapes = True

    def __init__(self, normalise: Normalise) -> None:
        super().__init__(normalise)
        lightly_loss, heads = _lightly()
        self.radar_stem = deepcopy(network(RADAR, dynamic=True).patch_embed)
        self.heads = nn.ModuleList(heads.MoCoProjectionHead(WIDTH, 256, 64) for _ in range(2))
        self.criterion = lightly_loss.NTXentLoss(temperature=0.1)
        self.decoder = MaskedDecoder(2)
        self.predict = nn.ModuleList(nn.Linear(WIDTH, count * PATCH**2) for count in (OPTICAL, RADAR))

    def loss(self, batch: SceneBatch) -> Tensor:
        """Return InfoNCE between the sensors plus both reconstruction errors."""
        assert batch.radar is not None
        both = torch.cat([self.normalise(batch.first, "s2"), self.normalise(batch.radar, "s1")], 1)
        images = _mirrored(both).tensor_split([OPTICAL], 1)
        masks = [_masked(image, 0.5) for image in images]
        stems = (self.backbone.patch_embed, self.radar_stem)
        tokens = [
            encode_visible(self.backbone, stem, image, kept)
            for stem, image, (kept, _) in zip(stems, images, masks, strict=True)
        ]
        pooled = [head(part[:, 1:].mean(1)) for head, part in zip(self.heads, tokens, strict=True)]
        total: Tensor = self.criterion(*pooled)
        decoded = self.decoder(tokens, [kept for kept, _ in masks])
        for predict, part, image, (_, hidden) in zip(self.predict, decoded, images, masks, strict=True):
            total = total + _reconstruction_loss(predict(part[hidden]), image, hidden)
        return total

    def published(self) -> dict[str, Tensor]:
        """Return both patch embeddings and the shared blocks."""
        stem = {f"patch_embed_s1.{name}": tensor for name, tensor in self.radar_stem.state_dict().items()}
        return {**super().published(), **stem}


class Supervised(Objective):
    """Classifies the built-up proportion of a place in eight classes; no task has this label."""

    paper = "cross-entropy with labels"
    task = "classify the built-up proportion of a place (streets, roofs, squares) in eight classes"

    _STEPS = (0.0005, 0.01, 0.025, 0.045, 0.07, 0.12, 0.3)

    def __init__(self, normalise: Normalise) -> None:
        super().__init__(normalise)
        self.head = nn.Linear(WIDTH, len(self._STEPS) + 1)

    def loss(self, batch: SceneBatch) -> Tensor:
        """Return the cross-entropy of the built-up class."""
        # Whole places, because the proportion of a crop differs.
        images = random_view(batch.first, self.normalise, 64, (1.0, 1.0))
        logits = self.head(_pooled(self.backbone, images))
        return functional.cross_entropy(logits, torch.bucketize(batch.built, batch.built.new_tensor(self._STEPS)))


OBJECTIVES: dict[str, type[Objective]] = {
    "pocket_contrast": MomentumContrast,
    "pocket_distill": Distill,
    "pocket_mae": Reconstruction,
    "pocket_crossmodal": Crossmodal,
    "pocket_supervised": Supervised,
}
"""Objective by pocket."""


class MaskedDecoder(nn.Module):
    """Two blocks over the visible tokens of one or two sensors, with a mask token at hidden patches."""

    def __init__(self, sensors: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        self.embed = nn.Linear(WIDTH, WIDTH)
        self.mask = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.position = nn.Parameter(torch.randn(sensors, GRID**2, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block(WIDTH, 4, qkv_bias=True) for _ in range(2)))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: list[Tensor], kept: list[Tensor]) -> list[Tensor]:
        """Decode.

        Args:
            tokens: per sensor (B, 1 + K, D) tokens of visible patches after the class token.
            kept: per sensor (B, K) positions of the visible patches.

        Returns:
            Per sensor (B, grid**2, D).
        """
        laid = []
        for part, places, position in zip(tokens, kept, self.position, strict=True):
            full = self.mask.expand(len(part), GRID**2, WIDTH).clone()
            index = places[..., None].expand(-1, -1, WIDTH)
            laid.append(full.scatter(1, index, self.embed(part[:, 1:])) + position)
        decoded = self.norm(self.blocks(torch.cat(laid, 1)))
        return list(decoded.split(GRID**2, 1))


def encode_visible(backbone: "VisionTransformer", stem: nn.Module, images: Tensor, kept: Tensor) -> Tensor:
    """Encode the visible patches alone.

    Args:
        backbone: class token, positions, blocks and last norm.
        stem: patch embedding of the sensor.
        images: (B, C, 64, 64).
        kept: (B, K) positions of the visible patches.

    Returns:
        (B, 1 + K, D) class token and visible patches after the last norm.
    """
    assert backbone.cls_token is not None
    assert backbone.pos_embed is not None
    tokens = stem(images).reshape(len(images), GRID**2, WIDTH) + backbone.pos_embed[:, 1:]
    visible = tokens.gather(1, kept[..., None].expand(-1, -1, WIDTH))
    first = (backbone.cls_token + backbone.pos_embed[:, :1]).expand(len(images), -1, -1)
    encoded: Tensor = backbone.norm(backbone.blocks(torch.cat([first, visible], 1)))
    return encoded


def _pooled(backbone: "VisionTransformer", images: Tensor) -> Tensor:
    """Mean of the patches after the last norm, (B, D), as probes read it."""
    return backbone.forward_features(images)[:, 1:].mean(1)


def _pooled_half(backbone: "VisionTransformer", images: Tensor) -> Tensor:
    """The same from a random half of the patches; faster and harder."""
    kept, _ = _masked(images, 0.5)
    return encode_visible(backbone, backbone.patch_embed, images, kept)[:, 1:].mean(1)


def _masked(images: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """(B, K) positions of visible patches, and (B, grid**2) bool where patches are hidden; drawn on the CPU."""
    order = torch.rand(len(images), GRID**2).argsort(1).to(images.device)
    kept = order[:, : round(GRID**2 * (1 - share))]
    return kept, torch.ones_like(order, dtype=torch.bool).scatter(1, kept, False)


def _reconstruction_loss(predicted: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
    """Smooth absolute error over hidden patches, relative to the contrast within each.

    Unlike in the paper, patches are not centred: otherwise brightness and texture strength, which show biomass or burn
    severity, would not have to be learned. Without the division, clouds and their edges would dominate the error.

    Args:
        predicted: (hidden patches of the batch, C * patch**2).
        images: (B, C, 64, 64).
        hidden: (B, grid**2) bool.
    """
    wanted = functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2)[hidden]
    contrast = (wanted.reshape(len(wanted), -1, PATCH**2).var(-1).mean(-1, keepdim=True) + _FLOOR).sqrt()
    return functional.smooth_l1_loss(predicted / contrast, wanted / contrast)


_FLOOR = 0.05
"""Variance added to that of every patch, in units of the channels' own, so that uniform patches do not dominate."""


def _mirrored(images: Tensor) -> Tensor:
    """Apply one random rotation by quarter turns and mirroring to all images of a batch."""
    images = images.rot90(int(torch.randint(4, ())), (2, 3))
    return images.flip(3) if int(torch.randint(2, ())) else images


def _frozen_copy(module: nn.Module) -> Any:
    return deepcopy(module).requires_grad_(False)


@torch.no_grad()
def _follow(fast: nn.Module, slow: nn.Module, momentum: float) -> None:
    for target, source in zip(slow.parameters(), fast.parameters(), strict=True):
        target.lerp_(source, 1 - momentum)


def _lightly() -> tuple[Any, Any]:
    try:
        from lightly import loss
        from lightly.models.modules import heads
    except ImportError:
        raise Unavailable("package", "lightly", "Install the extra: pip install 'geofm-eval[pretrain]'") from None
    return loss, heads
