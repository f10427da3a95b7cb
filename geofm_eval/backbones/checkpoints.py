"""Read checkpoints without running code from them.

The format is recognised from the first bytes, not from the name: safetensors, a torch zip archive, an old torch pickle,
or the index of sharded safetensors. A training checkpoint may hold several state dicts; the caller names one.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofm_eval.errors import WeightsError
from geofm_eval.plurals import counted

INDEX = "*.index.json"
"""Name pattern of indexes in a folder, for safetensors and torch files."""

MOST_INDEX_BYTES = 64_000_000
DEPTH = 3
"""Largest depth of nested dictionaries in which state dicts are searched."""

NO_WEIGHTS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file; run 'git lfs pull' in its repository",
    b"<": "a web page, not the file; download it again, with a login if required",
    b"\x89HDF": "an HDF5 file; convert it to safetensors",
}
"""First bytes of files that are often found in place of weights, and what to do."""


def read_state_dict(path: Path, key: str = "") -> dict[str, Tensor]:
    """Read the tensors of a checkpoint without running code from it.

    Args:
        path: safetensors or torch file, the index of sharded safetensors, or a folder that contains one of them.
        key: name of the state dict in a file with several, for example ``model_ema``, with dots between the names of
            nested dictionaries; in a flat file, prefix ``<key>.`` of the tensors. May be empty if there is only one.

    Raises:
        WeightsError: the file is truncated or damaged, tries to run code, has no state dict, or several and ``key``
            names none.
    """
    content = read_content(path)
    candidates = dict(_state_dicts(content))
    if key:
        return _chosen(path, content, candidates, key)
    if not candidates:
        raise WeightsError(
            f"{path}: found {kind_of(content)}, expected a state dict (name to tensor); "
            "save it with torch.save(model.state_dict(), path) or safetensors"
        )
    if len(candidates) > 1:
        raise WeightsError(
            f"{path}: found {len(candidates)} state dicts ({_listed(candidates)}), for example raw and averaged "
            f"weights; select one in the entry, as in weights = {{ key = '{next(iter(candidates))}' }}"
        )
    return next(iter(candidates.values()))


def read_content(path: Path) -> Any:
    """Read the content of a checkpoint without running code from it.

    Raises:
        WeightsError: the file is truncated or damaged, not a checkpoint, or tries to run code.
    """
    try:
        path = weight_file(path)
        return _read_shards(path) if is_index(path) else _read(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_unpickling_problem(path, error)) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def is_state_dict(content: Any) -> bool:
    """Return whether an object is a non-empty dictionary from names to tensors."""
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )


def kind_of(content: Any) -> str:
    """Describe the content of a checkpoint in a few words."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    return f"a dictionary with the keys {[str(key)[:30] for key in list(content)[:5]]}"


def weight_file(path: Path) -> Path:
    """Return the file to read; in a folder, its index or its only safetensors or torch file.

    Raises:
        WeightsError: a folder with none of them, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(path.glob(INDEX)) or sorted(file for file in path.iterdir() if _is_checkpoint(file))
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:5]) or "none"
        raise WeightsError(
            f"{path}: expected one weight file or one index of shards in the folder, found {names}; name the file"
        )
    return found[0]


def is_index(path: Path) -> bool:
    """Return whether a file is the JSON index of a sharded checkpoint."""
    if not path.is_file() or path.stat().st_size > MOST_INDEX_BYTES or _start(path, 1) != b"{":
        return False
    return "weight_map" in _index(path)


def shards(index: Path) -> tuple[str, ...]:
    """Return the names of the files that an index lists, all in its own folder.

    Raises:
        WeightsError: the index names a file outside its folder.
    """
    names = sorted({str(name) for name in _index(index)["weight_map"].values()})
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise WeightsError(f"{index}: lists '{outside[0][:100]}', expected names of files in the same folder")
    return tuple(names)


def _index(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    whole = isinstance(content, dict) and isinstance(content.get("weight_map"), dict)
    return content if whole else {}


def _read_shards(index: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name in shards(index):
        shard = index.parent / name
        if not shard.is_file():
            raise WeightsError(f"{index}: lists {name}, which is not in its folder; fetch all shards")
        state.update(_read(shard))
    absent = sorted(set(_index(index)["weight_map"]) - set(state))
    if absent:
        raise WeightsError(
            f"{index}: lists {counted(len(absent), 'tensor')} ({absent[0][:80]}) of no shard; fetch all shards again"
        )
    return state


def _read(path: Path) -> Any:
    start = _start(path, 64)
    for found, what in NO_WEIGHTS.items():
        if start.lstrip().startswith(found):
            raise WeightsError(f"{path}: is {what}")
    if _is_safetensors(path):
        return _read_safetensors(path)
    if start.startswith(b"PK"):
        _check_zip(path)
    with path.open("rb") as file:  # with a path, torch would go by its suffix
        return torch.load(file, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _check_zip(path: Path) -> None:
    """Verify the checksums of the members; torch does not, and a flipped bit would change weights."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        names = archive.namelist()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} is wrong")
    if not any(name.endswith("data.pkl") for name in names):
        raise WeightsError(
            f"{path}: is a zip archive of {', '.join(names[:3])[:100]}, not a checkpoint; unpack it first"
        )


def _start(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins with a header length of eight bytes, then JSON."""
    start = _start(path, 9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**32


def _is_checkpoint(path: Path) -> bool:
    return (
        path.is_file()
        and not path.name.startswith(".")
        and (_is_safetensors(path) or _start(path, 2) in (b"PK", b"\x80\x02"))
    )


def _state_dicts(content: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every state dict in nested dictionaries by its dotted name, without those of scalars (counters, scores)."""
    if is_state_dict(content):
        if any(tensor.ndim for tensor in content.values()):
            yield name, {str(key): tensor for key, tensor in content.items()}
    elif isinstance(content, Mapping) and depth < DEPTH:
        for key, value in content.items():
            if isinstance(key, str):
                yield from _state_dicts(value, f"{name}.{key}" if name else key, depth + 1)


def _chosen(path: Path, content: Any, candidates: Mapping[str, dict[str, Tensor]], key: str) -> dict[str, Tensor]:
    if key in candidates:
        return candidates[key]
    if is_state_dict(content):
        inside = {name.removeprefix(f"{key}."): value for name, value in content.items() if name.startswith(f"{key}.")}
        if inside:
            return inside
        known = sorted({name.partition(".")[0] for name in content if "." in name})
        raise WeightsError(
            f"{path}: no tensor name begins with '{key}.', found {', '.join(known[:6])[:120] or 'no prefix'}; "
            "correct or remove weights.key in the entry"
        )
    raise WeightsError(
        f"{path}: no state dict '{key}', found {_listed(candidates) or 'none'}; correct weights.key in the entry"
    )


def _listed(candidates: Mapping[str, Mapping[str, Tensor]]) -> str:
    names = [f"{name[:40]}: {counted(len(state), 'tensor')}" for name, state in candidates.items()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _unpickling_problem(path: Path, error: Exception) -> str:
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found is None:
        return str(_damaged(path, ValueError("unknown checkpoint format")))
    return (
        f"{path}: tries to run or import '{found.group(1)[:60]}' on loading, which is refused: only tensors are read. "
        "Ask the author for safetensors, or, if you trust the file, save only model.state_dict()"
    )


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    size = path.stat().st_size if path.exists() else 0
    return WeightsError(
        f"{path}: cannot be read ({size:,} bytes; {reason}); it is truncated or not a weight file; fetch it again"
    )
