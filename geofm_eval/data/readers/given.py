"""Splits that own data name themselves: folders called train, val or test, or lists of names."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from geofm_eval.data.readers.files import read_text
from geofm_eval.data.readers.listed import is_litter
from geofm_eval.data.readers.own_splits import split_of
from geofm_eval.errors import DataError

log = logging.getLogger(__name__)

VOC = "ImageSets/Segmentation"
"""Folder of the lists in exports of CVAT, as in Pascal VOC."""


def split_of_folder(name: str) -> str | None:
    """Return the split that a relative path names by one of its folders, for example ``images/train/a.tif``."""
    return next((split for part in PurePosixPath(name).parts[:-1] if (split := split_of(part)) is not None), None)


def given_by_folders(names: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return the split of every sample by id; empty unless folders name at least two splits.

    Args:
        names: relative path of the image of every sample, by id.
        root: folder of the data, for messages.

    Raises:
        DataError: some samples are in folders of splits and others are not.
    """
    found = {id: split for id, name in names.items() if (split := split_of_folder(name)) is not None}
    if len(set(found.values())) < 2:
        return {}
    if len(found) < len(names):
        first = next(id for id in names if id not in found)
        raise DataError(
            f"{root}: {len(found)} samples are in folders of splits ({', '.join(sorted(set(found.values())))}), but "
            f"{len(names) - len(found)} are not; the first is '{first[:80]}'. Move them into a folder of a split"
        )
    return found


def lists_of(root: Path) -> dict[str, Path]:
    """Return the list of every split, for example ``train.txt``, in the root, one folder below it, or as in VOC.

    Fewer than two lists do not divide the data and are ignored.

    Raises:
        DataError: a split has several lists.
    """
    files = [*root.glob("*.txt"), *root.glob("*/*.txt"), *root.glob(f"{VOC}/*.txt")]
    found: dict[str, Path] = {}
    for path in sorted(files):
        split = split_of(path.stem)
        if split is None:
            continue
        if split in found:
            raise DataError(
                f"{root}: split '{split}' has two lists, {found[split].relative_to(root)} and "
                f"{path.relative_to(root)}. Keep one of them"
            )
        found[split] = path
    if len(found) == 1:
        log.warning(
            "%s is the only list of a split and is ignored; expected lists of train, val and test", *found.values()
        )
        return {}
    return found


def given_by_lists(lists: Mapping[str, Path], ids: Iterable[str]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the split of every listed sample by id, and names that could not be used, by reason.

    A name is an id, or its last part if only one id ends with it; an ending is ignored.

    Raises:
        DataError: a sample is in two lists, or a name fits several samples.
    """
    by_name: dict[str, list[str]] = {}
    for id in ids:
        for name in {id, id.rpartition("/")[2]}:
            by_name.setdefault(name, []).append(id)
    given: dict[str, str] = {}
    absent: list[str] = []
    for split, path in lists.items():
        for name in _names(path):
            found = by_name.get(name) or by_name.get(name.rpartition(".")[0]) or []
            if len(found) > 1:
                raise DataError(
                    f"{path}: '{name[:80]}' fits {len(found)} samples, {found[0][:60]} and {found[1][:60]} among them. "
                    "Write the path below the folder of the data"
                )
            if not found:
                absent.append(name)
            elif given.setdefault(found[0], split) != split:
                raise DataError(
                    f"{path}: '{name[:80]}' is also in {lists[given[found[0]]].name}; a sample is in one split only. "
                    "Remove it from one of the lists"
                )
    return given, {"is in a split list but has no image and mask": tuple(absent)} if absent else {}


def _names(path: Path) -> list[str]:
    lines = (line.strip() for line in read_text(path).splitlines())
    return [line.replace("\\", "/") for line in lines if line and not is_litter(line)]
