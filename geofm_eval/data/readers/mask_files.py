"""Masks of own data: GeoTIFF, grey, palette and coloured PNG, and npy."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.data.readers.files import read_or_explain, read_text
from geofm_eval.data.readers.images import TIFF, load_chip
from geofm_eval.data.readers.rasters import Raster, read_target
from geofm_eval.data.readers.tags import PLAIN
from geofm_eval.errors import DataError

MASKS = (*TIFF, ".png", ".npy")
"""Endings of masks, in lower case; a JPEG changes the values that it stores."""

LEGEND = "labelmap.txt"
"""File of CVAT that gives every class a colour, in lines ``name:r,g,b::``."""

_GREY = ("1", "L", "LA", "I", "I;16")
_SCALED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow stretches grey values of 2 and 4 bits to 8 bits."""

Colour = tuple[int, int, int]


def legend_of(mask: Path, root: Path) -> Path | None:
    """Return the legend of a PNG: in its folder or the nearest folder above, up to the root of the data."""
    if mask.suffix.lower() != ".png":
        return None
    folders = (folder for folder in mask.parents if folder == root or root in folder.parents)
    return next((folder / LEGEND for folder in folders if (folder / LEGEND).is_file()), None)


def read_legend(path: Path) -> dict[Colour, str]:
    """Read the class of every colour.

    Raises:
        DataError: a line is not ``name:r,g,b::``, or two classes have one colour.
    """
    found: dict[Colour, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(part) for part in rest.partition(":")[0].split(","))
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: found '{line[:80]}', expected name:r,g,b:: with the colour of a class"
            ) from error
        if found.setdefault((red, green, blue), name.strip()) != name.strip():
            raise DataError(
                f"{path}, line {number}: '{name.strip()[:60]}' has the colour {red},{green},{blue} of "
                f"'{found[red, green, blue][:60]}'. Give every class its own colour"
            )
    return found


def read_mask(path: Path, codes: Mapping[Colour, int] | None) -> tuple[Raster, bool]:
    """Read a mask of any format as a raster of one band, and whether its colours were looked up.

    Args:
        path: the file. A GeoTIFF or npy has one band. The values of a grey PNG are its stored values, those of a
            palette its indices.
        codes: class of every colour, for palette and coloured PNG with a legend; None without a legend.

    Raises:
        DataError: the file cannot be read, has several bands, or has colours that the legend does not contain.
    """
    kind = path.suffix.lower()
    if kind in TIFF:
        return read_target(path), False
    if kind == ".npy":
        stored = load_chip(path)
        if len(stored) != 1:
            raise DataError(f"{path}: shape is {stored.shape}, expected (height, width) or one band of labels")
        return Raster(path, stored, None, None, (PLAIN,), None, 0), False
    if kind == ".png":
        return _read_png(path, codes)
    raise DataError(f"{path}: masks end in {', '.join(MASKS)}; found '{path.suffix}'. Convert the file")


def _read_png(path: Path, codes: Mapping[Colour, int] | None) -> tuple[Raster, bool]:
    from PIL import Image

    def read() -> npt.NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as image:
                return _layers(image, codes is not None)

    failures = (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError)
    layers = read_or_explain(path, "mask", read, (*failures, Image.DecompressionBombWarning))
    masked = layers[-1] == 0 if len(layers) in (2, 4) else None
    coloured = len(layers) > 2
    stored = _by_colour(path, layers[:3], codes)[None] if coloured else layers[:1]
    return Raster(path, stored, masked, None, (PLAIN,), None, 0), coloured


def _layers(image: Any, coloured: bool) -> npt.NDArray[Any]:
    """(layers, height, width): values, colours if there is a legend, and then the opacity if it is stored."""
    unpacked = image.tile[0][3] if image.tile else ""
    if image.mode == "P" and coloured:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    if image.mode == "P":
        return np.asarray(image)[None]
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image).transpose(2, 0, 1)
    if image.mode not in _GREY:
        raise ValueError(f"image mode is {image.mode}, expected grey, palette or RGB")
    pixels = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
    factor = _SCALED.get(unpacked) if isinstance(unpacked, str) else None
    return pixels if factor is None else pixels // factor


def _by_colour(path: Path, colours: npt.NDArray[Any], codes: Mapping[Colour, int] | None) -> npt.NDArray[np.int64]:
    if codes is None:
        raise DataError(
            f"{path}: the mask is coloured, but there is no {LEGEND} next to it or above. Write lines name:r,g,b:: for "
            "every class, or store class numbers as a grey or palette PNG"
        )
    packed = (colours.astype(np.int64) * np.array([65536, 256, 1])[:, None, None]).sum(axis=0)
    known = {red * 65536 + green * 256 + blue: code for (red, green, blue), code in codes.items()}
    found = np.unique(packed)
    unknown = [int(value) for value in found if int(value) not in known]
    if unknown:
        shown = "; ".join(f"{value >> 16},{value >> 8 & 255},{value & 255}" for value in unknown[:4])
        raise DataError(
            f"{path}: {len(unknown)} colours are not in {LEGEND}, for example {shown}. Add them, or save the mask "
            "without smoothing of edges"
        )
    classes = np.array([known[int(value)] for value in found], np.int64)
    return np.asarray(classes[np.searchsorted(found, packed)])
