"""Any Vision Transformer of timm: SSL4EO-S12 ViT-S/16 (MoCo, DINO, MAE), ImageNet ViT-B/16, or one of your own size."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, TokenLayout, recorded_blocks
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError, Unavailable

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

FROM_ENTRY = ("depth", "in_chans", "img_size", "num_classes", "pretrained")
"""Arguments of timm that follow from other fields of the entry and may not be given a second time."""


class TimmVit(Backbone):
    """A timm VisionTransformer with a tap before the first block, after every block, and after the last norm."""

    def __init__(self, spec: ModelSpec, model: "VisionTransformer") -> None:
        super().__init__(spec.taps, model.embed_dim)
        self.model = model

    @property
    def network(self) -> nn.Module:
        """The timm model: published weight files hold its ``state_dict``."""
        return self.model

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Grid of patches after the prefix tokens (class token, registers).

        Raises:
            ContractError: the images have another size than the model was built for.
        """
        size = tuple(batch.pixels.shape[-2:])
        embed = self.model.patch_embed
        if size != tuple(embed.img_size):
            raise ContractError(
                f"model was built for {tuple(embed.img_size)} pixels, images have {size}: set image_size in its entry"
            )
        height, width = embed.grid_size
        return TokenLayout((height, width), self.model.num_prefix_tokens, ("image",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Complete forward pass; see ``Backbone.forward``."""
        self.layout(batch)
        with recorded_blocks(list(self.model.blocks)) as found:
            found["final"] = self.model.forward_features(batch.pixels)
        return {tap: found[tap] for tap in self.taps}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Embedding and the first ``blocks`` blocks (at least one); gives patch tokens before the last norm."""
        if not 1 <= blocks <= len(self.model.blocks):
            raise ContractError(f"blocks must be 1 to {len(self.model.blocks)}, found {blocks}")
        found = self.model.forward_intermediates(
            batch.pixels, indices=[blocks - 1], output_fmt="NLC", stop_early=True, intermediates_only=True
        )
        assert isinstance(found, list)
        return found[0]


def build(spec: ModelSpec, channels: int) -> TimmVit:
    """Build an entry's architecture with random weights.

    Args:
        spec: entry whose ``options`` hold the name of the timm model as ``model`` and any of its other arguments
            (``patch_size``, ``num_heads``, ``mlp_ratio``, ``reg_tokens``, ...); depth, width, bands and image size come
            from the entry's own fields.
        channels: number of input channels.

    Raises:
        Unavailable: timm is not installed.
        ContractError: unknown model or argument, or no plain Vision Transformer.
    """
    name, arguments = _arguments(spec, channels)
    try:
        import timm
        from timm.models.vision_transformer import VisionTransformer
    except ImportError:
        raise Unavailable("package", "timm", "Install it with: pip install timm") from None
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise ContractError(f"{spec.slug}: options.model '{name}' is unknown to timm; near: {near}")
    try:
        model = timm.create_model(name, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ContractError(f"{spec.slug}: timm cannot build '{name}' with {arguments}: {error}") from error
    if type(model) is not VisionTransformer:
        raise ContractError(f"{spec.slug}: '{name}' is a {type(model).__name__}, expected timm's VisionTransformer")
    return _checked(spec, model)


def _arguments(spec: ModelSpec, channels: int) -> tuple[str, dict[str, Any]]:
    options = dict(spec.options)
    name = options.pop("model", None)
    if not isinstance(name, str):
        raise ContractError(f"{spec.slug}: options.model must name a timm model, such as vit_small_patch16_224")
    twice = sorted(set(options) & set(FROM_ENTRY))
    if twice:
        raise ContractError(
            f"{spec.slug}: options {twice} follow from the entry's own fields (depth, bands, image_size): remove them"
        )
    arguments = {"in_chans": channels, "num_classes": 0, "depth": spec.depth}
    if spec.width:
        arguments["embed_dim"] = spec.width
    arguments |= options
    if spec.image_size:
        arguments["img_size"] = spec.image_size
    return name, arguments


def _checked(spec: ModelSpec, model: "VisionTransformer") -> TimmVit:
    if model.num_prefix_tokens != spec.prefix:
        raise ContractError(
            f"{spec.slug}: the model has {model.num_prefix_tokens} prefix tokens, the entry says prefix = {spec.prefix}"
        )
    if isinstance(model.norm, nn.Identity):
        raise ContractError(
            f"{spec.slug}: this model normalises after pooling, so that no tap is after the last norm: "
            "set options.fc_norm = false to norm the tokens"
        )
    return TimmVit(spec, model)
