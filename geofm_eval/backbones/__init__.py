"""Load the frozen backbone of a catalog entry; one file per architecture."""

from collections.abc import Callable
from pathlib import Path

import torch

from geofm_eval.backbones import (
    controls,
    croma,
    dofa,
    galileo,
    pixels,
    pocket,
    precomputed,
    prithvi,
    terramind,
    unet,
    vit,
)
from geofm_eval.backbones.base import SUBMODULES, Backbone, LoadedBackbone, Submodule, TokenLayout, pool
from geofm_eval.backbones.weights import load_into, locate, state_dict_sha256
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.errors import ContractError, GeofmError
from geofm_eval.own_code import own_function

__all__ = ["SUBMODULES", "Backbone", "LoadedBackbone", "Submodule", "TokenLayout", "load_backbone", "pool"]

Builder = Callable[[ModelSpec, InputAdapter], Backbone]

BUILT_IN: dict[str, Builder] = {
    "timm_vit": lambda spec, adapter: vit.build(spec, len(adapter.bands)),
    "pocket": lambda spec, adapter: pocket.build(spec, len(adapter.bands)),
    "galileo": galileo.build,
    "croma": croma.build,
    "dofa": dofa.build,
    "prithvi": prithvi.build,
    "terramind": terramind.build,
    "unet": lambda spec, adapter: unet.UNet(spec, len(adapter.bands)),
    "band_statistics": lambda spec, adapter: controls.BandStatistics(spec, len(adapter.bands)),
    "pixels": lambda spec, adapter: pixels.Pixels(spec, len(adapter.bands)),
    "random_convolutions": lambda spec, adapter: controls.RandomConvolutions(spec, len(adapter.bands)),
}
"""Built-in architectures by name; other names are the user's own ``module:function`` or ``file.py:function``."""


def load_backbone(
    spec: ModelSpec, adapter: InputAdapter, *, weights: Path | None = None, device: torch.device | str = "cpu"
) -> LoadedBackbone:
    """Build a model's network, load its weights, and freeze it.

    Args:
        spec: catalog entry. With ``random_seed``, weights are drawn from that seed; PyTorch's global generator is
            restored afterwards.
        adapter: input adapter of the model and a task; its bands give the number of input channels.
        weights: file or folder that replaces the entry's own weights.
        device: torch device of the backbone.

    Raises:
        Unavailable: weights or a package are missing.
        WeightsError: the weights are damaged, unsafe, of another architecture or not the pinned ones.
        ContractError: the entry or a user's backbone violates the contract.
    """
    if weights is not None and spec.weights is None:
        raise ContractError(
            f"{spec.slug} takes no weights (it is random, or loads its own); remove --weights {spec.slug}=..."
        )
    if spec.precomputed:
        return precomputed.load(spec, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.random_seed or 0)
        backbone, code_sha256 = _build(spec, adapter)
    if spec.weights is None and spec.random_seed is not None and spec.architecture not in BUILT_IN:
        _refuse_fixed(spec, adapter, backbone)
    if spec.weights is None:
        sha256, source = state_dict_sha256(backbone.state_dict()), _unloaded_source(spec)
        missing, unexpected = (), ()  # type: tuple[str, ...], tuple[str, ...]
    else:
        located = locate(spec, weights, backbone.weight_files)
        backbone.weights_key = spec.weights.key
        state = backbone.read_weights(located.path)
        missing, unexpected = load_into(backbone.network, state, spec.weights, f"{located.path} for {spec.slug}")
        # Hash the loaded tensors, so that the same weights in a file of another name or format count as the same.
        loaded = {name: tensor for name, tensor in backbone.network.state_dict().items() if name not in missing}
        sha256, source = state_dict_sha256(loaded), located.source
    backbone.eval().requires_grad_(False).to(device)
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return LoadedBackbone(backbone, spec, sha256, source, missing, unexpected, parameters, code_sha256)


def _unloaded_source(spec: ModelSpec) -> str:
    """Source of weights for an entry without a weight file."""
    if spec.random_seed is not None:
        return f"random:seed={spec.random_seed}"
    source, _, name = spec.architecture.rpartition(":")
    return f"built:{Path(source).name}:{name}" if source else f"built:{name}"


def _refuse_fixed(spec: ModelSpec, adapter: InputAdapter, drawn: Backbone) -> None:
    """Reject a user's architecture whose parameters do not depend on the seed: it is not random.

    Raises:
        ContractError: more than half of its parameters are the same with another seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((spec.random_seed or 0) + 1)
        other = dict(_build(spec, adapter)[0].named_parameters())
    matrices = {name: value for name, value in drawn.named_parameters() if value.ndim > 1 and bool(value.std() > 0)}
    same = sum(value.numel() for name, value in matrices.items() if torch.equal(value, other[name]))
    if 2 * same > sum(value.numel() for value in matrices.values()):
        raise ContractError(
            f"{spec.slug}: the entry has random_seed = {spec.random_seed}, but {same:,} parameters do not depend on "
            "it. Remove random_seed if the architecture loads its own weights; if it draws them, it must not set the "
            "seed of torch"
        )


def _build(spec: ModelSpec, adapter: InputAdapter) -> tuple[Backbone, str]:
    """Network with random weights, and the hash of a user's own code."""
    builder = BUILT_IN.get(spec.architecture)
    if builder is not None:
        backbone, code_sha256 = builder(spec, adapter), ""
    else:
        backbone, code_sha256 = _build_own(spec, len(adapter.bands))
    if backbone.taps != spec.taps:
        raise ContractError(f"{spec.slug}: taps are {backbone.taps}, expected {spec.taps} (depth = {spec.depth})")
    if spec.width and backbone.width != spec.width:
        raise ContractError(f"{spec.slug}: width is {backbone.width}, expected {spec.width} as in the entry")
    if spec.temporal and not backbone.takes_time:
        raise ContractError(
            f"{spec.slug}: the entry has temporal = true, but {type(backbone).__name__} takes single images. Remove "
            "temporal (series are then encoded date by date), or set takes_time = True if it accepts (B, T, C, H, W)"
        )
    return backbone, code_sha256


def _build_own(spec: ModelSpec, channels: int) -> tuple[Backbone, str]:
    """Call a user's ``function(spec, channels)``."""
    if ":" not in spec.architecture:
        raise ContractError(
            f"{spec.slug}: unknown architecture '{spec.architecture}'; use one of {', '.join(BUILT_IN)}, "
            "or your own module:function or file.py:function"
        )
    function, code = own_function(spec.slug, spec.architecture, "spec, channels")
    try:
        backbone = function(spec, channels)
    except GeofmError:
        raise
    except Exception as error:
        raise ContractError(f"{spec.slug}: {spec.architecture} raised {type(error).__name__}: {error}") from error
    if not isinstance(backbone, Backbone):
        raise ContractError(f"{spec.slug}: {spec.architecture} returned a {type(backbone).__name__}, expected Backbone")
    return backbone, code
