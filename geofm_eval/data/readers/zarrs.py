"""Check codecs, dtypes and sizes of zarr archives before zarr opens them: data must not run code or fill the memory.

Zarr looks up codecs by the name in the file; one of them, pickle, runs any code that the file contains. Metadata of the
requested arrays are therefore first read as text and compared with lists of allowed values.
"""

import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.data.readers.files import read_or_explain
from geofm_eval.data.readers.rasters import MOST_BYTES
from geofm_eval.errors import DataError, Unavailable

COMPRESSORS = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
"""Codecs from bytes to bytes, as both formats name them."""

CODECS = {2: COMPRESSORS | {"shuffle", "vlen-utf8"}, 3: COMPRESSORS | {"bytes", "crc32c", "transpose", "vlen-utf8"}}
"""Codecs that an array may be stored with, by zarr format."""

_NUMBERS = re.compile(r"[<>|][biuf]\d+")
_TEXTS = re.compile(r"[<>|][US]\d+")
_NUMBERS3 = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")

FAILURES = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
"""Exceptions that zarr, its codecs and zipfile raise for a damaged archive."""


def read_arrays(path: Path, numbers: str, texts: Iterable[str] = ()) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Read arrays of a zip archive that holds one zarr group.

    Args:
        path: the archive.
        numbers: name of the numeric array.
        texts: names of text arrays, which may be missing.

    Returns:
        The existing arrays by name, and the attributes of the numeric array.

    Raises:
        Unavailable: zarr is not installed.
        DataError: the archive is damaged, or an array has a codec, dtype or size that is not allowed.
    """
    try:
        import zarr
    except ImportError as error:
        raise Unavailable("package", "zarr", "Install it with: pip install zarr") from error
    found: dict[str, Any] = {}
    attributes: dict[str, Any] = {}

    def read() -> npt.NDArray[Any]:
        # For other files zarr's message only says that it could not close them.
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("not a zip archive, or truncated")
        wanted, version = _checked(path, numbers, tuple(texts))
        with zarr.storage.ZipStore(path, mode="r") as store:
            # Consolidated metadata are a second description of the arrays, which was not checked.
            group: Any = zarr.open_group(store, mode="r", zarr_format=version, use_consolidated=False)
            for name in wanted:
                found[name] = np.asarray(group[name][...])
            attributes.update(group[numbers].attrs.asdict())
        return np.asarray(found[numbers])

    read_or_explain(path, "zarr cube", read, FAILURES)
    return found, attributes


def check_array(path: Path, array: str, metadata: Mapping[str, Any], version: int) -> None:
    """Refuse an array of text or numbers whose codecs or dtype are not allowed; see the top of this file.

    Raises:
        DataError: the array may run code, or holds other values.
    """
    _check_codecs(path, array, metadata, version)
    _check_type(path, array, metadata, version, text=True)


def _checked(path: Path, numbers: str, texts: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    """Names of the requested arrays that exist, whose codecs, dtypes and sizes are allowed; and the zarr format."""
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        version = 3 if "zarr.json" in sizes else 2
        entry = "zarr.json" if version == 3 else ".zarray"
        wanted = tuple(name for name in (numbers, *texts) if name == numbers or f"{name}/{entry}" in sizes)
        described = {name: _metadata(archive, f"{name}/{entry}") for name in wanted}
    for name, metadata in described.items():
        _check_codecs(path, name, metadata, version)
        _check_type(path, name, metadata, version, text=name != numbers)
        stored = sum(size for member, size in sizes.items() if member.startswith(f"{name}/"))
        _check_size(path, name, metadata, stored)
    return wanted, version


def _metadata(archive: zipfile.ZipFile, name: str) -> Mapping[str, Any]:
    if archive.getinfo(name).file_size > 2**20:
        raise ValueError(f"{name} is larger than a megabyte")
    try:
        found = json.loads(archive.read(name))
    except RecursionError as error:
        raise ValueError(f"{name} is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name} does not describe an array")
    return found


def _check_codecs(path: Path, array: str, metadata: Mapping[str, Any], version: int) -> None:
    codecs = metadata["codecs"] if version == 3 else [*(metadata["filters"] or ()), metadata["compressor"]]
    names = [codec["name" if version == 3 else "id"] for codec in codecs if codec is not None]
    unknown = [str(name) for name in names if name not in CODECS[version]]
    if unknown:
        raise DataError(
            f"{path}: array '{array}' uses the codec {', '.join(unknown)[:60]}; only "
            f"{', '.join(sorted(CODECS[version]))} are allowed, because others may run code. Write the cube again "
            "without it"
        )


def _check_type(path: Path, array: str, metadata: Mapping[str, Any], version: int, *, text: bool) -> None:
    """Refuse Python objects. Variable-length text has an object dtype, but its only codec yields nothing but text."""
    kind = metadata["data_type"] if version == 3 else metadata["dtype"]
    kind = kind.get("name") if isinstance(kind, dict) else kind
    allowed = isinstance(kind, str) and bool((_NUMBERS3 if version == 3 else _NUMBERS).fullmatch(kind))
    if text and isinstance(kind, str):
        strings = kind in ("string", "fixed_length_utf32", "null_terminated_bytes") or bool(_TEXTS.fullmatch(kind))
        allowed |= strings or (version == 2 and kind == "|O" and metadata["filters"] == [{"id": "vlen-utf8"}])
    if not allowed:
        raise DataError(
            f"{path}: array '{array}' has dtype {str(kind)[:60]}, expected {'text or ' if text else ''}real numbers; "
            "objects and complex values are not read. Write the cube again with another dtype"
        )


def _check_size(path: Path, array: str, metadata: Mapping[str, Any], stored: int) -> None:
    shape = [int(side) for side in metadata["shape"]]
    chunks = metadata.get("chunks") or metadata["chunk_grid"]["configuration"]["chunk_shape"]
    # No dtype that is read has more than eight bytes per value.
    largest = 8 * max(math.prod(shape), math.prod(int(side) for side in chunks))
    if largest > MOST_BYTES or stored > MOST_BYTES or min(shape, default=0) < 0:
        raise DataError(
            f"{path}: array '{array}' has shape {tuple(shape)} in chunks of {tuple(chunks)} ({stored:,} bytes stored), "
            f"expected at most {MOST_BYTES:,} bytes. Fetch this file again"
        )
