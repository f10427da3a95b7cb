"""Check file names from folders, lists and tables: none outside the data set, none left by an operating system."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from geofm_eval.errors import DataError
from geofm_eval.paths import escape


def visible(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the files of a folder sorted by name, without hidden ones (macOS writes ``._<name>`` next to every file).

    Raises:
        DataError: a name is not valid text, so no list or record could hold it.
    """
    found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
    for path in found:
        if not _is_text(str(path)):
            raise DataError(
                f"{folder}: the file name {os.fsencode(path.name)!r} is not UTF-8; it may come from an archive made on "
                "an old system. Rename the file"
            )
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_litter(name: str) -> bool:
    """Return True for a path whose file name starts with ``._``, which macOS writes next to other files."""
    return name.replace("\\", "/").rpartition("/")[2].startswith("._")


def listed_name(name: str, where: object) -> str:
    """Check that a name from a list, table or option stays below its folder, and return it.

    Args:
        name: file, chip or prefix of a file name.
        where: file and line, for messages.

    Raises:
        DataError: the name leads out of the folder.
    """
    reason = escape(name)
    if reason is not None:
        raise DataError(f"{where}: '{name[:80]}' {reason}; expected a name below the folder of the data set")
    return name


def check_inside(root: Path, files: Iterable[Path]) -> None:
    """Refuse files that are outside a data set's folder after links are resolved; the folder itself may be a link.

    Raises:
        DataError: a file is outside.
    """
    base = os.path.realpath(root)

    @cache
    def real(folder: Path) -> str:
        return os.path.realpath(folder)

    for path in files:
        place = os.path.realpath(path) if path.is_symlink() or path.name == ".." else real(path.parent)
        if place != base and not place.startswith(base.rstrip(os.sep) + os.sep):
            raise DataError(
                f"{path}: the path leads to {place}, outside the data set in {root}. Copy the file into the data set, "
                "or link its whole folder"
            )
