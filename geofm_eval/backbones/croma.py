"""CROMA (Fuller et al. 2023, arXiv 2311.00566): radar, optical and joint encoders, from torchgeo."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, Submodule, TokenLayout, attention_parts, block_parts
from geofm_eval.backbones.weights import read_state_dicts
from geofm_eval.catalog import ModelSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, Unavailable

PATCH = 8
HEADS = 16
"""Both are hard-coded in torchgeo's encoder, regardless of its arguments."""

SAR = ("VV", "VH")
OPTICAL = tuple(name for name in SENTINEL2 if name != "B10")

BANDS = {"sar": SAR, "optical": OPTICAL, "joint": (*SAR, *OPTICAL)}
"""Bands of each modality in CROMA's order."""

PARTS = {"sar": ("s1_encoder",), "optical": ("s2_encoder",), "joint": ("s1_encoder", "s2_encoder", "joint_encoder")}
"""Encoders used for each modality, the tapped one last; the published file has one state dict per encoder."""


class Croma(Backbone):
    """One of CROMA's encoders, with a tap before its first layer, after every layer, and after its last norm.

    The input of the joint encoder, and hence ``embed``, is the output of the radar encoder; each layer attends to the
    optical tokens by cross-attention.
    """

    attention_bias: Tensor

    def __init__(self, spec: ModelSpec, modality: str, croma: Any) -> None:
        super().__init__(spec.taps, spec.width)
        self.modality = modality
        self.side = int(spec.image_size or 0)
        # The pooling heads are not needed, because taps are tokens.
        self.encoders = nn.ModuleDict({name: croma.get_submodule(name) for name in PARTS[modality]})
        self.register_buffer("attention_bias", croma.attn_bias, persistent=False)

    @property
    def network(self) -> nn.Module:
        """Encoders by their names in the published file."""
        return self.encoders

    def read_weights(self, path: Path) -> dict[str, Tensor]:
        """Read a published file, a dictionary of one state dict per encoder."""
        return read_state_dicts(path, PARTS[self.modality])

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return a square grid of patches without prefix tokens.

        Raises:
            ContractError: the image size differs from that of the attention bias.
        """
        size = tuple(batch.pixels.shape[-2:])
        if size != (self.side, self.side):
            raise ContractError(
                f"the model was built for images of {self.side} pixels, found {size}; set image_size in its entry"
            )
        return TokenLayout((self.side // PATCH, self.side // PATCH), 0, ("image",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Run the complete forward pass; see ``Backbone.forward``."""
        self.layout(batch)
        with recorded_layers(self._tapped) as found:
            found["final"] = self._encode(batch)
        return {tap: found[tap] for tap in self.taps}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Run other encoders, the embedding and the first ``blocks`` layers (at least one), without the last norm."""
        depth = len(self._tapped.layers)
        if not 1 <= blocks <= depth:
            raise ContractError(f"blocks must be 1 to {depth}, found {blocks}")
        self.layout(batch)

        def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _Reached(_tokens(args, kwargs))

        with _readers(self._tapped)[blocks].register_forward_pre_hook(stop, with_kwargs=True):
            try:
                self._encode(batch)
            except _Reached as reached:
                return reached.tokens
        raise AssertionError("the encoder ended without reading the layer")

    def submodules(self) -> dict[str, Submodule]:
        """Return the parts of every layer; in joint layers, q, k and v are those of self-attention."""
        return block_parts(_layer_parts(layer, self.width) for layer in self._tapped.layers)

    @property
    def _tapped(self) -> Any:
        """Transformer whose layers are the blocks."""
        encoder = self.encoders[PARTS[self.modality][-1]]
        return encoder if self.modality == "joint" else encoder.transformer

    def _encode(self, batch: ModelInput) -> Tensor:
        if self.modality != "joint":
            output: Tensor = self.encoders[PARTS[self.modality][0]](batch.pixels, self.attention_bias)
            return output
        radar = self.encoders["s1_encoder"](batch.pixels[:, : len(SAR)], self.attention_bias)
        optical = self.encoders["s2_encoder"](batch.pixels[:, len(SAR) :], self.attention_bias)
        joint: Tensor = self.encoders["joint_encoder"](radar, optical, self.attention_bias)
        return joint


class _Reached(Exception):
    """Ends a truncated forward pass when its tokens are available."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens


