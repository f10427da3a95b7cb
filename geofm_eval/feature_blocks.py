"""Feature blocks: pooled features of every tap from one frozen pass over a split, cached as plain arrays."""

import functools
import json
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.catalog import TaskSpec
from geofm_eval.data.embeddings.source import EmbeddingSource
from geofm_eval.data.identity import generator_version, reader_identity
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import Split
from geofm_eval.errors import ContractError, DataError
from geofm_eval.extraction import DTYPE, Extraction
from geofm_eval.lookup import Lookup
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.sharing import building, locked
from geofm_eval.store import content_hash, problem_with, publish_directory, read_manifest

__all__ = ["BATCH_SIZE", "DTYPE", "FEATURE_VERSION", "FeatureBlock", "block_key", "extract", "look_up", "stored_block"]

FEATURE_VERSION = 2
"""Increase whenever the same weights and pixels would give other features."""

MANIFEST = "block.json"
BATCH_SIZE = {"cpu": 16, "cuda": 256}


@dataclass(frozen=True)
class FeatureBlock:
    """Pooled features of every tap of one backbone over one split, on disk.

    Args:
        path: directory with one ``<tap>.<pooling>.npy`` of (n, D) float32 each, ``ids.json`` and ``block.json``.
        key: hash of everything that determines the features.
        ids: id of the sample of every row.
        taps: ordered tap names.
        poolings: ``mean`` and, with a class token, ``cls``.
        meta: measurements of the extraction: items, seconds, images_per_second, batch_size, device, dtype,
            peak_memory_bytes (GPU only), valid_share, channels (band, mean, std as seen by the model), inputs. Blocks
            of embeddings from files also have rows, surplus and missing, by tap.
    """

    path: Path
    key: str
    ids: tuple[str, ...]
    taps: tuple[str, ...]
    poolings: tuple[str, ...]
    meta: dict[str, Any]

    def features(self, tap: str, pooling: str = "mean") -> np.ndarray:
        """Return memory-mapped, read-only (n, D) float32 features.

        Raises:
            ContractError: the block has no such tap or pooling.
        """
        if tap not in self.taps or pooling not in self.poolings:
            raise ContractError(
                f"{self.path} has no features '{tap}' with pooling '{pooling}'; "
                f"taps: {', '.join(self.taps)}; poolings: {', '.join(self.poolings)}"
            )
        features: np.ndarray = np.load(self.path / f"{tap}.{pooling}.npy", mmap_mode="r", allow_pickle=False)
        return features


def block_key(loaded: LoadedBackbone, adapter: InputAdapter, split: Split) -> str:
    """Hash everything that determines the features of a split: weights, architecture, inputs, recipe and samples.

    Labels and tasks are not included, so tasks on the same samples share a block. For embeddings from files, these are
    the contents of the files, the options of the entry, and the ids of the samples.
    """
    spec = loaded.spec
    if spec.precomputed:
        return EmbeddingSource(spec).key(loaded.weights_sha256, split.items)
    return content_hash(
        {
            "feature_version": FEATURE_VERSION,
            "dtype": DTYPE,
            "weights_sha256": loaded.weights_sha256,
            "architecture": spec.architecture.rpartition(":")[2],
            "code_sha256": loaded.code_sha256,
            "options": spec.options,
            "taps": spec.taps,
            "poolings": spec.poolings,
            # Other settings of a recipe concern probes, which share the block.
            "recipe": adapter.recipe.model_dump(mode="json", include={"normalisation", "resize", "temporal", "fill"}),
            "inputs": adapter.report.as_dict(),
            "stored": _stored_pixels(split.task),
            "items_sha256": split.items_sha256,
        }
    )


def _stored_pixels(task: TaskSpec) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "reader": reader_identity(task),
        # Neither the target nor the splitting into blocks affects the pixels.
        "options": {name: value for name, value in task.options_without_target.items() if name != "blocks"},
        "bands": task.bands,
        "nodata": task.nodata,
        "dates": task.dates,
    }
    if task.simulated:
        # Another generator version writes other pixels to files of the same names and sizes.
        stored |= {"standin": task.standin, "version": task.version, "generator": generator_version(task)}
    return stored


