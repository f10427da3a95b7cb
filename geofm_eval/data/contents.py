"""Sha256 of files, each hashed once: what was found is remembered in the cache.

A remembered hash holds as long as size, modification time, change time and inode of its file are the same. A file that
was written less than two seconds before it was hashed may be written again within one tick of the file system's clock,
so its hash is not trusted the next time.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.errors import DataError, GeofmError
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.sharing import locked
from geofm_eval.store import content_hash, file_sha256, write_json

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""Size, modification time and change time in ns, inode."""

SETTLED_NS = 2_000_000_000
THREADS = 8
FILES_AT_ONCE = 64


@dataclass(frozen=True)
class Known:
    """What is remembered of one file.

    Args:
        stamp: of the file when it was hashed.
        hashed_ns: when that was, in ns since 1970.
        sha256: hex.
    """

    stamp: Stamp
    hashed_ns: int
    sha256: str

    def holds(self, stamp: Stamp) -> bool:
        """True where a file with this stamp surely has this content."""
        return self.stamp == stamp and self.hashed_ns - max(stamp[1], stamp[2]) >= SETTLED_NS


# What this process has hashed or read from the cache, by path.
_known: dict[str, Known] = {}


def hashes_of(paths: Iterable[Path], where: object, progress: StartProgress = LogProgress) -> dict[Path, str]:
    """Return the sha256 of files; hash those that changed or were never hashed, in parallel.

    Args:
        paths: files, or folders that are read as one (a zarr store): every file below them counts, with its path.
        where: what the files belong to, such as the root of a data set. Their hashes are remembered together.
        progress: starts the progress of hashing, if any file must be hashed.

    Returns:
        Hex sha256 by path, each path once, in the given order.

    Raises:
        DataError: a file is absent or unreadable, or changes while it is read.
    """
    members = {path: _members(path) for path in dict.fromkeys(paths)}
    files = {str(file) for found in members.values() for file in found}
    stamps = {file: _stamp(file) for file in files}
    store = geofm_cache() / "contents" / "v1" / f"{content_hash(str(where))}.json"
    if _wanting(stamps):
        _known.update(_read(store))
    if _wanting(stamps):
        _hash_and_remember(stamps, store, where, progress)
    return {path: _joined(path, found) for path, found in members.items()}


def _members(path: Path) -> list[Path]:
    """A file itself; of a folder every file below it, sorted."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _joined(path: Path, members: Collection[Path]) -> str:
    """Sha256 of a file, or of the relative paths and hashes of a folder's files."""
    if members == [path]:
        return _known[str(path)].sha256
    lines = [f"{_known[str(file)].sha256}  {file.relative_to(path).as_posix()}\n" for file in members]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _stamp(path: str | os.PathLike[str]) -> Stamp:
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Complete the copy, and start again") from error
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _wanting(stamps: Mapping[str, Stamp]) -> list[str]:
    return [path for path, stamp in stamps.items() if path not in _known or not _known[path].holds(stamp)]


def _hash_and_remember(stamps: Mapping[str, Stamp], store: Path, where: object, progress: StartProgress) -> None:
    with locked(store):
        _known.update(_read(store))  # what another process hashed while this one waited
        wanting = sorted(_wanting(stamps))
        if not wanting:
            return
        found = dict(_hashed(wanting, where, progress))
        _known.update(found)
        _write(store, {**_read(store), **found})


def _hashed(paths: list[str], where: object, progress: StartProgress) -> Iterator[tuple[str, Known]]:
    chunks = [paths[start : start + FILES_AT_ONCE] for start in range(0, len(paths), FILES_AT_ONCE)]
    shown = progress(f"hashing the files of {where}", len(paths))
    try:
        with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
            for chunk, known in zip(
                chunks, pool.map(lambda chunk: [_hash(path) for path in chunk], chunks), strict=True
            ):
                yield from zip(chunk, known, strict=True)
                shown.update(len(chunk))
    finally:
        shown.done()


def _hash(path: str) -> Known:
    before, now = _stamp(path), time.time_ns()
    try:
        sha256 = file_sha256(Path(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Complete the copy, and start again") from error
    if _stamp(path) != before:
        raise DataError(
            f"{path}: was changed while it was read. Wait until nothing writes to the data, and start again"
        )
    return Known(before, now, sha256)


def _read(store: Path) -> dict[str, Known]:
    """What a store remembers; nothing where it is absent or does not match its checksum."""
    try:
        content = json.loads(store.read_bytes())
        files = content["files"]
        if content["sha256"] != content_hash(files):
            raise ValueError("it does not match its sha256")
        return {path: Known((row[0], row[1], row[2], row[3]), row[4], row[5]) for path, row in files.items()}
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.info("%s cannot be read (%s): the files are hashed again", store, error.strerror)
        return {}
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        log.warning("%s is damaged (%s): the files are hashed again", store, error)
        return {}


def _write(store: Path, known: Mapping[str, Known]) -> None:
    files = {path: [*one.stamp, one.hashed_ns, one.sha256] for path, one in known.items()}
    try:
        write_json(store, {"sha256": content_hash(files), "files": files})
    except (GeofmError, OSError) as error:
        log.info("hashes of files are not remembered: %s", error)
