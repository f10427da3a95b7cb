"""EuroSAT on disk: ``<Class>/<Class>_<n>.tif`` (13 bands) or ``.jpg`` (RGB), with split lists or its own split file."""

import csv
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.errors import ContractError, DataError, Unavailable

SUFFIXES = {"tif": ".tif", "rgb": ".jpg"}
"""File name endings of the two editions."""

_NESTED = (
    "",
    "ds/images/remote_sensing/otherDatasets/sentinel_2/tif",
    "2750",
)
"""Where the class folders lie below the root: as they are, in torchgeo's archive, in the publishers' RGB archive."""

_SPLIT_FILES = ("splits.csv", "subset.csv")
_COLUMNS = ("file", "class", "split")


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the images of a EuroSAT folder by split.

    A ``splits.csv`` or ``subset.csv`` (columns file, class, split; group, lon and lat are optional) goes before the
    official lists: it is how a partial copy says what it holds.

    Args:
        task: its options are ``edition`` (``tif`` or ``rgb``) and ``split_lists`` (the prefix of the list files).
        root: folder of the data set.

    Raises:
        ContractError: the task's options name no edition or no list.
        Unavailable: the folder has no split file.
        DataError: a split file is damaged, or some of the three lists are absent.
    """
    suffix, prefix = _options(task)
    load = load_geotiff if suffix == ".tif" else load_image
    images = _images_root(task, root)
    for name in _SPLIT_FILES:
        if (root / name).is_file():
            return Listing(root, _read_split_file(task, root / name, images), "custom", load)
    lists = {split: root / f"{prefix}-{split}.txt" for split in NAMES}
    _check_lists(task, root, lists)
    items = {split: tuple(_read_list(task, path, images, suffix)) for split, path in lists.items()}
    return Listing(root, items, "official", load)


def _options(task: TaskSpec) -> tuple[str, str]:
    edition, prefix = task.options.get("edition"), task.options.get("split_lists")
    unknown = set(task.options) - {"edition", "split_lists"}
    if edition not in SUFFIXES or not isinstance(prefix, str) or unknown:
        raise ContractError(
            f"task '{task.slug}': options are {task.options}, expected edition = 'tif' or 'rgb' and split_lists = the "
            "prefix of the list files, such as 'eurosat'"
        )
    return SUFFIXES[edition], prefix


def _images_root(task: TaskSpec, root: Path) -> Path:
    """Folder that holds the class folders; the root itself when there are none anywhere."""
    for nested in _NESTED:
        if any((root / nested / name).is_dir() for name in task.classes):
            return root / nested
    return root


def _check_lists(task: TaskSpec, root: Path, lists: Mapping[str, Path]) -> None:
    absent = ", ".join(path.name for path in lists.values() if not path.is_file())
    if not any(path.is_file() for path in lists.values()):
        raise Unavailable("data", f"{root} has none of {', '.join(_SPLIT_FILES)}, {absent}", task.how_to_get)
    if absent:
        raise DataError(f"{root}: no readable split list {absent}, but others are there. {task.how_to_get}")


def _read_list(task: TaskSpec, path: Path, images: Path, suffix: str) -> Iterator[Item]:
    """Read ``<Class>_<n>.jpg`` lines; the lists say .jpg for both editions."""
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        name = Path(line.strip()).stem
        kind = name.rpartition("_")[0]
        label = _label(task, kind, f"{path}, line {number}")
        yield Item(name, images / kind / f"{name}{suffix}", label)


def _read_split_file(task: TaskSpec, path: Path, images: Path) -> dict[str, tuple[Item, ...]]:
    try:
        return _read_rows(task, path, images)
    except csv.Error as error:
        raise DataError(f"{path}: not a readable table ({error}). Write it again") from error


def _read_rows(task: TaskSpec, path: Path, images: Path) -> dict[str, tuple[Item, ...]]:
    rows = csv.DictReader(_text(path).splitlines())
    missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        found = ", ".join(rows.fieldnames or ())
        raise DataError(f"{path}: the columns are {found}; expected {', '.join(_COLUMNS)} in the first line")
    items: dict[str, list[Item]] = {name: [] for name in NAMES}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        if row["split"] not in items:
            raise DataError(f"{where}: split is '{row['split']}', expected one of {', '.join(NAMES)}")
        items[row["split"]].append(_item(task, row, images, where))
    return {name: tuple(listed) for name, listed in items.items()}


def _item(task: TaskSpec, row: dict[str, str], images: Path, where: str) -> Item:
    try:
        lonlat = (float(row["lon"]), float(row["lat"])) if row.get("lon") and row.get("lat") else None
    except ValueError:
        raise DataError(f"{where}: lon and lat must be degrees, found '{row['lon']}' and '{row['lat']}'") from None
    label = _label(task, row["class"], where)
    return Item(Path(row["file"]).stem, images / row["file"], label, row.get("group") or None, lonlat)


def _label(task: TaskSpec, kind: str, where: str) -> int:
    if kind not in task.classes:
        known = ", ".join(task.classes)
        raise DataError(f"{where}: label '{kind}', expected one of {known}")
    return task.classes.index(kind)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error}). Fetch it again") from error


def load_geotiff(path: Path) -> npt.NDArray[Any]:
    """Read a GeoTIFF as (bands, height, width), nodata of the file's own as NaN.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: the file cannot be read.
    """
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise Unavailable("package", "rasterio", "Install it with: pip install rasterio") from error
    with warnings.catch_warnings():
        # A chip needs no place on Earth to be classified.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return _read(path, "GeoTIFF", lambda: _read_raster(rasterio.open(path)), (RasterioError, OSError))


def _read_raster(raster: Any) -> npt.NDArray[Any]:
    with raster as opened:
        pixels: npt.NDArray[Any] = opened.read()
        nodata = opened.nodata
    if nodata is None or np.isnan(nodata):
        return pixels
    return np.where(pixels == nodata, np.float32(np.nan), pixels)


def load_image(path: Path) -> npt.NDArray[Any]:
    """Read a JPEG or PNG as (channels, height, width) uint8.

    Raises:
        DataError: the file cannot be read.
    """
    return _read(path, "image", lambda: _read_picture(path), (OSError, SyntaxError, ValueError))


def _read_picture(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def _read(
    path: Path, what: str, read: Callable[[], npt.NDArray[Any]], failures: tuple[type[Exception], ...]
) -> npt.NDArray[Any]:
    try:
        return read()
    except failures as error:
        raise DataError(f"{path}: not a readable {what} ({error}). Fetch or unpack this file again") from error
