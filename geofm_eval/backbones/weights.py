"""Weights: locate or download them, verify their hash, and load them strictly."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from geofm_eval.backbones.checkpoints import is_index, is_state_dict, kind_of, read_content, read_state_dict, shards
from geofm_eval.catalog import ModelSpec, WeightsSpec
from geofm_eval.errors import Unavailable, WeightsError
from geofm_eval.fetch import fetch_weights, path_sha256, published_address, verified_sha256
from geofm_eval.gaps import ALLOW_DOWNLOAD, downloadable, downloaded_weights, how_to_get_weights
from geofm_eval.paths import geofm_home, in_package
from geofm_eval.plurals import counted

__all__ = ["LocatedWeights", "load_into", "locate", "read_state_dict", "read_state_dicts", "state_dict_sha256"]


@dataclass(frozen=True)
class LocatedWeights:
    """File or folder of weights, with its source for the record (``file:<name>`` or ``url:<address>``) and its hash."""

    path: Path
    source: str
    sha256: str


def locate(spec: ModelSpec, override: Path | None = None, files: tuple[str, ...] = ()) -> LocatedWeights:
    """Find a model's weights and verify their hash.

    The search order is ``override``, the package, ``GEOFM_HOME``, an earlier download in the cache, the published
    address (only with ``GEOFM_ALLOW_DOWNLOAD=1``).

    Args:
        spec: entry with ``weights``.
        override: file or folder that replaces the entry's weights; the pinned hash does not apply to it.
        files: names of the files that are used if the weights are a folder; empty takes all.

    Raises:
        Unavailable: the weights are missing.
        WeightsError: the hash is not the pinned one.
    """
    assert spec.weights is not None
    if override is not None:
        if not override.exists():
            raise Unavailable("weights", f"{override} does not exist", f"Check the path given for {spec.slug}.")
        return LocatedWeights(override, f"file:{override.name}", path_sha256(*_hashed(override, files)))
    path, source = _find(spec, spec.weights)
    again = how_to_get_weights(spec) if spec.weights.packaged else "fetch it again"
    cure = f"{again.rstrip('.')}, or use it as your own weights with --weights {spec.slug}={path}"
    found = verified_sha256(spec, *_hashed(path, files), f"the file is damaged or another version; {cure}")
    return LocatedWeights(path, source, found)


def _hashed(path: Path, files: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """Files to hash; the index of a sharded checkpoint includes all its files."""
    return (path.parent, (path.name, *shards(path))) if is_index(path) else (path, files)


def _find(spec: ModelSpec, weights: WeightsSpec) -> tuple[Path, str]:
    if weights.packaged:
        packaged = in_package(weights.file)
        if not packaged.exists():
            raise Unavailable("weights", f"{packaged} is missing", how_to_get_weights(spec))
        return packaged, f"package:{packaged.name}"
    home = geofm_home()
    path = Path(weights.file) if home is None else home / weights.file
    if path.exists() and (home is not None or path.is_absolute()):
        return path, f"file:{path.name}"
    cached = downloaded_weights(weights)
    if downloadable(weights):
        if not cached.exists():
            fetch_weights(spec, cached)
        return cached, f"url:{published_address(weights)}"
    where = f"{path} does not exist" if home is not None else f"{weights.file} (GEOFM_HOME is not set)"
    published = weights.enum is not None or weights.url is not None
    hint = f" Or allow the download with {ALLOW_DOWNLOAD}=1." if published else ""
    raise Unavailable("weights", where, how_to_get_weights(spec) + hint)


def state_dict_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and values of tensors, independent of order and device."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_state_dicts(path: Path, parts: tuple[str, ...]) -> dict[str, Tensor]:
    """Read a file with one state dict per part of a model, or one flat state dict of all parts.

    Args:
        path: weight file.
        parts: names of the required state dicts.

    Returns:
        Tensors by ``<part>.<name>``, including other parts in the file.

    Raises:
        WeightsError: as ``read_state_dict``, or a part is missing.
    """
    content = read_content(path)
    if is_state_dict(content):
        return dict(content)
    missing = [part for part in parts if not isinstance(content, Mapping) or not is_state_dict(content.get(part))]
    if missing:
        raise WeightsError(
            f"{path}: found {kind_of(content)}, expected a dictionary with the state dicts {', '.join(parts)} "
            f"({', '.join(missing)} missing); choose the entry of this file, or fetch it again"
        )
    dicts = {part: state for part, state in content.items() if is_state_dict(state)}
    return {f"{part}.{name}": tensor for part, state in dicts.items() for name, tensor in state.items()}


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], rules: WeightsSpec, name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Load tensors into a network; only keys that the entry lists may be missing or unexpected.

    Args:
        network: module to fill, on the CPU.
        state: tensors by name.
        rules: ``strip_prefix``, ``add_prefix``, ``drop``, ``missing`` and ``unexpected`` of the entry.
        name: name of the weights in messages.

    Returns:
        Missing and unexpected keys, all allowed by ``rules``; dropped keys are not included.

    Raises:
        WeightsError: shapes differ, keys are missing or unexpected, or tensors are integer, complex, quantised or not
            finite.
    """
    given = _renamed(state, rules, name)
    own = network.state_dict()
    missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    shared = sorted(own.keys() & given.keys())
    wrong = [
        f"{key}: file {tuple(given[key].shape)}, model {tuple(own[key].shape)}"
        for key in shared
        if given[key].shape != own[key].shape
    ]
    forbidden = {
        "missing keys": [key for key in missing if key not in rules.missing],
        "unexpected keys": [key for key in unexpected if key not in rules.unexpected],
        "shapes that differ": wrong,
    }
    problems = [f"{len(keys)} {what} ({_first(keys)})" for what, keys in forbidden.items() if keys]
    if problems:
        raise WeightsError(
            f"{name}: the weights do not match this architecture: {'; '.join(problems)}. "
            f"{_cure(state, own, len(shared))}"
        )
    _check_values({key: given[key] for key in shared}, own, {key for key, _ in network.named_parameters()}, name)
    network.load_state_dict({key: given[key] for key in shared}, strict=False)
    return tuple(missing), tuple(unexpected)


