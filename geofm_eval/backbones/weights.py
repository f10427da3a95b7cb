"""Weight files: find or fetch them, check their hash, read them without running code, load them without silent gaps."""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geofm_eval.availability import ALLOW_DOWNLOAD, downloadable, downloaded_weights, how_to_get_weights
from geofm_eval.catalog import ModelSpec, WeightsSpec
from geofm_eval.errors import Unavailable, WeightsError
from geofm_eval.fetch import fetch_weights, path_sha256, published_address, verified_sha256
from geofm_eval.paths import geofm_home, in_package

WRAPPERS = ("state_dict", "model")
"""Keys under which training code tends to store the state dict."""


@dataclass(frozen=True)
class LocatedWeights:
    """Weights on disk.

    Args:
        path: file or folder.
        source: ``file:<name>`` or ``url:<address>``, for the record.
        sha256: hash of the file or folder.
    """

    path: Path
    source: str
    sha256: str


def locate(spec: ModelSpec, override: Path | None = None, files: tuple[str, ...] = ()) -> LocatedWeights:
    """Find a model's weights and check their hash.

    Looked up in this order: ``override``, the package, ``GEOFM_HOME``, an earlier download in the cache, the published
    address (only when ``GEOFM_ALLOW_DOWNLOAD=1``).

    Args:
        spec: entry with ``weights``.
        override: file or folder that replaces the entry's weights; the pinned hash does not apply to it.
        files: names of the files that count where the weights are a folder; all of them when empty.

    Raises:
        Unavailable: the weights are absent.
        WeightsError: the hash is not the pinned one.
    """
    assert spec.weights is not None
    if override is not None:
        if not override.exists():
            raise Unavailable("weights", f"{override} does not exist", f"Check the path given for {spec.slug}.")
        return LocatedWeights(override, f"file:{override.name}", path_sha256(override, files))
    path, source = _find(spec, spec.weights)
    again = how_to_get_weights(spec) if spec.weights.packaged else "fetch it again"
    cure = f"{again.rstrip('.')}, or test it as your own weights with --weights {spec.slug}={path}"
    found = verified_sha256(spec, path, files, f"the file is damaged or another version; {cure}")
    return LocatedWeights(path, source, found)


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
    """SHA-256 over names, dtypes, shapes and values of tensors, whatever their order or device."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors``, ``.pt`` or ``.pth`` file; no code from the file is ever run.

    Raises:
        WeightsError: truncated or damaged, wants to run code, or holds no state dict.
    """
    content = _content(path)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not _is_state_dict(content):
        raise WeightsError(
            f"{path}: holds {_kind(content)}, expected a state dict (name to tensor): "
            "save it with torch.save(model.state_dict(), path) or safetensors"
        )
    return {str(name): tensor for name, tensor in content.items()}


def read_state_dicts(path: Path, parts: tuple[str, ...]) -> dict[str, Tensor]:
    """Read a file that holds one state dict for each part of a model, or one flat state dict of them all.

    Args:
        path: weight file.
        parts: names of the state dicts that must be there.

    Returns:
        Tensors by ``<part>.<name>``, those of other parts in the file included.

    Raises:
        WeightsError: as ``read_state_dict``, or a part is missing.
    """
    content = _content(path)
    if _is_state_dict(content):
        return read_state_dict(path)
    missing = [part for part in parts if not isinstance(content, Mapping) or not _is_state_dict(content.get(part))]
    if missing:
        raise WeightsError(
            f"{path}: holds {_kind(content)}, expected a dictionary with the state dicts {', '.join(parts)} "
            f"({', '.join(missing)} missing): choose the entry that the file belongs to, or fetch it again"
        )
    dicts = {part: state for part, state in content.items() if _is_state_dict(state)}
    return {f"{part}.{name}": tensor for part, state in dicts.items() for name, tensor in state.items()}


def _content(path: Path) -> Any:
    try:
        return _read(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_unpickling_problem(path, error)) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(v, Tensor) for v in content.values())


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from None
    return torch.load(path, map_location="cpu", weights_only=True)


def _unpickling_problem(path: Path, error: Exception) -> str:
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found is None:
        return str(_damaged(path, error))
    return (
        f"{path}: wants to run or import '{found.group(1)}' when it is read, which is refused; only tensors are loaded"
        ": ask its author for safetensors, or save model.state_dict() alone from a machine where you trust the file"
    )


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    size = path.stat().st_size if path.exists() else 0
    return WeightsError(
        f"{path}: cannot be read ({size:,} bytes; {reason}): truncated or no weight file; fetch it again"
    )


def _kind(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    return f"a dictionary with the keys {[str(key) for key in list(content)[:5]]}"


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], rules: WeightsSpec, name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Load tensors into a network, with nothing missing and nothing left over but what the entry lists.

    Args:
        network: module to fill, on the CPU.
        state: tensors by name.
        rules: ``strip_prefix``, ``drop``, ``missing`` and ``unexpected`` of the entry.
        name: what to call the weights in messages.

    Returns:
        Missing and unexpected keys, all of them allowed by ``rules``; dropped keys are not counted.

    Raises:
        WeightsError: another architecture: shapes that differ, keys that are missing or unexpected.
    """
    stripped = {key.removeprefix(rules.strip_prefix): tensor for key, tensor in state.items()}
    given = {key: tensor for key, tensor in stripped.items() if not key.startswith(rules.drop)}
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
            f"{name}: not the weights of this architecture: {'; '.join(problems)}. Choose the entry that the file "
            "belongs to, or list keys under strip_prefix, drop, missing or unexpected of the entry's weights"
        )
    network.load_state_dict({key: given[key] for key in shared}, strict=False)
    return tuple(missing), tuple(unexpected)


def _first(names: list[str], count: int = 3) -> str:
    return "; ".join(names[:count]) + (f"; and {len(names) - count} more" if len(names) > count else "")
