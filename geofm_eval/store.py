"""Directories that are whole or absent: built under a temporary name, checksummed, renamed under a file lock.

Nothing half-written is ever read: a build that is interrupted leaves only a hidden temporary folder, which the next
build of the same key removes, and a directory whose files no longer match their checksums is moved aside and rebuilt.
"""

import errno
import functools
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from geofm_eval.errors import ContractError, GeofmError
from geofm_eval.paths import geofm_cache

log = logging.getLogger(__name__)

MANIFEST_FORMAT = 1
KINDS = (
    "features",
    "sweeps",
    "noise",
    "maps",
    "trainings",
    "tuned",
    "standins",
    "pretraining",
    "references",
    "damaged",
    "unfinished",
)
"""What a cache holds: finished directories (``noise``: probes solved again with last-digit noise on their features; of
pretraining the scenes, not the checkpoints), damaged ones set aside,
and what killed processes left."""

_TEMPORARY = ".tmp-"
_DAMAGED = ".damaged-"
_LAYOUTS = {
    **dict.fromkeys(("features", "sweeps", "noise", "maps", "pretraining"), "v*/*"),
    **dict.fromkeys(("standins", "references", "trainings"), "*/*"),
    "tuned": "*",
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}

# Files whose sha256 was found right by this process: path -> (size, modification time) per file name.
_verified: dict[str, dict[str, tuple[int, int]]] = {}


class StoreError(GeofmError):
    """The cache cannot be written or read: a full disk, a read-only folder, a file where a folder should be."""


@dataclass(frozen=True)
class CacheEntry:
    """One directory of the cache.

    Args:
        kind: one of KINDS.
        key: name that the directory is found by, such as a block's key or ``eurosat_sim/v1-1``.
        path: the directory.
        bytes: size of its files.
        age_days: days since it was last used.
    """

    kind: str
    key: str
    path: Path
    bytes: int
    age_days: float


def writer_name() -> str:
    """A name that no other process has on any host: ``<host>-<process id>-<random>``.

    Process ids repeat between hosts that share a disk, and between containers of one host: the host's part tells those
    apart too.
    """
    return f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


@functools.cache
def _host() -> str:
    name = re.sub(r"[^A-Za-z0-9]+", ".", platform.node())[:32] or "host"
    try:
        processes = os.readlink("/proc/self/ns/pid")  # of a container: its ids are not those of the host
    except OSError:
        processes = ""
    return f"{name}.{hashlib.sha256(f'{platform.node()} {processes}'.encode()).hexdigest()[:6]}"


def content_hash(content: object) -> str:
    """Hex sha256 of a JSON-serialisable object, independent of the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write JSON so that the file is either the old or the new one, never a part.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
        ValueError: a number is NaN or infinite.
    """
    write_bytes(path, json.dumps(content, indent=1, allow_nan=False).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old or the new one, never a part; its folder is made when needed.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}{_TEMPORARY}{uuid.uuid4().hex}")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write at ``path`` into a StoreError that names the folder and the cure."""
    try:
        yield
    except OSError as error:
        _explain(path, error)


def _explain(path: Path, error: OSError) -> NoReturn:
    elsewhere = error.filename is not None and not str(error.filename).startswith(str(path.parent))
    reason = f"{path.parent}: {error.strerror or error}"
    # A run's folder can be full or read-only too, and moving the cache would not help there.
    in_cache = path.is_relative_to(geofm_cache())
    if error.errno in _FULL:
        elsewhere_hint = " or set GEOFM_CACHE to a folder on another disk" if in_cache else ""
        raise StoreError(
            f"{reason}. The disk is full: free some space, remove old entries with 'geofm-eval cache --prune features'"
            f"{elsewhere_hint}"
        ) from error
    cure = "set GEOFM_CACHE to a folder that you own" if in_cache else "make it writable for this user"
    if error.errno in _REFUSED and not elsewhere:
        raise StoreError(f"{reason}. The folder cannot be written: {cure}") from error
    if error.errno in _NO_FOLDER and not elsewhere:
        raise StoreError(f"{reason}. Expected a folder: move that file away, or {cure}") from error
    raise error


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a path across threads and processes; the operating system frees it when its holder is killed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that is at work on %s", target)
        lock.acquire(poll_interval=0.1)
    try:
        yield
    finally:
        lock.release()


