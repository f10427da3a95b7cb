"""Stand-ins: small simulated data sets in the official on-disk layouts, generated on first use and kept in the cache.

With them everything can run without data. Their results are always marked as simulated.
"""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.identity import generator_version
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
"""Writers of stand-ins by the name that tasks use, called with a missing or empty folder and the task.

The task's ``sizes`` give the samples per split, its option ``chip`` the pixels per side (EuroSAT: always 64). Writers
raise Unavailable if the package that writes the files, rasterio or zarr, is not installed.
"""


def ensure_standin(task: TaskSpec) -> Path:
    """Return the folder of a task's stand-in; generate it first if it is missing or damaged.

    Tasks on the same simulated data (equal generator, sizes, classes and chip size) share a folder. If several
    processes ask at once, one folder is kept. It appears only when it is complete.

    Raises:
        ContractError: the task's generator is unknown.
        Unavailable: rasterio, which writes the images, is not installed.
        StoreError: the disk is full or the cache cannot be written.
    """
    if task.standin not in GENERATORS:
        raise ContractError(
            f"task '{task.slug}': stand-in '{task.standin}' is unknown; expected one of {', '.join(GENERATORS)}"
        )
    identity = {"sizes": task.sizes, "classes": task.classes, "chip": task.options.get("chip")}
    version = f"v{task.version}-{generator_version(task)}-{content_hash(identity)[:12]}"
    final = geofm_cache() / "standins" / task.standin / version
    if _problem(final) is not None:
        with storing(final), locked(final):
            if _problem(final) is not None:
                _publish(final, task, GENERATORS[task.standin])
    return final


def _problem(folder: Path) -> str | None:
    """Describe a file that is not as it was written; None if there is none.

    Files that are unchanged since they were last hashed are not read again.
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
    """Files below a folder, without the hidden ones of systems and locks."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _publish(final: Path, task: TaskSpec, write: Callable[[Path, TaskSpec], None]) -> None:
    log.info("writing the stand-in %s to %s", task.slug, final)
    with building(final) as temporary:
        temporary.rmdir()  # writers make their folder
        write(temporary, task)
        files = {path.relative_to(temporary).as_posix(): file_sha256(path) for path in _files(temporary)}
        content = {"standin": task.standin, "simulated": True, "files": files, "sha256": content_hash(files)}
        write_json(temporary / _MANIFEST, content)
        # A damaged stand-in is removed, because it can be generated again.
        publish(temporary, final, _problem)
