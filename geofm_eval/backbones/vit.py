"""Vision Transformers of timm: SSL4EO-S12, SoftCon, ImageNet, DINOv2, DINOv3, or your own size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import (
    Backbone,
    Submodule,
    TokenLayout,
    attention_parts,
    block_parts,
    recorded_blocks,
)
from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError, Unavailable, WeightsError
from geofm_eval.plurals import counted

if TYPE_CHECKING:
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

FROM_ENTRY = ("depth", "in_chans", "img_size", "num_classes", "pretrained")
"""Arguments of timm that follow from other fields of the entry and cannot be options."""


class TimmVit(Backbone):
    """A timm VisionTransformer or Eva with a tap before the first block, after every block, and after the last norm.

    Args:
        spec: catalog entry.
        model: the network; DINOv3 is an Eva in timm (rotary positions), most others are a VisionTransformer.
        pretrained_size: image size in pixels of the weight file, if its positions must be resampled.
    """

    def __init__(self, spec: ModelSpec, model: "VisionTransformer | Eva", pretrained_size: int | None = None) -> None:
        super().__init__(spec.taps, model.embed_dim)
        self.model = model
        self.pretrained_size = pretrained_size

    @property
    def network(self) -> nn.Module:
        """The timm model, whose ``state_dict`` is the published weight file."""
        return self.model

    def read_weights(self, path: Path) -> dict[str, Tensor]:
        """Read a published file; position embeddings of ``pretrained_size`` are resampled to this model's grid.

        Raises:
            WeightsError: the file is damaged, or has no positions for ``pretrained_size``.
        """
        state = read_state_dict(path, self.weights_key)
        if self.pretrained_size is None:
            return state
        from timm.layers.pos_embed import resample_abs_pos_embed

        side = self.pretrained_size // self.model.patch_embed.patch_size[0]
        prefix = 0 if self.model.no_embed_class else self.model.num_prefix_tokens
        # Prefixes of names are removed later.
        name = next((name for name in state if f".{name}".endswith(".pos_embed")), "pos_embed")
        given = state.get(name)
        if given is None or given.ndim != 3 or given.shape[1] != prefix + side**2:
            found = None if given is None else tuple(given.shape)
            raise WeightsError(
                f"{path}: pos_embed is {found}, expected {prefix + side**2} tokens for {self.pretrained_size} pixels; "
                "fetch the published file again, or correct options.pretrained_size"
            )
        grid = list(self.model.patch_embed.grid_size)
        return {**state, name: resample_abs_pos_embed(given, grid, [side, side], num_prefix_tokens=prefix)}

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return the grid of patches after the prefix tokens (class token, registers).

        Raises:
            ContractError: the image size differs from that of the model.
        """
        size = tuple(batch.pixels.shape[-2:])
        embed = self.model.patch_embed
        if size != tuple(embed.img_size):
            raise ContractError(
                f"the model was built for images of {tuple(embed.img_size)} pixels, found {size}; set image_size in "
                "its entry"
            )
        height, width = embed.grid_size
        return TokenLayout((height, width), self.model.num_prefix_tokens, ("image",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Run the complete forward pass; see ``Backbone.forward``."""
        self.layout(batch)
        with recorded_blocks(list(self.model.blocks)) as found:
            found["final"] = self.model.forward_features(batch.pixels)
        return {tap: found[tap] for tap in self.taps}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Run the embedding and the first ``blocks`` blocks (at least one); return tokens before the last norm."""
        if not 1 <= blocks <= len(self.model.blocks):
            raise ContractError(f"blocks must be 1 to {len(self.model.blocks)}, found {blocks}")
        found = self.model.forward_intermediates(
            batch.pixels, indices=[blocks - 1], output_fmt="NLC", stop_early=True, intermediates_only=True
        )
        assert isinstance(found, list)
        return found[0]

    def submodules(self) -> dict[str, Submodule]:
        """Return the parts of every block; see ``Backbone.submodules``."""
        return block_parts(timm_block(block, self.width) for block in self.model.blocks)


def timm_block(block: Any, width: int) -> dict[str, Submodule]:
    """Return the parts of a timm block by their common names.

    Args:
        block: block with a fused qkv projection and an MLP of two linear layers.
        width: feature dimension of the block.

    Raises:
        ContractError: an Eva block that uses the weights of ``qkv`` without calling it, so that no tap fires.
    """
    if block.attn.qkv is None or getattr(block.attn, "q_bias", None) is not None:
        raise ContractError(
            "q, k and v cannot be tapped, because this Eva model does not call one fused qkv module; use its variant "
            "with qkv_bias = false and qkv_fused = true, or tap whole blocks"
        )
    return {
        "norm1": Submodule(block.norm1),
        **attention_parts(block.attn.qkv, width),
        "attn_proj": Submodule(block.attn.proj),
        "norm2": Submodule(block.norm2),
        "fc1": Submodule(block.mlp.fc1),
        "fc2": Submodule(block.mlp.fc2),
    }


def build(spec: ModelSpec, channels: int) -> TimmVit:
    """Build an entry's architecture with random weights.

    Args:
        spec: entry whose ``options`` contain the name of the timm model as ``model``, any of its other arguments
            (``patch_size``, ``num_heads``, ``mlp_ratio``, ``reg_tokens``, ...), and ``pretrained_size`` (see
            ``TimmVit``); depth, width, bands and image size come from the entry's own fields.
        channels: number of input channels.

    Raises:
        Unavailable: timm is not installed.
        ContractError: unknown model or argument, or not a plain Vision Transformer.
    """
    name, arguments = _arguments(spec, channels)
    pretrained_size = arguments.pop("pretrained_size", None)
    try:
        import timm
    except ImportError:
        raise Unavailable("package", "timm", "Install it with: pip install timm") from None
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise ContractError(f"{spec.slug}: timm has no model '{name}' (options.model); similar: {near}")
    try:
        model = timm.create_model(name, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ContractError(f"{spec.slug}: timm cannot build '{name}' with {arguments}: {error}") from error
    transformer = _checked(spec, name, model)
    if spec.random_seed is not None:
        _open_layer_scales(transformer)
    return TimmVit(spec, transformer, pretrained_size)


def _arguments(spec: ModelSpec, channels: int) -> tuple[str, dict[str, Any]]:
    options = dict(spec.options)
    name = options.pop("model", None)
    if not isinstance(name, str):
        raise ContractError(f"{spec.slug}: options.model must name a timm model, such as vit_small_patch16_224")
    twice = sorted(set(options) & set(FROM_ENTRY))
    if twice:
        raise ContractError(
            f"{spec.slug}: options {twice} follow from the entry's own fields (depth, bands, image_size); remove them"
        )
    arguments = {"in_chans": channels, "num_classes": 0, "depth": spec.depth}
    if spec.width:
        arguments["embed_dim"] = spec.width
    arguments |= options
    if spec.image_size:
        arguments["img_size"] = spec.image_size
    return name, arguments


def _checked(spec: ModelSpec, name: str, model: nn.Module) -> "VisionTransformer | Eva":
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if type(model) not in (VisionTransformer, Eva):
        raise ContractError(
            f"{spec.slug}: '{name}' is a {type(model).__name__}, expected timm's VisionTransformer or Eva"
        )
    assert isinstance(model, VisionTransformer | Eva)
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    if size is None or any(not side or side % step for side, step in zip(size, patch, strict=True)):
        raise ContractError(
            f"{spec.slug}: image_size must be a multiple of the patch size of {patch[0]} pixels, found {size}; the "
            "remainder would be cropped silently"
        )
    if model.num_prefix_tokens != spec.prefix:
        raise ContractError(
            f"{spec.slug}: the model has {counted(model.num_prefix_tokens, 'prefix token')}, the entry has prefix = "
            f"{spec.prefix}"
        )
    if isinstance(model.norm, nn.Identity):
        raise ContractError(
            f"{spec.slug}: this model applies its norm after pooling, so no tap follows the last norm; "
            "set options.fc_norm = false to normalise the tokens"
        )
    return model


def _open_layer_scales(model: nn.Module) -> None:
    """Set layer scales to one; with their usual start of 1e-5, blocks of a random twin would have no effect."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".gamma", ".gamma_1", ".gamma_2")):
                parameter.fill_(1.0)