def _readers(transformer: Any) -> list[nn.Module]:
    """Modules that read the input of the first layer, and the output of each layer.

    A layer is a ``ModuleList`` that is never called, so a hook on it would not fire. Its output is the input of the
    next layer's attention, or of ``norm_out`` for the last layer.
    """
    return [*(layer[0] for layer in transformer.layers), transformer.norm_out]


def _tokens(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    tokens: Tensor = args[0] if args else kwargs["x"]
    return tokens


@contextmanager
def recorded_layers(transformer: Any) -> Iterator[dict[str, Tensor]]:
    """Record the input of the first layer as ``embed`` and the output of each layer as ``block00``, ``block01``, ...

    The dictionary fills while the network runs inside the context; the hooks are always removed afterwards.
    """
    found: dict[str, Tensor] = {}
    names = ["embed", *(f"block{i:02d}" for i in range(len(transformer.layers)))]

    def keep(name: str, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found[name] = _tokens(args, kwargs)

    with ExitStack() as hooks:
        for name, reader in zip(names, _readers(transformer), strict=True):
            hooks.enter_context(reader.register_forward_pre_hook(partial(keep, name), with_kwargs=True))
        yield found


def _layer_parts(layer: Sequence[Any], width: int) -> dict[str, Submodule]:
    """Attention is the first module of a layer and the MLP the last; joint layers have cross-attention in between."""
    attention, mlp = layer[0], layer[-1]
    return {
        "norm1": Submodule(attention.input_norm),
        **attention_parts(attention.to_qkv, width),
        "attn_proj": Submodule(attention.to_out),
        "norm2": Submodule(mlp.input_norm),
        "fc1": Submodule(mlp.net[0]),
        "fc2": Submodule(mlp.net[3]),
    }


def build(spec: ModelSpec, adapter: InputAdapter) -> Croma:
    """Build an entry's encoders with random weights.

    Args:
        spec: entry with ``options = { modality = ... }``: ``optical``, ``sar`` or ``joint``. ``depth`` counts the
            layers of that encoder; the radar and joint encoders have half as many layers as the optical one.
        adapter: input adapter with the bands.

    Raises:
        Unavailable: torchgeo is not installed.
        ContractError: unsupported options, bands, size or width.
    """
    modality = _modality(spec)
    if adapter.bands != BANDS[modality]:
        expected, found = ", ".join(BANDS[modality]), ", ".join(adapter.bands)
        raise ContractError(f"{spec.slug}: bands of modality {modality} must be {expected}, found {found}")
    if spec.image_size is None or spec.image_size % PATCH:
        raise ContractError(f"{spec.slug}: image_size must be a multiple of {PATCH}, found {spec.image_size}")
    if spec.width % HEADS or spec.depth < 1 or (modality == "optical" and spec.depth % 2) or spec.prefix:
        raise ContractError(
            f"{spec.slug}: expected prefix 0, a width divisible by {HEADS} heads and a depth of at least 1 (even for "
            f"optical), found prefix {spec.prefix}, width {spec.width}, depth {spec.depth}"
        )
    try:
        from torchgeo.models import CROMA
    except ImportError:
        raise Unavailable("package", "torchgeo", "Install it with: pip install torchgeo requests") from None
    croma = CROMA(
        modalities=["sar", "optical"] if modality == "joint" else [modality],
        encoder_dim=spec.width,
        encoder_depth=spec.depth if modality == "optical" else 2 * spec.depth,
        num_heads=HEADS,
        patch_size=PATCH,
        image_size=spec.image_size,
    )
    return Croma(spec, modality, croma)


def _modality(spec: ModelSpec) -> str:
    modality = spec.options.get("modality")
    if set(spec.options) != {"modality"} or modality not in BANDS:
        raise ContractError(
            f"{spec.slug}: options must be {{ modality = ... }} with one of {', '.join(BANDS)}, found {spec.options}"
        )
    return str(modality)
