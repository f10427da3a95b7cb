"""Architecture of all pocket backbones, and a check that their weights still give the same output."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.backbones.vit import TimmVit
from geofm_eval.catalog import ModelSpec
from geofm_eval.errors import ContractError, WeightsError
from geofm_eval.plurals import counted

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

ARCHITECTURE: dict[str, Any] = {
    "img_size": 64,
    "patch_size": 8,
    "embed_dim": 64,
    "num_heads": 4,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "class_token": True,
    "num_classes": 0,
}
"""Arguments of timm's VisionTransformer, given in full to be independent of timm's defaults."""

STEMS = {"s2": "patch_embed.", "s1": "patch_embed_s1."}
"""Prefixes of the two patch embeddings in the weight file of a model for both sensors."""

FINGERPRINT = "fingerprint"
"""Key in a file's metadata of the output for the reference image."""

_TOLERANCE = 1e-3


def network(channels: int, depth: int = 12, dynamic: bool = False) -> "VisionTransformer":
    """Build the network with random weights.

    Args:
        channels: number of input channels.
        depth: number of blocks.
        dynamic: accept images of other sizes than 64 pixels, for small crops in pretraining.
    """
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(in_chans=channels, depth=depth, dynamic_img_size=dynamic, **ARCHITECTURE)


def weights_name(name: str, seed: int) -> str:
    """Return the file name of a pocket's weights, for example ``pocket_mae_seed0.safetensors``."""
    return f"{name}_seed{seed}.safetensors"


class PocketVit(TimmVit):
    """A pocket backbone; see ``TimmVit``.

    Args:
        spec: catalog entry.
        model: the network.
        stem: sensor whose patch embedding is used: ``s2`` or ``s1``.
    """

    def __init__(self, spec: ModelSpec, model: "VisionTransformer", stem: str) -> None:
        super().__init__(spec, model)
        self.stem = stem

    def read_weights(self, path: Path) -> dict[str, Tensor]:
        """Read a pocket's weights, and check the output for the reference image against the stored one.

        Raises:
            WeightsError: the file is damaged or of another architecture, or the output for the reference image differs.
        """
        state = with_stem(read_state_dict(path, self.weights_key), self.stem)
        expected = {name: tuple(tensor.shape) for name, tensor in self.model.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if found != expected:
            differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            raise WeightsError(
                f"{path}: found {counted(len(differ), 'tensor')} unlike those of a pocket backbone in timm "
                f"{version('timm')} ({', '.join(differ[:4])}); restore the file with 'git checkout', or install the "
                "timm version in constraints.txt"
            )
        self._check_answer(path, state)
        return state

    def _check_answer(self, path: Path, state: dict[str, Tensor]) -> None:
        metadata = read_metadata(path)
        if FINGERPRINT not in metadata:
            return
        stored = json.loads(metadata[FINGERPRINT]).get(self.stem)
        model = network(self.model.patch_embed.proj.in_channels, len(self.model.blocks))
        model.load_state_dict(state)
        error = float((torch.tensor(stored) - fingerprint(model)).abs().max()) if stored else float("inf")
        if not error < _TOLERANCE:
            raise WeightsError(
                f"{path}: the output for the reference image differs from the stored one by {error:.3g} (at most "
                f"{_TOLERANCE:g} allowed). The weights are from timm {metadata.get('timm', '(unknown)')}, installed is "
                f"{version('timm')}; install the former, or the version in constraints.txt"
            )


def build(spec: ModelSpec, channels: int) -> PocketVit:
    """Build a pocket backbone with random weights.

    Args:
        spec: entry; its ``options`` may hold ``stem`` (``s2``, the default, or ``s1``).
        channels: number of input channels.

    Raises:
        ContractError: an unknown option or stem.
    """
    options = dict(spec.options)
    stem = options.pop("stem", "s2")
    if options or stem not in STEMS:
        raise ContractError(
            f"{spec.slug}: invalid options {dict(spec.options)} for a pocket backbone; expected none, or stem = "
            + " or ".join(f"'{name}'" for name in STEMS)
        )
    return PocketVit(spec, network(channels, spec.depth), stem)


def with_stem(state: dict[str, Tensor], stem: str) -> dict[str, Tensor]:
    """Keep one patch embedding of a state dict, renamed as in timm."""
    others = tuple(prefix for name, prefix in STEMS.items() if name != stem)
    kept = {name: tensor.float() for name, tensor in state.items() if not name.startswith(others)}
    return {name.replace(STEMS[stem], STEMS["s2"], 1): tensor for name, tensor in kept.items()}


@torch.no_grad()
def fingerprint(model: "VisionTransformer") -> Tensor:
    """Return the output for the reference image: (8,) final features, averaged over the patches."""
    channels = model.patch_embed.proj.in_channels
    waves = torch.arange(channels * 64 * 64, dtype=torch.float32).mul(0.37).sin().reshape(1, channels, 64, 64)
    was_training = model.training
    features = model.eval().forward_features(waves)[0, 1:].mean(0)[:8]
    model.train(was_training)
    return features.float()


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty for other files."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a complete safetensors file ({error}); fetch it again") from None
