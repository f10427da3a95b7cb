"""Hash weight files and folders, and compare them with the pinned hashes."""

import hashlib
from pathlib import Path

from geofm_eval.catalog import ModelSpec
from geofm_eval.errors import WeightsError
from geofm_eval.store import file_sha256


def path_sha256(path: Path, files: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of a file or folder.

    The hash of a folder is that of the lines ``<sha256 of the file>  <path below the folder>`` over its files sorted by
    path, the output of ``sha256sum``. It covers names and contents, not dates or modes.

    Args:
        path: file or folder.
        files: names of the files below a folder that are included; all if empty.

    Raises:
        WeightsError: the folder lacks one of ``files``.
    """
    if path.is_file():
        return file_sha256(path)
    names = sorted(files or (file.relative_to(path).as_posix() for file in path.rglob("*") if _counts(file)))
    for name in names:
        if not (path / name).is_file():
            raise WeightsError(f"{path}: has no {name}; expected a folder with {' and '.join(names)}. Fetch it again")
    lines = [f"{file_sha256(path / name)}  {name}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _counts(file: Path) -> bool:
    """False for files that operating systems add to folders (``._name``, ``.DS_Store``, ``Thumbs.db``)."""
    return file.is_file() and not file.name.startswith(("._", ".DS_Store")) and file.name != "Thumbs.db"


def path_bytes(path: Path, files: tuple[str, ...] = ()) -> int:
    """Return the size of a file, or of the included files of a folder."""
    return sum((path / name).stat().st_size for name in files) if path.is_dir() else path.stat().st_size


def verified_sha256(model: ModelSpec, path: Path, files: tuple[str, ...], cure: str) -> str:
    """Hash a model's weights and compare the hash with the pinned one.

    Args:
        model: entry with ``weights``.
        path: file or folder on disk.
        files: names of the files of a folder that are included; all if empty.
        cure: advice for the error message.

    Raises:
        WeightsError: the hashes differ.
    """
    assert model.weights is not None
    found = path_sha256(path, files)
    if not found.startswith(model.weights.sha256 or ""):
        raise WeightsError(f"{path}: sha256 is {found}, expected {model.weights.sha256} for {model.slug}; {cure}")
    return found
