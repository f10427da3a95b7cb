"""Open a zarr group, in a folder or a zip archive, after codecs and dtypes were checked: data must not run code."""

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geofm_eval.data.readers.zarrs import FAILURES, check_array
from geofm_eval.errors import DataError, Unavailable

_METADATA = {"zarr.json": 3, ".zarray": 2}

MOST_CHUNK = 2**28
"""Largest number of values in one chunk, which is decoded at once."""


@contextmanager
def explained_group(path: Path) -> Iterator[None]:
    """Turn the exceptions of a damaged group or archive into a message.

    Raises:
        DataError: instead of what zarr, its codecs and zipfile raise.
    """
    try:
        yield
    except FAILURES as error:
        said = str(error).replace(str(path), path.name)[:160] or type(error).__name__
        raise DataError(f"{path}: not a readable zarr group ({said}). Copy or write it again") from error


def open_group(path: Path) -> dict[str, Any]:
    """Return the arrays of a group by name; nothing is decoded yet.

    Raises:
        Unavailable: zarr is not installed.
        DataError: it is no group, is damaged, or an array has a codec, dtype or chunk size that is not allowed.
    """
    try:
        import zarr
    except ImportError as error:
        raise Unavailable("package", "zarr", "Install it with: pip install zarr") from error
    with explained_group(path):
        return _checked_arrays(path, zarr)


def _checked_arrays(path: Path, zarr: Any) -> dict[str, Any]:
    names, read = _members(path)
    described = {}
    for member in names:
        array, _, entry = member.rpartition("/")
        if entry in _METADATA and array and "/" not in array:
            metadata = json.loads(read(member))
            if entry == ".zarray" or metadata.get("node_type") == "array":
                described[array] = _METADATA[entry]
                check_array(path, array, metadata, _METADATA[entry])
                _check_chunk(path, array, metadata)
    if not described:
        raise DataError(f"{path}: found no zarr arrays, expected a group with ids and embeddings. Write it again")
    store: Any = zarr.storage.LocalStore(path, read_only=True) if path.is_dir() else zarr.storage.ZipStore(path)
    version: Any = max(described.values())
    # Consolidated metadata are a second description of the arrays, which was not checked.
    group: Any = zarr.open_group(store, mode="r", zarr_format=version, use_consolidated=False)
    return {name: group[name] for name in sorted(described)}


def _members(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    if path.is_dir():
        found = [file.relative_to(path).as_posix() for file in path.glob("*/*") if file.is_file()]
        return found, lambda name: _limited((path / name).stat().st_size, (path / name).read_bytes)
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}

    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return _limited(sizes[name], lambda: archive.read(name))

    return list(sizes), read


def _limited(size: int, read: Callable[[], bytes]) -> bytes:
    if size > 2**20:
        raise ValueError("the metadata of an array are larger than a megabyte")
    return read()


def _check_chunk(path: Path, array: str, metadata: Mapping[str, Any]) -> None:
    chunks = metadata.get("chunks") or metadata["chunk_grid"]["configuration"]["chunk_shape"]
    if math.prod(int(side) for side in chunks) > MOST_CHUNK:
        raise DataError(
            f"{path}: array '{array}' has chunks of {tuple(chunks)}, expected at most {MOST_CHUNK:,} values. Write it "
            "again in smaller chunks"
        )
