"""What a path holds: the generic reader that fits it, the reader's options, the classes, and the images to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from geofm_eval.data.readers.images import IMAGES, is_image
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.table_files import is_listing
from geofm_eval.data.tabular import TABLES, is_table
from geofm_eval.errors import ContractError, DataError
from geofm_eval.looking.columns import LABELS

Kind = Literal["classification", "regression", "segmentation", "dense_regression"]

METRIC: dict[str, str] = {
    "classification": "accuracy",
    "regression": "r2",
    "segmentation": "miou",
    "dense_regression": "rmse",
}
"""Metric of a new entry by its kind."""

VECTORS = (".geojson", ".gpkg", ".shp", ".fgb")
"""Endings of files of labelled geometries, besides GeoParquet."""

MASK_WORDS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "targets", "segmentationclass")
IMAGE_WORDS = ("images", "image", "imgs", "img", "scenes", "chips", "patches", "jpegimages")
"""Names of folders that hold masks and images, in lower case."""

UNDERSTOOD = (
    "a folder with one folder of images per class, images with masks (folders images and masks, or names such as "
    "*_mask.tif), a table with a column of files or embeddings, or labelled geometries next to GeoTIFFs"
)


@dataclass(frozen=True)
class OwnSource:
    """Own data as a generic reader reads them.

    Args:
        reader: name of the reader.
        root: folder or file.
        kind: what is predicted.
        classes: names of the classes, in order; empty for numbers.
        products: files whose pixels are looked at, by product; the name is empty if there is only one kind of file.
        options: options of the reader.
        comments: remarks on fields of the entry, by field.
        counts: samples per class, or pixels per class of the masks that were read.
        warnings: what may be wrong, one sentence each.
        embedding: options of a model that reads embeddings from the same table; empty if there are none.
        windows: whether images are scenes, of which parts are read.
        dates: dates of every sample of a series; None for single images.
    """

    reader: str
    root: Path
    kind: Kind
    classes: tuple[str, ...] = ()
    products: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    embedding: Mapping[str, Any] = field(default_factory=dict)
    windows: bool = False
    dates: int | None = None


def find_source(path: Path, label: str | None = None) -> OwnSource:
    """Find out how own data are organised.

    Args:
        path: folder, table or file of labelled geometries.
        label: column of the labels of a table or of geometries; None finds it by its name.

    Raises:
        ContractError: the path does not exist, or nothing that is understood is there.
        DataError: the data are damaged or ambiguous.
    """
    from geofm_eval.looking import folders, masks, tables, vectors

    root = path.expanduser().absolute()
    if not root.exists():
        raise ContractError(f"{root} does not exist; give a folder, a table or a file of labelled geometries")
    if root.is_file():
        return _of_file(root, label)
    files = [found for found in visible(root) if found.is_file()]
    geometries = [found for found in files if found.suffix.lower() in VECTORS]
    listings = [found for found in files if is_listing(found, LABELS)]
    paired = masks.find(root)
    if paired is not None:
        return paired
    if folders.class_folders(root):
        return folders.find(root)
    if geometries:
        return vectors.find(_only(geometries), label)
    if listings:
        return tables.find(_only(listings), label)
    pictures = sum(is_image(found) for found in files)
    raise ContractError(f"{root}: found {pictures} images in it and nothing that labels them; expected {UNDERSTOOD}")


def _of_file(path: Path, label: str | None) -> OwnSource:
    from geofm_eval.looking import tables, vectors

    if path.suffix.lower() in VECTORS or vectors.is_labels(path):
        return vectors.find(path, label)
    if is_table(path):
        return tables.find(path, label)
    endings = ", ".join((*TABLES, *VECTORS))
    raise ContractError(
        f"{path}: a single file must be a table or labelled geometries ({endings}); for images ({', '.join(IMAGES)}) "
        "give their folder"
    )


def _only(found: Sequence[Path]) -> Path:
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found[:6])
    folder = found[0].parent if found else "the folder"
    raise DataError(f"{folder}: found {len(found)} files that may hold the labels ({names}); give the path of one")
