"""TerraMind 1.0 (Jakubik et al. 2025, arXiv 2504.11171): one encoder after a patch embedding per modality."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.backbones.block_backbone import PATCH, BlockBackbone, check_entry, initialise, sine_cosine, timm_blocks
from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.catalog import ModelSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.errors import ContractError


@dataclass(frozen=True)
class Modality:
    """A raw image modality: its key in the weight file, its bands in order, and the processing level of its pixels."""

    key: str
    bands: tuple[str, ...]
    product: str


RADAR = ("VV", "VH")

MODALITIES = {
    "S2L2A": Modality("untok_sen2l2a@224", tuple(band for band in SENTINEL2 if band != "B10"), "L2A"),
    "S2L1C": Modality("untok_sen2l1c@224", tuple(SENTINEL2), "L1C"),
    # Derived from L2A pixels by the authors.
    "RGB": Modality("untok_sen2rgb@224", ("B04", "B03", "B02"), "L2A"),
    "S1GRD": Modality("untok_sen1grd@224", RADAR, "GRD"),
    "S1RTC": Modality("untok_sen1rtc@224", RADAR, "RTC"),
}
"""Modalities by their name in ``options.modalities``."""

NORMS = ("norm1.bias", "norm2.bias", "encoder_norm.bias")


class PatchStem(nn.Module):
    """Patch embedding of one modality: linear in the pixels, plus fixed positions and a learned modality vector."""

    pos_emb: Tensor

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels * PATCH**2, width, bias=False)
        self.mod_emb = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.register_buffer("pos_emb", grid_positions(side // PATCH, width)[None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels (B, C, H, W) to tokens (B, h*w, D); within a patch, bands vary fastest."""
        count, channels, height, width = pixels.shape
        grid = pixels.reshape(count, channels, height // PATCH, PATCH, width // PATCH, PATCH)
        patches = grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        tokens: Tensor = self.proj(patches) + self.pos_emb + self.mod_emb
        return tokens


class GatedMlp(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202): ``fc2(silu(fc1(x)) * fc3(x))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Two thirds of the usual factor 4, which keeps the parameter count with a third matrix.
        hidden = 8 * width // 3
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc3 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to (B, N, D)."""
        mixed: Tensor = self.fc2(functional.silu(self.fc1(tokens)) * self.fc3(tokens))
        return mixed


class TerraMindEncoder(nn.Module):
    """Encoder over the tokens of one or several modalities.

    Args:
        modalities: modalities in the order of the channels and of the token groups.
        side: pixels per side.
        blocks: timm blocks, whose MLP is replaced by the gated one.
        width: feature dimension D.
    """

    def __init__(self, modalities: tuple[Modality, ...], side: int, blocks: nn.ModuleList, width: int) -> None:
        super().__init__()
        self.channels = [len(modality.bands) for modality in modalities]
        self.encoder_embeddings = nn.ModuleDict(
            {modality.key: PatchStem(len(modality.bands), width, side) for modality in modalities}
        )
        for block in blocks:
            block.mlp = GatedMlp(width)
        self.encoder = blocks
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6, bias=False)
        initialise(self)

    def embed(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, C, H, W) to tokens of all modalities, (B, groups*h*w, D), group-major."""
        stems = self.encoder_embeddings.values()
        parts = torch.split(pixels, self.channels, dim=1)
        return torch.cat([stem(part) for stem, part in zip(stems, parts, strict=True)], dim=1)


class TerraMind(BlockBackbone):
    """TerraMind's encoder; its token groups are the modalities.

    The MLP of a block has two first linear layers; the tap ``fc1`` is the gated one (``mlp.fc1``).
    """

    model: TerraMindEncoder

    def read_weights(self, path: Path) -> dict[str, Tensor]:
        """Read the published file without the modalities that this entry does not use.

        The file has zero biases for norms without bias. They are dropped; a non-zero one is kept and hence rejected.
        """
        state = read_state_dict(path, self.weights_key)
        return {name: tensor for name, tensor in state.items() if not self._unused(name, tensor)}

    def embed(self, pixels: Tensor) -> Tensor:
        """Return the tokens of all modalities, group-major."""
        return self.model.embed(pixels)

    @property
    def blocks(self) -> nn.ModuleList:
        """The encoder's blocks."""
        return self.model.encoder

    @property
    def norm(self) -> nn.Module:
        """The encoder's last norm."""
        return self.model.encoder_norm

    def _unused(self, name: str, tensor: Tensor) -> bool:
        modality = name.partition("encoder_embeddings.")[2].partition(".")[0]
        if modality:
            return modality not in self.model.encoder_embeddings
        return name.endswith(NORMS) and not tensor.any()


def build(spec: ModelSpec, adapter: InputAdapter) -> TerraMind:
    """Build an entry's encoder with random weights.

    ``options.modalities`` lists the modalities in the order of the entry's bands; ``num_heads`` may be set.

    Raises:
        Unavailable: timm is not installed.
        ContractError: options, bands, product, size or width that do not match the modalities.
    """
    side = check_entry(spec, ("modalities", "num_heads"), prefix=0, width_step=4)
    names = _modalities(spec, adapter.bands)
    norm = partial(nn.LayerNorm, eps=1e-6, bias=False)
    blocks = timm_blocks(spec, spec.options.get("num_heads", 12), qkv_bias=False, proj_bias=False, norm_layer=norm)
    modalities = tuple(MODALITIES[name] for name in names)
    return TerraMind(spec, TerraMindEncoder(modalities, side, blocks, spec.width), names)


def _modalities(spec: ModelSpec, bands: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(spec.options.get("modalities", ()))
    if not names or len(set(names)) != len(names) or not set(names) <= set(MODALITIES):
        raise ContractError(
            f"{spec.slug}: options.modalities must list some of {', '.join(MODALITIES)} once each, found {list(names)}"
        )
    expected = tuple(band for name in names for band in MODALITIES[name].bands)
    if bands != expected:
        raise ContractError(
            f"{spec.slug}: modalities {', '.join(names)} need the {len(expected)} bands {', '.join(expected)}, "
            f"the entry has {len(bands)}: {', '.join(bands)}"
        )
    chosen = [MODALITIES[name] for name in names]
    radar = {modality.product for modality in chosen if modality.bands == RADAR}
    optical = {modality.product for modality in chosen if modality.bands != RADAR}
    for found, name, entry in ((optical or radar, "product", spec.product), (radar, "radar", spec.radar_product)):
        if found and found != {entry}:
            raise ContractError(
                f"{spec.slug}: modalities {', '.join(names)} need {' and '.join(sorted(found))} pixels, but the "
                f"entry has {name} = '{entry}'; choose the modality of the product"
            )
    return names


def grid_positions(side: int, width: int) -> Tensor:
    """Return fixed 2D sine-cosine positions, (side*side, width) float32, row-major: row features, then column."""
    waves = sine_cosine(side, width // 2)
    rows = waves[:, None].expand(-1, side, -1)
    return torch.cat([rows, waves.expand(side, -1, -1)], dim=-1).flatten(0, 1).float()
