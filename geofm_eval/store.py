"""Store directories and files so that they are complete or absent.

A directory is built under a temporary name, checksummed, and renamed when it is complete. An interrupted build leaves
only a hidden temporary folder, which the next build of the same key removes. A directory whose files do not match their
checksums is moved aside and built again.
"""

import errno
import functools
import hashlib
import itertools
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from geofm_eval.errors import GeofmError
from geofm_eval.paths import variable_of
from geofm_eval.seals import content_hash as content_hash
from geofm_eval.seals import is_whole, parse_json, sealed
from geofm_eval.sharing import building, locked, publish, remove_at_once, temporary_beside

log = logging.getLogger(__name__)

MANIFEST_FORMAT = 2
"""Version of manifests; since 2 they have a checksum of their own content, including results."""

DAMAGED = ".damaged-"
"""Part of the name of a damaged directory: ``<key>.damaged-<number>``."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_OVERTAKEN = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY}
_DENIED = {errno.EACCES, errno.EPERM}
_CURES = {
    **dict.fromkeys(_FULL, ("The disk is full", "free some space{prune}, or {move} on another disk")),
    **dict.fromkeys((errno.EROFS, *_DENIED), ("The folder cannot be written", "{move}")),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), ("Expected a folder", "move that file away, or {move}")),
    errno.ENOENT: ("The folder cannot be made, or has vanished", "make it again, or {move}"),
    errno.ENAMETOOLONG: ("The path is too long", "{move} with a shorter path"),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
        ("The disk does not answer", "look at its mount, or {move} on another disk"),
    ),
}
"""Meaning and remedy of every error of the operating system."""

# Files whose sha256 this process has verified: (size, modification time) by folder and file name.
_verified: dict[str, dict[str, tuple[int, int]]] = {}


class StoreError(GeofmError):
    """The cache cannot be written or read: full disk, read-only folder, or a file in place of a folder."""


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write JSON; other processes see the old file or the complete new one.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
        ValueError: a number is NaN or infinite.
    """
    write_bytes(path, json.dumps(content, indent=1, allow_nan=False).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; other processes see the old file or the complete new one. Its folder is created if necessary.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    temporary = temporary_beside(path)
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


def remember(path: Path, compute: Callable[[], Any]) -> Any:
    """Return the content of a JSON file of the cache; it is computed and stored if the file is missing or damaged.

    If the file cannot be written, a warning is logged and only this process uses the result.

    Args:
        path: the file.
        compute: returns a JSON-serialisable object; None counts as missing.
    """
    known = _read_json(path)
    if known is None:
        with locked(path):
            known = _read_json(path)
            if known is None:
                known = compute()
                try:
                    write_json(path, sealed({"known": known}))
                except StoreError as error:
                    log.warning("the result was not stored for later sessions: %s", error)
    return known


def _read_json(path: Path) -> Any:
    try:
        content = parse_json(path.read_bytes())
        return content["known"] if is_whole(content) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn errors of the operating system at ``path`` into a StoreError that names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        _explain(path, error)


def _explain(path: Path, error: OSError) -> NoReturn:
    """Raise a StoreError if the error concerns this path or a folder above it; raise other errors unchanged."""
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path.parent
    concerned = str(named).startswith(str(path.parent)) or path.is_relative_to(named)
    if error.errno not in _CURES or not (concerned or error.errno in _FULL):
        raise error
    variable = variable_of(path)
    move = f"set {variable} to a folder that you own" if variable else "choose a folder that you own"
    found, cure = _CURES[error.errno]
    if error.errno in _DENIED and _is_private(named):
        found = "It cannot be read, and its owner must allow that"
    prune = ", remove old entries with 'geofm-eval cache --prune features'" if variable == "GEOFM_CACHE" else ""
    where = path.parent if error.errno in _FULL else _in_the_way(named) if error.errno == errno.ENOTDIR else named
    raise StoreError(f"{where}: {error.strerror or error}. {found}: {cure.format(move=move, prune=prune)}") from error


def _in_the_way(path: Path) -> Path:
    """File at or above a path that takes the place of a folder."""
    return next((part for part in (path, *path.parents) if part.is_file()), path)


def _is_private(path: Path) -> bool:
    """True for files that only another user may read."""
    try:
        path.stat()
    except OSError as error:
        return error.errno in _DENIED
    return not os.access(path, os.R_OK)


def publish_directory(final: Path, build: Callable[[Path], dict[str, Any]], manifest: str) -> dict[str, Any]:
    """Return the manifest of a directory; build the directory first if it is missing or damaged.

    If several processes ask at once, one builds and the others wait; without file locks several may build, and one of
    them publishes. An existing directory is read without a lock, so a read-only cache works.

    Args:
        final: the directory; its parent is created if necessary.
        build: writes the files into the given temporary folder and returns further content of the manifest.
        manifest: name of the manifest, which is written last.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    with storing(final):
        if problem_with(final, manifest) is not None:
            with locked(final):
                if problem_with(final, manifest) is not None:
                    _build(final, build, manifest)
        with suppress(OSError):  # a read-only cache cannot store the time of the last use
            os.utime(final)
        return read_manifest(final, manifest)


def _build(final: Path, build: Callable[[Path], dict[str, Any]], manifest: str) -> None:
    with building(final) as temporary:
        content = build(temporary)
        files = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        listed = {"format": MANIFEST_FORMAT, "key": final.name, "files": files, **content}
        write_json(temporary / manifest, sealed(listed))
        set_aside = functools.partial(_set_aside, manifest=manifest)
        if publish(temporary, final, lambda folder: problem_with(folder, manifest), set_aside):
            _remember(final, files)


def _checksum(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file after it is written to disk, so that delayed write errors appear here."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _set_aside(final: Path, problem: str, manifest: str) -> None:
    numbers = itertools.count(1)
    while (aside := final.with_name(f"{final.name}{DAMAGED}{next(numbers)}")).exists():
        pass
    try:
        os.rename(final, aside)
    except OSError as error:
        if error.errno in _OVERTAKEN:
            return  # another process did it
        raise
    if problem_with(aside, manifest) is None:  # in the meantime another process had published an intact one
        try:
            os.rename(aside, final)
        except OSError:
            remove_at_once(aside)
        return
    log.warning("%s is damaged (%s): moved to %s and built again", final, problem, aside.name)


def read_manifest(folder: Path, manifest: str) -> dict[str, Any]:
    """Parse the manifest of a directory."""
    content: dict[str, Any] = parse_json((folder / manifest).read_bytes())
    return content


def problem_with(folder: Path, manifest: str) -> str | None:
    """Return what is wrong with a stored directory; None if it is intact.

    Sizes are compared on every call, hashes on the first call of a process and after a change of the file.
    """
    try:
        content = read_manifest(folder, manifest)
        if not is_whole(content):
            return f"{manifest} does not match its checksum"
        if content["key"] != folder.name.partition(DAMAGED)[0]:
            return f"{manifest} belongs to {str(content['key'])[:80]}"
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
