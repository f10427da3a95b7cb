"""Sharing of a folder between processes on any number of hosts: unique names, atomic renames, and locks.

Correctness does not depend on locks, because network file systems may have none, or locks for one host only. Everything
is built under a unique name and renamed when complete. If another process was first, the copy is discarded. Locks only
avoid duplicate work.
"""

import functools
import hashlib
import logging
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

TEMPORARY = ".tmp-"
"""Part of the name of unfinished folders: ``.<final name>.tmp-<writer>``."""

ABANDONED_DAYS = 7.0
"""Days without a change after which an unfinished folder of another host counts as abandoned."""

_TRIES = 20


def writer_name() -> str:
    """Return a name that is unique over all hosts: ``<host>-<process id>-<random>``.

    Process ids repeat between hosts that share a disk, and between containers of one host; the host part distinguishes
    them.
    """
    return f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


@functools.cache
def _host() -> str:
    name = re.sub(r"[^A-Za-z0-9]+", ".", platform.node())[:32] or "host"
    try:
        processes = os.readlink("/proc/self/ns/pid")  # process ids of a container differ from those of the host
    except OSError:
        processes = ""
    return f"{name}.{hashlib.sha256(f'{platform.node()} {processes}'.encode()).hexdigest()[:6]}"


def temporary_beside(final: Path) -> Path:
    """Return a unique hidden path on the disk of ``final``."""
    return final.with_name(f".{final.name}{TEMPORARY}{writer_name()}")


@contextmanager
def building(final: Path) -> Iterator[Path]:
    """Yield an empty folder next to ``final`` to build in; remove it at the end if it was not published.

    Remains of dead processes with the same ``final`` are removed first.
    """
    for path in final.parent.glob(f".{final.name}{TEMPORARY}*"):
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    temporary = temporary_beside(final)
    try:
        temporary.mkdir(parents=True)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_abandoned(temporary: Path) -> bool:
    """Return whether no process uses a temporary path: its process is dead, or nothing changed for a week.

    Only processes of this host can be checked; for other hosts, the time of the last change decides.
    """
    host, _, rest = temporary.name.rpartition(TEMPORARY)[2].partition("-")
    number = rest.partition("-")[0]
    if host == _host() and number.isdigit():
        return not _is_running(int(number))
    try:
        newest = max(path.stat().st_mtime for path in (temporary, *temporary.rglob("*")))
    except FileNotFoundError:  # it is changing right now
        return False
    return time.time() - newest > ABANDONED_DAYS * 86_400


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no /proc on this system, or the process has just ended
        return True
    return state != "Z"  # a zombie has ended, but its parent has not read its status yet


def publish(
    temporary: Path,
    final: Path,
    problem: Callable[[Path], str | None],
    displace: Callable[[Path, str], object] | None = None,
) -> bool:
    """Rename a finished folder to its final name, unless an intact one already exists.

    Args:
        temporary: the finished folder.
        final: final path.
        problem: returns what is wrong with a folder; None if it is intact.
        displace: moves a damaged folder away, given the folder and its problem; None removes it.

    Returns:
        True if the folder was published; False if another process was first.

    Raises:
        OSError: the folder cannot be renamed.
    """
    for remaining in reversed(range(_TRIES)):
        try:
            os.rename(temporary, final)
            return True
        except OSError as error:
            found = problem(final)
            if found is None:
                log.info("%s was published by another process in the meantime; using its copy", final)
                return False
            if not (final.exists() and temporary.exists() and remaining):
                raise
            log.debug("%s cannot be replaced yet: %s", final, error)
        (displace or _remove)(final, found)
    return False


def _remove(folder: Path, problem: str) -> None:
    log.warning("%s is damaged (%s); it is created again", folder, problem)
    remove_at_once(folder)


def remove_at_once(folder: Path) -> None:
    """Hide a folder and then delete it, so that no reader finds part of it."""
    hidden = temporary_beside(folder)
    with suppress(FileNotFoundError):  # another process has removed it
        os.rename(folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def lock_of(target: Path) -> FileLock:
    """Return the lock of a path: a file next to it that the operating system unlocks when its holder ends."""
    # Never a soft lock: processes would wait forever for that of a host that died.
    return FileLock(target.with_name(f".{target.name}.lock"), fallback_to_soft=False)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a path across threads and processes; continue without one if locks are not supported.

    Locks save work but are not needed for correctness: the file system may have none, or the folder may belong to
    another user.
    """
    lock = lock_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that works on %s", target)
            lock.acquire(poll_interval=0.1)
    except (OSError, NotImplementedError) as error:
        log.debug("working on %s without a lock: %s", target, error)
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()
