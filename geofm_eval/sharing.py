"""What lets processes on any number of hosts share a folder: names, a rename that one of them wins, and locks.

Correct without any lock, because network file systems may have none, or locks that hold on one host only: everything is
built under a name that no other process has and renamed when it is whole. Whoever comes second throws its copy away.
Locks only keep two processes from doing the same work.
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
"""Part of the name of whatever is not finished: ``.<final name>.tmp-<writer>``."""

ABANDONED_DAYS = 7.0
"""Days without a change after which what a process of another host left unfinished counts as abandoned."""

_TRIES = 20


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


def temporary_beside(final: Path) -> Path:
    """A hidden path on the disk of ``final`` that no other process uses."""
    return final.with_name(f".{final.name}{TEMPORARY}{writer_name()}")


@contextmanager
def building(final: Path) -> Iterator[Path]:
    """Give an empty folder beside ``final`` to build in, and remove at the end what was not published.

    What dead processes left of the same ``final`` is removed first.
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
    """True where nobody can be at work on a temporary path: its process is dead, or nothing changed for a week.

    Only processes of this host can be asked for; those of others are judged by the time of the last change.
    """
    host, _, rest = temporary.name.rpartition(TEMPORARY)[2].partition("-")
    number = rest.partition("-")[0]
    if host == _host() and number.isdigit():
        return not _is_running(int(number))
    try:
        newest = max(path.stat().st_mtime for path in (temporary, *temporary.rglob("*")))
    except FileNotFoundError:  # it changes at this moment
        return False
    return time.time() - newest > ABANDONED_DAYS * 86_400


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no such list on this system, or it has just ended
        return True
    return state != "Z"  # a zombie has ended; its parent has not collected its status yet


def publish(
    temporary: Path,
    final: Path,
    problem: Callable[[Path], str | None],
    displace: Callable[[Path, str], object] | None = None,
) -> bool:
    """Rename a finished folder to its final name; where an intact one is there already, that one stays.

    Args:
        temporary: the finished folder.
        final: where it shall be.
        problem: says what is wrong with a folder; None when it is intact.
        displace: moves a damaged folder out of the way, given the folder and its problem; None removes it.

    Returns:
        True where the folder was published; False where another process was first.

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
                log.info("%s was published by another process meanwhile: its copy is used", final)
                return False
            if not (final.exists() and temporary.exists() and remaining):
                raise
            log.debug("%s cannot be replaced at once: %s", final, error)
        (displace or _remove)(final, found)
    return False


def _remove(folder: Path, problem: str) -> None:
    log.warning("%s is damaged (%s) and made again", folder, problem)
    remove_at_once(folder)


def remove_at_once(folder: Path) -> None:
    """Remove a folder from sight first and then from the disk, so that no reader meets a half of it."""
    hidden = temporary_beside(folder)
    with suppress(FileNotFoundError):  # another process has removed it
        os.rename(folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def lock_of(target: Path) -> FileLock:
    """The lock of a path: a file beside it that the operating system unlocks when its holder ends."""
    # Never a lock that is a mere file: that of a host that died would be waited for without an end.
    return FileLock(target.with_name(f".{target.name}.lock"), fallback_to_soft=False)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a path across threads and processes, where there are locks; go on without one elsewhere.

    It saves work and is never needed for correctness: the file system may have no locks, or the folder may belong to
    another user.
    """
    lock = lock_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that is at work on %s", target)
            lock.acquire(poll_interval=0.1)
    except (OSError, NotImplementedError) as error:
        log.debug("%s is worked on without a lock: %s", target, error)
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()