def extract(
    loaded: LoadedBackbone,
    adapter: InputAdapter,
    split: Split,
    *,
    device: str = "cpu",
    batch_size: int | None = None,
    progress: StartProgress = LogProgress,
) -> FeatureBlock:
    """Return the feature block of a split; extract it first if the cache has no intact copy.

    Peak memory is that of one batch, for any number of samples.

    Args:
        loaded: frozen backbone on ``device``.
        adapter: converts the split's images to the backbone's input.
        split: samples to extract.
        device: torch device.
        batch_size: samples per forward pass; by default 16 on a CPU and 256 on a GPU. The features do not depend on it.
        progress: starts a progress display for a new extraction.

    Raises:
        ContractError: the backbone violates its contract or returns a value that is not finite.
        DataError: a sample cannot be read or has no valid pixel.
        StoreError: the cache cannot be written.
    """
    key = block_key(loaded, adapter, split)
    path = geofm_cache() / "features" / "v1" / key
    size = batch_size or BATCH_SIZE[torch.device(device).type]
    extraction = Extraction(loaded, adapter, split, torch.device(device), size, progress)
    publish_directory(path, extraction.write, MANIFEST)
    return _open(path)


def look_up(loaded: LoadedBackbone, adapter: InputAdapter, splits: Mapping[str, Split], name: str) -> FeatureBlock:
    """Return the feature block of a split for embeddings from files; no pixels are read.

    The files are read once: blocks of the other splits that the cache lacks are stored too.

    Args:
        loaded: the entry, see :mod:`geofm_eval.backbones.precomputed`.
        adapter: describes the input.
        splits: all splits of the task, whose samples must have rows.
        name: the split.

    Raises:
        ContractError: the entry does not fit the files.
        DataError: a file is damaged, or samples have no row.
        StoreError: the cache cannot be written.
    """
    root = geofm_cache() / "features" / "v1"
    paths = {one: root / block_key(loaded, adapter, split) for one, split in splits.items()}
    write = functools.partial(_write_splits, Lookup(loaded, adapter, splits), paths, name)
    # Processes that ask for other splits wait here, because each of them would hold a split that another one stores.
    turn = root / f"lookup-{content_hash([path.name for path in paths.values()])}"
    with locked(turn) if problem_with(paths[name], MANIFEST) is not None else nullcontext():
        publish_directory(paths[name], write, MANIFEST)
    return _open(paths[name])


def _write_splits(lookup: Lookup, paths: Mapping[str, Path], name: str, folder: Path) -> dict[str, Any]:
    """Write a split to the folder, and publish the other splits that are missing."""
    with ExitStack() as stack:
        missing = [one for one in paths if one != name and problem_with(paths[one], MANIFEST) is not None]
        others = {one: stack.enter_context(building(paths[one])) for one in missing}
        contents = lookup.write({name: folder, **others})
        for one, written in others.items():
            publish_directory(paths[one], functools.partial(_moved, written, contents[one]), MANIFEST)
    return contents[name]


def _moved(written: Path, content: dict[str, Any], folder: Path) -> dict[str, Any]:
    for path in written.iterdir():
        path.rename(folder / path.name)
    return content


def stored_block(key: str) -> FeatureBlock:
    """Return the feature block of a key from the cache.

    Raises:
        DataError: the cache does not contain the block, or the block is damaged.
    """
    path = geofm_cache() / "features" / "v1" / key
    problem = problem_with(path, MANIFEST)
    if problem is not None:
        raise DataError(f"{path}: {problem}. Run the case again with the same GEOFM_CACHE to extract the block")
    return _open(path)


def _open(path: Path) -> FeatureBlock:
    content = read_manifest(path, MANIFEST)
    ids = json.loads((path / "ids.json").read_text(encoding="utf-8"))
    return FeatureBlock(
        path, path.name, tuple(ids), tuple(content["taps"]), tuple(content["poolings"]), dict(content["meta"])
    )
