"""Availability of packages, weights and data: cheap checks that neither import torch nor read files."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec, WeightsSpec
from geofm_eval.catalog.embeddings import files_of, read_options
from geofm_eval.errors import Unavailable
from geofm_eval.paths import geofm_cache, geofm_home, in_home, in_package

PACKAGES = {
    "timm_vit": "timm",
    "pocket": "timm",
    "prithvi": "timm",
    "terramind": "timm",
    "galileo": "rslearn",
    "croma": "torchgeo",
    "dofa": "torchgeo",
}
"""Package that a built-in architecture needs in addition to torch."""

READER_PACKAGES = {"neuco": "zarr", "pastis": "", "fuel_moisture": ""}
"""Package that a reader needs; rasterio by default."""

ALLOW_DOWNLOAD = "GEOFM_ALLOW_DOWNLOAD"
"""Environment variable that allows published weights to be downloaded on demand if set to 1."""

INSTALL = {
    "timm": "Install it with: pip install timm",
    "torchgeo": "Install it with: pip install torchgeo requests",
    "rslearn": "Install the extra: pip install 'geofm-eval[galileo]'",
    "rasterio": "Install it with: pip install rasterio",
    "zarr": "Install it with: pip install zarr",
}


@dataclass(frozen=True)
class Availability:
    """What is missing for each model and task of a catalog; None if nothing is."""

    models: dict[str, Unavailable | None]
    tasks: dict[str, Unavailable | None]


def availability(catalog: Catalog) -> Availability:
    """Check every model and task of the catalog."""
    return Availability(
        models={slug: model_gap(spec) for slug, spec in catalog.models.items()},
        tasks={slug: task_gap(spec) for slug, spec in catalog.tasks.items()},
    )


def model_gap(model: ModelSpec, weights: Path | None = None) -> Unavailable | None:
    """Return what is missing for a model: its package or its weights.

    Args:
        model: catalog entry.
        weights: file that replaces the entry's own weights.
    """
    if model.precomputed:
        return _gap_of_embeddings(model)
    package = PACKAGES.get(model.architecture)
    if package is not None and importlib.util.find_spec(package) is None:
        return Unavailable("package", package, INSTALL[package])
    if model.weights is None or (weights is not None and weights.exists()) or downloadable(model.weights):
        return None
    if model.weights.packaged:
        path = in_package(model.weights.file)
        return None if path.exists() else Unavailable("weights", f"{path} is missing", how_to_get_weights(model))
    return _gap_in_home(model.weights.file, "weights", how_to_get_weights(model))


def task_gap(task: TaskSpec) -> Unavailable | None:
    """Return what is missing for a task: its data, or the package that reads them."""
    package = "" if ":" in task.reader else READER_PACKAGES.get(task.reader, "rasterio")
    if task.options.get("edition") != "rgb" and package and importlib.util.find_spec(package) is None:
        return Unavailable("package", package, INSTALL[package])
    return None if task.simulated else _gap_in_home(task.root, "data", task.how_to_get)


def downloaded_weights(weights: WeightsSpec) -> Path:
    """Return the path of downloaded weights."""
    return geofm_cache() / "weights" / Path(weights.file).name


def downloadable(weights: WeightsSpec) -> bool:
    """Return whether weights outside the home are available: downloaded earlier, or downloads are allowed."""
    published = weights.enum is not None or weights.url is not None
    return published and (downloaded_weights(weights).exists() or os.environ.get(ALLOW_DOWNLOAD) == "1")


def how_to_get_weights(model: ModelSpec) -> str:
    """Return one sentence on where the weights are published and where to put them."""
    weights = model.weights
    if weights is None:
        return "No weights are needed."
    if weights.how_to_get:
        return weights.how_to_get
    if weights.packaged:
        path = in_package(weights.file)
        return f"It is part of the package; restore it with 'git checkout -- {path}', or install geofm-eval again."
    address = weights.url or (f"torchgeo.models.{weights.enum}.url" if weights.enum else model.source)
    what = f"{' and '.join(weights.parts) or 'the file'} published at {address}"
    place = f"{geofm_home() or 'GEOFM_HOME'}/{weights.file}"
    by_hand = f"put {what} {'into' if weights.parts else 'at'} {place}."
    if weights.url is None and weights.enum is None:
        return f"P{by_hand[1:]}"
    return f"Run: geofm-eval fetch {model.slug}; or {by_hand}"


def _gap_of_embeddings(model: ModelSpec) -> Unavailable | None:
    names = [file.file for file in files_of(read_options(model.architecture, model.options))]
    gaps = (_gap_in_home(name, "data", how_to_get_embeddings(model)) for name in names)
    return next((gap for gap in gaps if gap is not None), None)


def how_to_get_embeddings(model: ModelSpec) -> str:
    """Return one sentence on where files of embeddings are expected."""
    return f"Put the file below GEOFM_HOME or beside the catalog file, or change the options of [models.{model.slug}]."


def _gap_in_home(relative: str, kind: str, how_to_get: str) -> Unavailable | None:
    try:
        in_home(relative, kind, how_to_get)
    except Unavailable as gap:
        return gap
    return None
