"""What the cache holds: its kinds of entries, how much they take, and removing those that are no longer used."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from geofm_eval.errors import ContractError
from geofm_eval.paths import geofm_cache
from geofm_eval.sharing import TEMPORARY, is_abandoned, lock_of, remove_at_once
from geofm_eval.store import DAMAGED, storing

log = logging.getLogger(__name__)

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
    "contents",
    "inspections",
    "verified",
    "weights",
    "damaged",
    "unfinished",
)
"""What a cache holds: finished directories (``noise``: probes solved again with last-digit noise on their features; of
pretraining the scenes, not the checkpoints), files (hashes of data, which items of it can be used, which records were
checked, downloaded weights), damaged directories set aside, and what killed processes left."""

_LAYOUTS = {
    **dict.fromkeys(("features", "sweeps", "noise", "maps", "pretraining"), "v*/*"),
    **dict.fromkeys(("standins", "references", "trainings"), "*/*"),
    "tuned": "*",
    "contents": "*/*.json",
    **dict.fromkeys(("inspections", "verified"), "*.json"),
    "weights": "*",
}
_FILES = ("contents", "inspections", "verified", "weights")
"""Kinds whose entries are files."""


@dataclass(frozen=True)
class CacheEntry:
    """One directory of the cache, or a file that is an entry by itself.

    Args:
        kind: one of KINDS.
        key: name that the directory is found by, such as a block's key or ``eurosat_sim/v1-1``.
        path: the directory or file.
        bytes: size of its files.
        age_days: days since it was last used.
    """

    kind: str
    key: str
    path: Path
    bytes: int
    age_days: float


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
    found = [
        (place, path) for place, path in folders if path.is_dir() == (place not in _FILES) and path.suffix != ".lock"
    ]
    entries = [entry for place, path in found if (entry := _entry(place, path)) is not None]
    chosen = [entry for entry in entries if kind in (None, entry.kind) and entry.age_days >= older_days]
    return sorted(chosen, key=lambda entry: (-entry.bytes, entry.key))


def _entry(place: str, path: Path) -> CacheEntry | None:
    """Describe one directory or file; None when another process renames or removes it meanwhile."""
    kind = "unfinished" if TEMPORARY in path.name else "damaged" if DAMAGED in path.name else place
    key = f"{path.parent.name}/{path.name}" if place in ("pretraining", "standins", "references") else path.name
    try:
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
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
    """Remove one entry under its lock; what a process is building stays."""
    name = entry.path.name.split(TEMPORARY)[0].removeprefix(".")
    lock = lock_of(entry.path.with_name(name))
    with storing(entry.path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s is in use and stays", entry.path)
            return False
        except (OSError, NotImplementedError) as error:
            log.debug("%s is removed without a lock: %s", entry.path, error)
        try:
            if entry.kind == "unfinished" and not is_abandoned(entry.path):
                return False
            if entry.kind in _FILES:
                entry.path.unlink(missing_ok=True)
            else:
                remove_at_once(entry.path)
        finally:
            lock.release()
    return True
