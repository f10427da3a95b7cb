"""Weights of a model: find their published address, download them, and compare files and folders with pinned hashes."""

import hashlib
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from geofm_eval.catalog import ModelSpec, WeightsSpec
from geofm_eval.errors import ContractError, Unavailable, WeightsError
from geofm_eval.fetch.names import home_path, megabytes
from geofm_eval.fetch.transfer import download, remote_bytes
from geofm_eval.gaps import how_to_get_weights
from geofm_eval.paths import geofm_home
from geofm_eval.progress import StartProgress, TransferLog
from geofm_eval.sharing import locked
from geofm_eval.store import content_hash, file_sha256, storing

log = logging.getLogger(__name__)

_AGAIN = "move it away if it still exists and fetch again, or correct the entry if the publisher has replaced it"


def fetch_model(model: ModelSpec, start: StartProgress = TransferLog) -> list[str]:
    """Download a model's weights into ``GEOFM_HOME`` unless they exist, and check them.

    Args:
        model: entry of the catalog.
        start: starts a progress display, given a name and a number of bytes.

    Returns:
        Sentences on what was done, or on what the user must do if there is no public address.

    Raises:
        Unavailable: ``GEOFM_HOME`` is not set, or the address cannot be reached.
        WeightsError: the downloaded or existing file is not the published one.
        ContractError: the entry's path leaves the home.
        StoreError: the disk is full or the home cannot be written.
    """
    weights = model.weights
    if weights is None or weights.packaged:
        return [_nothing_needed(model)]
    if not published_address(weights) and not (geofm_home() and weights_path(weights).exists()):
        return [f"{model.slug}: the weights have no public address. {how_to_get_weights(model)}", _terms(model)]
    path = weights_path(weights)
    there = path.exists()
    if not there:
        fetch_weights(model, path, start)
    return [f"{model.slug}: {path} {'exists' if there else 'fetched'}, {_identity(model, path)}", _terms(model)]


def plan_model(model: ModelSpec) -> list[str]:
    """Return sentences on what :func:`fetch_model` would do, with sizes; nothing is downloaded and no home is needed.

    Raises:
        ContractError: the entry's path leaves the home.
    """
    weights = model.weights
    if weights is None or weights.packaged or not published_address(weights):
        return fetch_model(model)
    # Size and licence are what one wants to know before one chooses a home.
    path = weights_path(weights) if geofm_home() else Path("GEOFM_HOME", weights.file)
    if path.exists():
        return fetch_model(model)
    parts = published_parts(weights, path)
    sizes = [weights.bytes] if weights.bytes else [remote_bytes(address) for address in parts.values()]
    known = [size for size in sizes if size is not None]
    size = megabytes(sum(known)) if len(known) == len(sizes) else "size unknown"
    unset = "" if geofm_home() else " (GEOFM_HOME is not set)"
    lines = [f"{model.slug}: would fetch {size} to {path}{unset}"]
    return [*lines, *(f"  from {address}" for address in parts.values()), _terms(model)]


def fetch_weights(model: ModelSpec, path: Path, start: StartProgress = TransferLog) -> None:
    """Download a model's weights to a path; concurrent calls for the same path wait, if the file system supports locks.

    A folder appears only when it is complete.

    Raises:
        Unavailable: the address cannot be reached.
        WeightsError: the download is not the published file; it was discarded.
        StoreError: the disk is full or the folder cannot be written.
    """
    address = published_address(_weights(model))
    log.info("downloading %s to %s", address, path)
    with storing(path), locked(path):
        if path.exists():
            return
        try:
            if _weights(model).parts:
                _fetch_folder(model, path, start)
            else:
                download(address, path, start, lambda part: _check(model, part))
        except Unavailable as gap:
            raise Unavailable(gap.kind, gap.what, f"{gap.how_to_get} Or put it at {path} yourself.") from None


def _fetch_folder(model: ModelSpec, path: Path, start: StartProgress) -> None:
    # Files of another revision, left by an interrupted download, must not be mixed with these.
    staging = path.with_name(f"{path.name}-{content_hash(published_address(_weights(model)))[:8]}.part")
    for file, address in published_parts(_weights(model), staging).items():
        if not file.exists():
            download(address, file, start)
    try:
        _check(model, staging)
    except WeightsError:
        shutil.rmtree(staging)
        raise
    with suppress(FileNotFoundError):  # another process has put the same folder there
        os.rename(staging, path)


def published_parts(weights: WeightsSpec, path: Path) -> Mapping[Path, str]:
    """Return the published address of every file of weights that belong at ``path``."""
    address = published_address(weights)
    return {path / name: address + name for name in weights.parts} if weights.parts else {path: address}


def published_address(weights: WeightsSpec) -> str:
    """Return the published address of weights: the entry's own or that of torchgeo's enum; empty if there is neither.

    Raises:
        Unavailable: the enum is needed and torchgeo is not installed.
        ContractError: torchgeo has no such enum.
    """
    if weights.url is not None or weights.enum is None:
        return weights.url or ""
    try:
        import torchgeo.models
    except ImportError:
        raise Unavailable("package", "torchgeo", "Install it with: pip install torchgeo requests") from None
    family, _, member = weights.enum.partition(".")
    found = getattr(getattr(torchgeo.models, family, None), member, None)
    if found is None:
        raise ContractError(f"torchgeo.models has no weights '{weights.enum}': check the enum in the model's entry")
    return str(found.url)


def weights_path(weights: WeightsSpec) -> Path:
    """Return the path of weights in ``GEOFM_HOME``; raises as :func:`geofm_eval.fetch.names.home_path`."""
    return home_path(weights.file, "weights")


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


def _check(model: ModelSpec, path: Path) -> str:
    """Hash of the weights; WeightsError if it, or the size where no hash is pinned, is not the published one."""
    weights, cure = _weights(model), "the file is damaged or of another version than the catalog's"
    found, size = verified_sha256(model, path, weights.parts, f"{cure}; {_AGAIN}"), path_bytes(path, weights.parts)
    if weights.sha256 is None and weights.bytes not in (None, size):
        raise WeightsError(f"{path}: has {size:,} bytes, expected {weights.bytes:,} for {model.slug}; {cure}; {_AGAIN}")
    return found


def _identity(model: ModelSpec, path: Path) -> str:
    found, weights = _check(model, path), _weights(model)
    pinned = "as pinned" if weights.sha256 else f"not pinned in the catalog; compare it with {model.source}"
    return f"{megabytes(path_bytes(path, weights.parts))}, sha256 {found} ({pinned})"


def _weights(model: ModelSpec) -> WeightsSpec:
    assert model.weights is not None, f"{model.slug} has no weights"
    return model.weights


def _nothing_needed(model: ModelSpec) -> str:
    if model.weights is not None:
        return f"{model.slug}: comes with the package, nothing to fetch"
    why = "is randomly initialised" if model.random_seed is not None else "has no weights"
    return f"{model.slug}: {why}, nothing to fetch"


def _terms(model: ModelSpec) -> str:
    return f"  licence {model.licence or 'not stated'}, {model.source}"
