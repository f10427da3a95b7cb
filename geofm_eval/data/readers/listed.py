"""Files that folders, lists and tables name: none outside the data set, none that an operating system left behind."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from geofm_eval.errors import DataError
from geofm_eval.paths import escape


def visible(folder: Path, pattern: str = "*") -> list[Path]:
    """Files of a folder by name, without hidden ones such as the ``._<name>`` that macOS writes beside every file.

    Raises:
        DataError: a name that is no text: no list or record could hold it.
    """
    found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
    for path in found:
        if not _is_text(str(path)):
            raise DataError(
                f"{folder}: the file name {os.fsencode(path.name)!r} is not UTF-8, as in an archive of an old system. "
                "Rename the file"
            )
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_litter(name: str) -> bool:
    """True for a path whose file is one that macOS leaves beside another: ``Forest/._Forest_1.tif``."""
    return name.replace("\\", "/").rpartition("/")[2].startswith("._")


def listed_name(name: str, where: object) -> str:
    """Return a name that a list, a table or an option gives, after a look at whether it stays below its folder.

    Args:
        name: file, chip or beginning of a file name.
        where: file and line, for messages.

    Raises:
        DataError: it does not stay there.
    """
    reason = escape(name)
    if reason is not None:
        raise DataError(f"{where}: '{name[:80]}' {reason}, expected a name below the folder of the data set")
    return name


def check_inside(root: Path, files: Iterable[Path]) -> None:
    """Refuse files that lie outside a data set's folder once links are followed; the folder may itself be a link.

    Raises:
        DataError: such a file.
    """
    base = os.path.realpath(root)

    @cache
    def real(folder: Path) -> str:
        return os.path.realpath(folder)

    for path in files:
        place = os.path.realpath(path) if path.is_symlink() or path.name == ".." else real(path.parent)
        if place != base and not place.startswith(base.rstrip(os.sep) + os.sep):
            raise DataError(
                f"{path}: leads to {place}, outside the data set in {root}. Copy the file there, or link the whole "
                "folder of the data set"
            )
