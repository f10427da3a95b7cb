"""Zarr archives whose codecs, types and sizes are known before zarr opens them: data run nothing and fill no memory.

Zarr takes codecs by name from the file, pickle among them, which runs whatever the file says. So metadata are read as
text first, for the arrays that are wanted alone, and held against lists of what may occur.
"""

import json
import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.data.readers.files import read_or_explain
from geofm_eval.data.readers.rasters import MOST_BYTES
from geofm_eval.errors import DataError, Unavailable

COMPRESSORS = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
"""Codecs that turn bytes into bytes; the names of both formats."""

CODECS = {2: COMPRESSORS | {"shuffle", "vlen-utf8"}, 3: COMPRESSORS | {"bytes", "crc32c", "transpose", "vlen-utf8"}}
"""Everything that an array may be stored with, by zarr's format."""

_NUMBERS = re.compile(r"[<>|][biuf]\d+")
_TEXTS = re.compile(r"[<>|][US]\d+")
_NUMBERS3 = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")

_FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile, MemoryError)
"""What a damaged archive makes zarr and zipfile raise."""


def read_arrays(path: Path, numbers: str, texts: Iterable[str] = ()) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Read arrays of a zip archive that holds one zarr group.

    Args:
        path: the archive.
        numbers: name of the array of numbers.
        texts: names of arrays of text, which may lack.

    Returns:
        The arrays that are there, by name; and the attributes of the array of numbers.

    Raises:
        Unavailable: zarr is not installed.
        DataError: the archive is damaged, or an array has a codec, type or size that no data set needs.
    """
    try:
        import zarr
    except ImportError as error:
        raise Unavailable("package", "zarr", "Install it with: pip install zarr") from error
    found: dict[str, Any] = {}
    attributes: dict[str, Any] = {}

    def read() -> npt.NDArray[Any]:
        # Of what is no archive, zarr only says that it could not close it.
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no zip archive, or was cut short")
        wanted, version = _checked(path, numbers, tuple(texts))
        with zarr.storage.ZipStore(path, mode="r") as store:
            # Consolidated metadata are a second description of the arrays, which nobody has looked at.
            group: Any = zarr.open_group(store, mode="r", zarr_format=version, use_consolidated=False)
            for name in wanted:
                found[name] = np.asarray(group[name][...])
            attributes.update(group[numbers].attrs.asdict())
        return np.asarray(found[numbers])

    read_or_explain(path, "zarr cube", read, _FAILURES)
    return found, attributes


def _checked(path: Path, numbers: str, texts: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    """Names of the wanted arrays that are there, each with codecs, type and size that it may have; and the format."""
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
        raise ValueError(f"{name} describes no array")
    return found


def _check_codecs(path: Path, array: str, metadata: Mapping[str, Any], version: int) -> None:
    codecs = metadata["codecs"] if version == 3 else [*(metadata["filters"] or ()), metadata["compressor"]]
    names = [codec["name" if version == 3 else "id"] for codec in codecs if codec is not None]
    unknown = [str(name) for name in names if name not in CODECS[version]]
    if unknown:
        raise DataError(
            f"{path}: array '{array}' is stored with codec {', '.join(unknown)[:60]}, expected some of "
            f"{', '.join(sorted(CODECS[version]))}: others may run code. Write the cube again without it"
        )


def _check_type(path: Path, array: str, metadata: Mapping[str, Any], version: int, *, text: bool) -> None:
    """Refuse Python objects; a text of any length is one to numpy, but its only codec gives nothing but text."""
    kind = metadata["data_type"] if version == 3 else metadata["dtype"]
    kind = kind.get("name") if isinstance(kind, dict) else kind
    allowed = isinstance(kind, str) and bool((_NUMBERS3 if version == 3 else _NUMBERS).fullmatch(kind))
    if text and isinstance(kind, str):
        strings = kind in ("string", "fixed_length_utf32", "null_terminated_bytes") or bool(_TEXTS.fullmatch(kind))
        allowed |= strings or (version == 2 and kind == "|O" and metadata["filters"] == [{"id": "vlen-utf8"}])
    if not allowed:
        raise DataError(
            f"{path}: array '{array}' has the type {str(kind)[:60]}, expected {'text or ' if text else ''}real "
            "numbers: objects and complex values are not read. Write the cube again with another type"
        )


def _check_size(path: Path, array: str, metadata: Mapping[str, Any], stored: int) -> None:
    shape = [int(side) for side in metadata["shape"]]
    chunks = metadata.get("chunks") or metadata["chunk_grid"]["configuration"]["chunk_shape"]
    # Eight bytes a value bound every type that is read.
    largest = 8 * max(math.prod(shape), math.prod(int(side) for side in chunks))
    if largest > MOST_BYTES or stored > MOST_BYTES or min(shape, default=0) < 0:
        raise DataError(
            f"{path}: array '{array}' has the shape {tuple(shape)} in chunks of {tuple(chunks)} ({stored:,} bytes "
            f"stored), expected a cube of at most {MOST_BYTES:,} bytes. Fetch this file again"
        )
