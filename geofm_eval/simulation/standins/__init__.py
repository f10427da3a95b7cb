"""Stand-ins: small simulated data sets in the official on-disk layouts, made on first use and kept in the cache.

They exist so that everything can be run without data; they are marked as simulated wherever their results are shown.
"""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.generators import generator_version
from geofm_eval.errors import ContractError, DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.sharing import building, locked, publish
from geofm_eval.simulation.standins import (
    ai4smallfarms,
    biomassters,
    eurosat,
    fuel_moisture,
    hls_burn_scars,
    mados,
    neuco,
    pastis,
    sen1floods11,
)
from geofm_eval.store import content_hash, file_sha256, storing, write_json

log = logging.getLogger(__name__)

_MANIFEST = "standin.json"

GENERATORS: dict[str, Callable[[Path, TaskSpec], None]] = {
    "eurosat": eurosat.write_eurosat,
    "sen1floods11": sen1floods11.write_sen1floods11,
    "hls_burn_scars": hls_burn_scars.write_hls_burn_scars,
    "mados": mados.write_mados,
    "ai4smallfarms": ai4smallfarms.write_ai4smallfarms,
    "pastis": pastis.write_pastis,
    "neuco": neuco.write_neuco,
    "biomassters": biomassters.write_biomassters,
    "fuel_moisture": fuel_moisture.write_fuel_moisture,
}
"""Writers of stand-ins by the name that tasks use: (an absent or empty folder, the task)."""


def ensure_standin(task: TaskSpec) -> Path:
    """Return the folder of a task's stand-in, writing it first where it is absent or damaged.

    Tasks on the same simulated data (the same generator, sizes, classes and size of chips) share a folder.

    However many processes ask at once, one is kept. The folder appears whole or not at all.

    Raises:
        ContractError: the task names no known generator.
        Unavailable: rasterio, which writes the images, is not installed.
        StoreError: the disk is full or the cache cannot be written.
    """
    if task.standin not in GENERATORS:
        raise ContractError(f"task '{task.slug}': stand-in '{task.standin}' is unknown; known: {', '.join(GENERATORS)}")
    identity = {"sizes": task.sizes, "classes": task.classes, "chip": task.options.get("chip")}
    version = f"v{task.version}-{generator_version(task)}-{content_hash(identity)[:12]}"
    final = geofm_cache() / "standins" / task.standin / version
    if _problem(final) is not None:
        with storing(final), locked(final):
            if _problem(final) is not None:
                _publish(final, task, GENERATORS[task.standin])
    return final


def _problem(folder: Path) -> str | None:
    """Say which file is not as it was written; None when all of them are.

    A file that did not change since it was last hashed is not read again.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files = {folder / name: sha256 for name, sha256 in manifest["files"].items()}
        if manifest["sha256"] != content_hash(manifest["files"]):
            return f"{_MANIFEST} does not match its sha256"
    except FileNotFoundError:
        return f"{_MANIFEST} is absent"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{_MANIFEST} is not readable: {error}"
    added = {path for path in _files(folder) if path.name != _MANIFEST} - set(files)
    if added:
        return f"{min(added).relative_to(folder)} was added"
    try:
        found = hashes_of(files, folder)
    except DataError as error:
        return str(error)
    changed = [path for path, sha256 in files.items() if found[path] != sha256]
    return f"{min(changed).relative_to(folder)} does not match its sha256" if changed else None


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder; hidden ones are of the system or of locks."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _publish(final: Path, task: TaskSpec, write: Callable[[Path, TaskSpec], None]) -> None:
    log.info("writing the stand-in %s to %s", task.slug, final)
    with building(final) as temporary:
        temporary.rmdir()  # writers make their folder
        write(temporary, task)
        files = {path.relative_to(temporary).as_posix(): file_sha256(path) for path in _files(temporary)}
        content = {"standin": task.standin, "simulated": True, "files": files, "sha256": content_hash(files)}
        write_json(temporary / _MANIFEST, content)
        # A stand-in holds nothing that cannot be made again: a damaged one is removed.
        publish(temporary, final, _problem)