def publish_directory(final: Path, build: Callable[[Path], dict[str, Any]], manifest: str) -> dict[str, Any]:
    """Return what the manifest of an intact directory says, building the directory first where it is absent or damaged.

    However many processes ask at once, one builds and the others wait for it. A directory that is there already is read
    without a lock, so that a read-only cache serves what it holds.

    Args:
        final: the directory; its parent is made when needed.
        build: writes the files into the (temporary) folder that it is given and returns what the manifest is to hold
            beside the checksums.
        manifest: name of the manifest, written last.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    with storing(final):
        if problem_with(final, manifest) is not None:
            with locked(final):
                _build_when_needed(final, build, manifest)
        with suppress(OSError):  # the time of the last use, which a read-only cache cannot keep
            os.utime(final)
        return read_manifest(final, manifest)


def _build_when_needed(final: Path, build: Callable[[Path], dict[str, Any]], manifest: str) -> None:
    problem = problem_with(final, manifest)
    if problem is None:
        return
    if final.exists():
        _set_aside(final, problem)
    # Only the holder of this key's lock builds it, so whatever is half-built here was left by a process that died.
    for stale in final.parent.glob(f".{final.name}{_TEMPORARY}*"):
        shutil.rmtree(stale)
    temporary = final.with_name(f".{final.name}{_TEMPORARY}{os.getpid()}")
    try:
        temporary.mkdir()
        content = build(temporary)
        files = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / manifest, {"format": MANIFEST_FORMAT, "key": final.name, "files": files, **content})
        os.rename(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remember(final, files)


def _checksum(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, once it is on the disk: delayed write errors surface here, not at the next reader."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _set_aside(final: Path, problem: str) -> None:
    number = 1
    while (aside := final.with_name(f"{final.name}{_DAMAGED}{number}")).exists():
        number += 1
    os.rename(final, aside)
    log.warning("%s is damaged (%s): moved to %s and built anew", final, problem, aside.name)


def read_manifest(folder: Path, manifest: str) -> dict[str, Any]:
    """Parse the manifest of a directory."""
    content: dict[str, Any] = json.loads((folder / manifest).read_text(encoding="utf-8"))
    return content


def problem_with(folder: Path, manifest: str) -> str | None:
    """Say what is wrong with a stored directory; None when it is intact.

    Sizes are compared on every call; a sha256 when this process first meets the file, and again after a change.
    """
    try:
        content = read_manifest(folder, manifest)
        expected = {str(name): (int(entry["size"]), str(entry["sha256"])) for name, entry in content["files"].items()}
    except FileNotFoundError:
        return f"{manifest} is absent"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{manifest} is not readable: {error}"
    seen = _verified.get(str(folder), {})
    for name, (size, sha256) in expected.items():
        problem = _problem_with_file(folder / name, size, sha256, seen.get(name))
        if problem is not None:
            return problem
    _remember(folder, expected)
    return None


def _problem_with_file(path: Path, size: int, sha256: str, seen: tuple[int, int] | None) -> str | None:
    try:
        status = path.stat()
        if status.st_size != size:
            return f"{path.name} has {status.st_size} bytes, expected {size}"
        if seen != (status.st_size, status.st_mtime_ns) and file_sha256(path) != sha256:
            return f"{path.name} does not match its sha256"
    except FileNotFoundError:
        return f"{path.name} is absent"
    return None


def _remember(folder: Path, names: Collection[str]) -> None:
    states = {name: (folder / name).stat() for name in names}
    _verified[str(folder)] = {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}


def list_cache(kind: str | None = None, older_days: float = 0.0) -> list[CacheEntry]:
    """List what the cache holds, largest first.

    Args:
        kind: one of KINDS; None lists all of them.
        older_days: list only what was not used for so many days.

    Raises:
        ContractError: the kind is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise ContractError(f"cache kind '{kind}' is unknown; known kinds: {', '.join(KINDS)}")
    folders = [(place, path) for place, pattern in _LAYOUTS.items() for path in (geofm_cache() / place).glob(pattern)]
    entries = [entry for place, path in folders if path.is_dir() and (entry := _entry(place, path)) is not None]
    chosen = [entry for entry in entries if kind in (None, entry.kind) and entry.age_days >= older_days]
    return sorted(chosen, key=lambda entry: (-entry.bytes, entry.key))


def _entry(place: str, path: Path) -> CacheEntry | None:
    """Describe one directory; None when another process renames or removes it meanwhile."""
    kind = "unfinished" if _TEMPORARY in path.name else "damaged" if _DAMAGED in path.name else place
    key = (
        path.name
        if place in ("features", "sweeps", "noise", "maps", "trainings", "tuned")
        else f"{path.parent.name}/{path.name}"
    )
    try:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return CacheEntry(kind, key, path, size, max(0.0, time.time() - path.stat().st_mtime) / 86_400)
    except FileNotFoundError:
        return None


def prune_cache(kind: str | None = None, older_days: float = 0.0) -> list[CacheEntry]:
    """Remove what ``list_cache`` lists for the same arguments, except what a process is building at this moment.

    Returns:
        The entries that were removed.

    Raises:
        ContractError: the kind is unknown.
        StoreError: the cache cannot be written.
    """
    return [entry for entry in list_cache(kind, older_days) if _remove(entry)]


def _remove(entry: CacheEntry) -> bool:
    """Remove one entry under its lock, first from sight and then from the disk: no reader meets a half-removed one."""
    name = entry.path.name.split(_TEMPORARY)[0].removeprefix(".")
    with storing(entry.path):
        try:
            with FileLock(entry.path.with_name(f".{name}.lock"), timeout=0):
                hidden = entry.path.with_name(f".{name}{_TEMPORARY}{uuid.uuid4().hex}")
                os.rename(entry.path, hidden)
                shutil.rmtree(hidden)
        except Timeout:
            log.info("%s is in use and stays", entry.path)
            return False
    return True
