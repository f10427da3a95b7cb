"""List the entries of the cache by kind, size and age, and remove those that are no longer used."""

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

_LAYOUTS = {
    "features": "v*/*",
    "sweeps": "v*/*",
    "noise": "v*/*",
    "maps": "v*/*",
    "trainings": "*/*",
    "tuned": "*",
    "standins": "*/*",
    "pretraining": "v*/*",
    "references": "*/*",
    "contents": "*/*.json",
    "inspections": "*.json",
    "splits": "*.csv",
    "costs": "*.json",
    "verified": "*.json",
    "weights": "*",
    "scripts": "*.js",
}
"""Pattern of the entries of every kind, below the folder of its name.

``noise`` holds probes solved again with last-digit noise on their features, ``pretraining`` scenes but no checkpoints,
``contents`` hashes of data, ``inspections`` which samples can be used, ``splits`` how own data were divided,
``costs`` seconds of earlier cases, ``verified`` which records were checked, and ``scripts`` the library of charts.
"""

KINDS = (*_LAYOUTS, "damaged", "unfinished")
"""Kinds of cache entries; the last two are damaged directories that were set aside, and what killed processes left."""

_FILES = ("contents", "inspections", "splits", "costs", "verified", "weights", "scripts")
"""Kinds whose entries are files."""


@dataclass(frozen=True)
class CacheEntry:
    """One directory or file of the cache, of a kind in KINDS.

    ``key`` is the name by which it is found, for example ``eurosat_sim/v1-1``; ``age_days`` counts from its last use.
    """

    kind: str
    key: str
    path: Path
    bytes: int
    age_days: float


def list_cache(kind: str | None = None, older_days: float = 0.0) -> list[CacheEntry]:
    """List the entries of the cache, largest first.

    Args:
        kind: one of KINDS; None for all.
        older_days: list only entries that were not used for this number of days.

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
    """Describe one directory or file; None if another process has just renamed or removed it."""
    kind = "unfinished" if TEMPORARY in path.name else "damaged" if DAMAGED in path.name else place
    key = f"{path.parent.name}/{path.name}" if place in ("pretraining", "standins", "references") else path.name
    try:
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        return CacheEntry(kind, key, path, size, max(0.0, time.time() - path.stat().st_mtime) / 86_400)
    except FileNotFoundError:
        return None


def prune_cache(kind: str | None = None, older_days: float = 0.0) -> list[CacheEntry]:
    """Remove the entries that ``list_cache`` lists for the same arguments, except those that a process is building now.

    Returns:
        The removed entries.

    Raises:
        ContractError: the kind is unknown.
        StoreError: the cache cannot be written.
    """
    return [entry for entry in list_cache(kind, older_days) if _remove(entry)]


def _remove(entry: CacheEntry) -> bool:
    """Remove one entry under its lock, unless a process is building it."""
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
