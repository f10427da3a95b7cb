"""SHA-256 of data files. Each file is hashed once, and its hash is kept in the cache.

A cached hash is valid while size, modification time, change time and inode of the file stay the same. A file written
less than two seconds before it was hashed could change again within one tick of the file system's clock, so its hash is
not reused.
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
from geofm_eval.store import content_hash, file_sha256, write_bytes

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""Size, modification time and change time in ns, inode."""

SETTLED_NS = 2_000_000_000
THREADS = 8
FILES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Known:
    """Cached hash of one file, with its stamp at the time of hashing (in ns since 1970)."""

    stamp: Stamp
    hashed_ns: int
    sha256: str

    def holds(self, stamp: Stamp) -> bool:
        """Return True if a file with this stamp certainly has this content."""
        return self.stamp == stamp and self.hashed_ns - max(stamp[1], stamp[2]) >= SETTLED_NS


# Hashes computed by this process or read from the cache, by path.
_known: dict[str, Known] = {}


def hashes_of(paths: Iterable[Path], where: object, progress: StartProgress = LogProgress) -> dict[Path, str]:
    """Return the SHA-256 of files; new and changed files are hashed in parallel.

    Args:
        paths: files or folders. A folder (a zarr store) is hashed as one: contents and relative paths of all files in
            it.
        where: what the files belong to, for example the root of a data set. Their hashes are cached together.
        progress: starts a progress display if any file must be hashed.

    Returns:
        Hex digest by path, each path once, in the given order.

    Raises:
        DataError: a file is missing, unreadable or changes while it is read.
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
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _joined(path: Path, members: Collection[Path]) -> str:
    if members == [path]:
        return _known[str(path)].sha256
    lines = [f"{_known[str(file)].sha256}  {file.relative_to(path).as_posix()}\n" for file in members]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(f"{path}: cannot read the file ({error.strerror}). Complete the copy and try again")


def _wanting(stamps: Mapping[str, Stamp]) -> list[str]:
    return [path for path, stamp in stamps.items() if path not in _known or not _known[path].holds(stamp)]


def _hash_and_remember(stamps: Mapping[str, Stamp], store: Path, where: object, progress: StartProgress) -> None:
    with locked(store):
        _known.update(_read(store))  # another process may have hashed files while this one waited
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
            hashed = pool.map(lambda chunk: [_hash(path) for path in chunk], chunks)
            for chunk, known in zip(chunks, hashed, strict=True):
                yield from zip(chunk, known, strict=True)
                shown.update(len(chunk))
    finally:
        shown.done()


def _hash(path: str) -> Known:
    before, now = _stamp(path), time.time_ns()
    try:
        sha256 = file_sha256(Path(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    if _stamp(path) != before:
        raise DataError(
            f"{path}: the file changed while it was being read. Wait until no process writes to the data, then try "
            "again"
        )
    return Known(before, now, sha256)


def _read(store: Path) -> dict[str, Known]:
    """Hashes in a cache file; empty if the file is missing or does not match its checksum."""
    try:
        content = json.loads(store.read_bytes())
        files = content["files"]
        if content["sha256"] != content_hash(files):
            raise ValueError("it does not match its sha256")
        return {path: Known((row[0], row[1], row[2], row[3]), row[4], row[5]) for path, row in files.items()}
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.info("cannot read %s (%s); hashing the files again", store, error.strerror)
        return {}
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        log.warning("%s is damaged (%s); hashing the files again", store, error)
        return {}


def _write(store: Path, known: Mapping[str, Known]) -> None:
    files = {path: [*one.stamp, one.hashed_ns, one.sha256] for path, one in known.items()}
    try:
        # Without indentation, which json adds by a slow path that holds every number as a text of its own.
        write_bytes(store, json.dumps({"sha256": content_hash(files), "files": files}).encode())
    except (GeofmError, OSError) as error:
        log.info("file hashes were not cached: %s", error)
