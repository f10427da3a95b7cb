"""Stand-ins: small simulated data sets in the official on-disk layouts, made on first use and kept in the cache.

They exist so that everything can be run without data; they are marked as simulated wherever their results are shown.
"""

import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.bands import SENTINEL2
from geofm_eval.data.items import NAMES
from geofm_eval.data.scene import GENERATOR_VERSION, simulate_blocks
from geofm_eval.data.scene.fields import Array
from geofm_eval.errors import ContractError, Unavailable
from geofm_eval.paths import geofm_cache
from geofm_eval.store import locked, storing, write_json

log = logging.getLogger(__name__)

_MANIFEST = "standin.json"


def ensure_standin(task: TaskSpec) -> Path:
    """Return the folder of a task's stand-in, writing it first where it is absent or damaged.

    However many processes ask at once, one writes and the others wait. The folder appears whole or not at all.

    Raises:
        ContractError: the task names no known generator.
        Unavailable: rasterio, which writes the images, is not installed.
        StoreError: the disk is full or the cache cannot be written.
    """
    if task.standin not in GENERATORS:
        raise ContractError(f"task '{task.slug}': stand-in '{task.standin}' is unknown; known: {', '.join(GENERATORS)}")
    final = geofm_cache() / "standins" / task.slug / f"v{task.version}-{GENERATOR_VERSION}"
    if not _whole(final):
        with storing(final), locked(final):
            if not _whole(final):
                _publish(final, task, GENERATORS[task.standin])
    return final


def _whole(folder: Path) -> bool:
    """True when every file that was written is there in its full size."""
    try:
        files: dict[str, int] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _publish(final: Path, task: TaskSpec, write: Callable[[Path, TaskSpec], None]) -> None:
    # Only the holder of the lock writes, so whatever is half-written was left by a process that died; and a stand-in
    # holds nothing that cannot be made again.
    for stale in final.parent.glob(f".{final.name}.tmp-*"):
        shutil.rmtree(stale)
    if final.exists():
        log.warning("%s is damaged and written anew", final)
        shutil.rmtree(final)
    temporary = final.with_name(f".{final.name}.tmp-{os.getpid()}")
    log.info("writing the stand-in %s to %s", task.slug, final)
    try:
        write(temporary, task)
        written = [path for path in temporary.rglob("*") if path.is_file()]
        files = {str(path.relative_to(temporary)): path.stat().st_size for path in written}
        write_json(temporary / _MANIFEST, {"task": task.slug, "simulated": True, "files": files})
        os.rename(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_eurosat(folder: Path, task: TaskSpec) -> None:
    """Write simulated chips as EuroSAT: ``<Class>/<Class>_<n>.tif`` and ``eurosat-{train,val,test}.txt``.

    Every class has the same number of chips in every split (the first classes one more where the sizes do not divide).

    Args:
        folder: an absent or empty folder.
        task: its ``bands`` give the order in the files and its ``sizes`` the chips per split.

    Raises:
        Unavailable: rasterio is not installed.
    """
    lists: dict[str, list[str]] = {name: [] for name in NAMES}
    sizes = task.sizes or (0, 0, 0)
    for position, kind in enumerate(task.classes):
        counts = [size // len(task.classes) + (position < size % len(task.classes)) for size in sizes]
        names = [f"{kind}_{number}" for number in range(1, sum(counts) + 1)]
        _write_class(folder / kind, names, task.bands)
        ends = np.cumsum([0, *counts])
        for split, (start, end) in zip(NAMES, itertools.pairwise(ends), strict=True):
            lists[split] += [f"{name}.jpg\n" for name in names[start:end]]
    for split, lines in lists.items():
        (folder / f"{task.options['split_lists']}-{split}.txt").write_text("".join(lines), encoding="utf-8")


def in_file_order(chips: Array, bands: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Reorder simulated (n, 13, height, width) chips to a task's bands and round them to digital numbers."""
    order = list(SENTINEL2)
    return np.rint(chips[:, [order.index(name) for name in bands]]).astype(np.uint16)


def _write_class(folder: Path, names: list[str], bands: tuple[str, ...]) -> None:
    try:
        import rasterio
    except ImportError as error:
        how = "Install it with: pip install rasterio"
        raise Unavailable("package", "rasterio, which writes stand-ins", how) from error
    folder.mkdir(parents=True)
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_400_000)}
    chips = (chip for block in simulate_blocks(folder.name, len(names)) for chip in in_file_order(block, bands))
    for name, chip in zip(names, chips, strict=True):
        count, height, width = chip.shape
        shape = {"count": count, "height": height, "width": width, "dtype": "uint16"}
        _write_tif(folder / f"{name}.tif", chip, {**shape, **place})


def _write_tif(path: Path, chip: np.ndarray[Any, Any], profile: dict[str, Any]) -> None:
    """Encode in memory and write plainly: GDAL reports a full disk late, without saying so, or not at all."""
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **profile) as file:
            file.write(chip)
        path.write_bytes(memory.read())


GENERATORS: dict[str, Callable[[Path, TaskSpec], None]] = {"eurosat": write_eurosat}
"""Writers of stand-ins by the name that tasks use."""