def _renamed(state: Mapping[str, Tensor], rules: WeightsSpec, name: str) -> dict[str, Tensor]:
    """Rename tensors as in the model: remove one prefix, drop heads, add another prefix."""
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        stripped = key.removeprefix(rules.strip_prefix)
        if stripped.startswith(rules.drop):
            continue
        if f"{rules.add_prefix}{stripped}" in found:
            raise WeightsError(
                f"{name}: has '{stripped}' with and without the prefix '{rules.strip_prefix}'; select the tensors to "
                f"load with weights.key = '{rules.strip_prefix.rstrip('.')}' instead of strip_prefix"
            )
        found[f"{rules.add_prefix}{stripped}"] = tensor
    return found


def _check_values(given: Mapping[str, Tensor], own: Mapping[str, Tensor], parameters: Iterable[str], name: str) -> None:
    """Reject integer, complex or quantised tensors for floating-point parameters, and values that are not finite.

    Raises:
        WeightsError: there is such a tensor.
    """
    wrong = [f"{key}: {given[key].dtype} for {own[key].dtype}" for key in given if not _fits(given[key], own[key])]
    if wrong:
        raise WeightsError(
            f"{name}: {counted(len(wrong), 'tensor')} of an unsuitable dtype ({_first(wrong)}); save the weights as "
            "float32, float16 or bfloat16, and dequantise quantised weights first"
        )
    trained = set(parameters)
    broken = [key for key, tensor in given.items() if not _finite(tensor, infinite=key not in trained)]
    if broken:
        raise WeightsError(
            f"{name}: {counted(len(broken), 'tensor')} with values that are not finite ({_first(broken)}); the "
            "training diverged or the file is damaged. Use an earlier checkpoint"
        )


def _fits(given: Tensor, own: Tensor) -> bool:
    if given.layout != torch.strided or given.is_quantized or given.is_meta:
        return False
    if own.is_floating_point() or given.is_floating_point():
        return own.is_floating_point() and given.is_floating_point()
    return given.is_complex() == own.is_complex()


def _finite(tensor: Tensor, infinite: bool) -> bool:
    """Whether there is no NaN and, unless ``infinite`` values are allowed as in masks, no infinity."""
    if not tensor.is_floating_point():
        return True
    values = tensor if tensor.element_size() > 1 else tensor.float()
    return not bool(values.isnan().any()) if infinite else bool(values.isfinite().all())


def _cure(state: Mapping[str, Tensor], own: Mapping[str, Tensor], fitting: int) -> str:
    """What to change; suggests prefixes with which more tensors would match."""
    if not state or not own:
        return "Choose the entry of this file"
    found = {(strip, add): _fitting(state, own, strip, add) for strip in _prefixes(state) for add in _prefixes(own)}
    best = max(found, key=lambda pair: (found[pair], -len(pair[0]) - len(pair[1])))
    if found[best] <= max(fitting, len(own) // 2):
        return (
            "Choose the entry of this file, or list keys under strip_prefix, drop, missing or unexpected in the "
            "entry's weights"
        )
    words = [f"{name} = '{value}'" for name, value in zip(("strip_prefix", "add_prefix"), best, strict=True) if value]
    return f"{found[best]} of {len(own)} fit with {' and '.join(words)} under the entry's weights"


def _prefixes(names: Iterable[str], most: int = 12) -> list[str]:
    """The empty prefix, and the most frequent prefixes of names up to any of their first four dots."""
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        counts.update(".".join(parts[:depth]) + "." for depth in range(1, min(len(parts), 5)))
    return ["", *(prefix for prefix, _ in counts.most_common(most))]


def _fitting(state: Mapping[str, Tensor], own: Mapping[str, Tensor], strip: str, add: str) -> int:
    renamed = {f"{add}{key.removeprefix(strip)}": tensor.shape for key, tensor in state.items()}
    return sum(key in own and own[key].shape == shape for key, shape in renamed.items())


def _first(names: list[str], count: int = 2) -> str:
    shown = "; ".join(name if len(name) <= 100 else f"{name[:97]}..." for name in names[:count])
    return shown + (f"; and {len(names) - count} more" if len(names) > count else "")
