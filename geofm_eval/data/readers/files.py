"""Read the files of data sets; a file that cannot be read raises a message with its name and a remedy."""

import csv
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.data.items import NAMES
from geofm_eval.data.readers.grids import degrees
from geofm_eval.errors import DataError

_PICTURES = ("L", "LA", "RGB", "RGBA", "I;16")
"""Image modes whose values are measurements, in contrast to palette indices or ink."""


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error}). Fetch it again") from error


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a comma-separated table whose first line names its columns.

    Args:
        path: the file.
        columns: names of required columns.

    Yields:
        Location of the row (for messages), and its values by column.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    try:
        rows = csv.DictReader(read_text(path).splitlines(), restval="")
        missing = [column for column in columns if column not in (rows.fieldnames or ())]
        if missing:
            found = ", ".join(rows.fieldnames or ())
            raise DataError(f"{path}: the columns are {found}; expected {', '.join(columns)} in the first line")
        for row in rows:
            yield f"{path}, line {rows.line_num}", row
    except csv.Error as error:
        raise DataError(f"{path}: not a readable table ({error}). Write it again") from error


def rows_by_split(path: Path, columns: Sequence[str]) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Read a table with a column ``split``; return the rows of every split, each with its location.

    Raises:
        DataError: the file cannot be read, lacks a column, or names an unknown split.
    """
    found: dict[str, list[tuple[str, dict[str, str]]]] = {name: [] for name in NAMES}
    for where, row in read_rows(path, (*columns, "split")):
        if row["split"] not in found:
            raise DataError(f"{where}: split is '{row['split']}', expected one of {', '.join(NAMES)}")
        found[row["split"]].append((where, row))
    return found


def place(lon: str, lat: str, where: str) -> tuple[float, float]:
    """Parse a longitude and a latitude in degrees.

    Raises:
        DataError: the values are not degrees; they may be metres of a projection.
    """
    try:
        found = degrees(float(lon), float(lat))
    except ValueError:
        found = None
    if found is None:
        raise DataError(f"{where}: lon and lat must be degrees, found '{lon}' and '{lat}'; leave both empty if unknown")
    return found


def load_image(path: Path) -> npt.NDArray[Any]:
    """Read a JPEG or PNG as (channels, height, width); NaN where the image is transparent.

    Raises:
        DataError: the file cannot be read, has another format, is larger than any chip, or has a palette.
    """
    from PIL import Image

    failures = (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError)
    return read_or_explain(path, "image", lambda: _read_picture(path), failures)


def _read_picture(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow only warns below twice its limit of 89 million pixels.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            # Pillow reads other formats with external programs (PostScript), or they contradict the file name.
            image = Image.open(path, formats=("JPEG", "PNG"))
        except Image.DecompressionBombWarning as warning:
            raise ValueError(str(warning)) from warning
    with image:
        if image.mode not in _PICTURES:
            raise ValueError(f"image mode is {image.mode}, expected {', '.join(_PICTURES)}")
        if image.has_transparency_data:
            pixels = np.asarray(image.convert("RGBA" if image.mode.startswith("RGB") else "LA"))
            pixels = np.where(pixels[..., -1:] == 0, np.float32(np.nan), pixels[..., :-1])
            return pixels.transpose(2, 0, 1)
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def read_or_explain(
    path: Path, what: str, read: Callable[[], npt.NDArray[Any]], failures: tuple[type[Exception], ...]
) -> npt.NDArray[Any]:
    """Call ``read`` and turn the exceptions of a damaged file into a message.

    Raises:
        DataError: ``read`` raised one of ``failures``.
    """
    try:
        return read()
    except failures as error:
        # numpy adds advice on how to load the file anyway, which would execute its contents.
        said = re.split(r"\n|(?<=\.) If you trust", str(error).replace(str(path), path.name))[0]
        reason = said[:160] or type(error).__name__
        raise DataError(f"{path}: not a readable {what} ({reason}). Fetch or unpack this file again") from error
