"""Open the splits of a task: generate stand-ins, read, inspect and check the splits against each other."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.tasks import OWN_READERS, UNKNOWN
from geofm_eval.data.division import divided
from geofm_eval.data.inspection import inspect_items
from geofm_eval.data.items import ABSENT, NAMES, Listing
from geofm_eval.data.offset import check_offset
from geofm_eval.data.readers import POOL_READERS, READERS, own_reader
from geofm_eval.data.readers.listed import check_inside
from geofm_eval.data.split import ALL, Split
from geofm_eval.data.split_files import write_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.paths import in_home
from geofm_eval.plurals import counted, some_of
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.simulation.standins import ensure_standin

log = logging.getLogger(__name__)


def open_splits(task: TaskSpec, progress: StartProgress = LogProgress) -> dict[str, Split]:
    """Open the splits of a task; a stand-in is generated first if it is missing.

    They are train, val and test, or ``all`` alone if the data are tested by shuffle splits or in folds.

    Args:
        task: entry of the catalog.
        progress: starts a progress display for hashing files.

    Raises:
        ContractError: the task's reader is unknown.
        Unavailable: the data are missing.
        DataError: the data are incomplete, or the splits are invalid (see :func:`check_splits`).
    """
    listing = _listing(task)
    names = (ALL,) if ALL in listing.items else NAMES
    check_inside(listing.root, (path for name in names for item in listing.items[name] for path in item.files))
    _check_present(task, listing, names)
    dropped = _unusable(task, listing, names, progress)
    splits = {name: _split(task, name, listing, dropped[name], progress) for name in names}
    check_splits(splits)
    if task.own:
        write_splits(splits)
    check_offset(task, listing, progress)
    log.info("%s: %s", task.slug, ", ".join(f"{name} {_described(split)}" for name, split in splits.items()))
    return splits


def _listing(task: TaskSpec) -> Listing:
    if task.reader not in READERS and not task.own:
        raise ContractError(
            f"task '{task.slug}': reader '{task.reader}' is unknown; expected one of "
            f"{', '.join((*READERS, *OWN_READERS))} or file.py:function"
        )
    if UNKNOWN in task.bands:
        raise ContractError(
            f"task '{task.slug}': bands are {some_of(task.bands)}. Name each band in the order of the files, for "
            "example B02, B03, B04, B08, in the task's catalog entry"
        )
    root = ensure_standin(task) if task.simulated else in_home(task.root, "data", task.how_to_get)
    if not task.own:
        return READERS[task.reader](task, root)
    return divided(task, POOL_READERS.get(task.reader, own_reader.read_pool)(task, root))


def _unusable(
    task: TaskSpec, listing: Listing, names: Sequence[str], progress: StartProgress
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Ids that cannot be measured, by split and reason, including those that the reader left out."""
    # Nobody has checked masks of own data, and windows of a scene may have no data.
    needed = listing.load is not None and (task.inspect or (task.own and task.dense))
    inspected = inspect_items(task, listing, progress) if needed else {}
    found = {}
    for name in names:
        unlabelled = tuple(
            item.id for item in listing.items[name] if item.label is not None and item.label != item.label
        )
        reasons = {"the target is NaN": unlabelled} if unlabelled else {}
        found[name] = {**listing.dropped.get(name, {}), **reasons, **inspected.get(name, {})}
    return found


def _split(
    task: TaskSpec, name: str, listing: Listing, dropped: Mapping[str, tuple[str, ...]], progress: StartProgress
) -> Split:
    out = {item for ids in dropped.values() for item in ids}
    kept = tuple(item for item in listing.items[name] if item.id not in out)
    # Numbered again, in case that all samples of a fold were dropped.
    known = sorted({listing.folds[item.id] for item in kept}) if listing.folds else []
    folds = tuple(known.index(listing.folds[item.id]) for item in kept) if listing.folds else ()
    load, load_target = listing.load, listing.load_target
    return Split(task, name, kept, listing.definition, load, load_target, dropped, progress, folds, listing.rule)


def _described(split: Split) -> str:
    dropped = "; ".join(f"{len(ids)} dropped: {reason}" for reason, ids in split.dropped.items())
    return f"{len(split)} ({dropped})" if dropped else f"{len(split)}"


def check_splits(splits: Mapping[str, Split]) -> None:
    """Refuse splits that would give wrong scores.

    A scene or event that occurs in two splits is refused too, because its samples are alike and the test score would be
    too good. Tasks whose published split shares scenes declare ``shared_groups``.

    Args:
        splits: splits of one task by name.

    Raises:
        Unavailable: all files of a split are missing.
        DataError: a split is empty, a sample is listed twice, or a sample or group is in two splits.
    """
    for name, split in splits.items():
        if not split.items:
            left_out = f" ({_described(split)})" if split.dropped else ""
            if split.dropped and all(reason.endswith(ABSENT) for reason in split.dropped):
                raise Unavailable(
                    "data",
                    f"{split.task.slug}: files of all samples of split '{name}'{left_out}",
                    split.task.how_to_get,
                )
            raise DataError(f"{split.task.slug}: split '{name}' is empty{left_out}; every split needs samples")
        item, times = Counter(split.ids).most_common(1)[0]
        if times > 1:
            raise DataError(f"{split.task.slug}: split '{name}' lists sample '{item}' more than once; list it once")
    _check_separate("sample", {name: split.ids for name, split in splits.items()})
    if not all(split.task.shared_groups for split in splits.values()):
        _check_separate("group", {name: _known_groups(split) for name, split in splits.items()})


def _known_groups(split: Split) -> tuple[str, ...]:
    return tuple(item.group for item in split.items if item.group is not None)


def _check_separate(what: str, names: Mapping[str, Sequence[str]]) -> None:
    first: dict[str, str] = {}
    for split, found in names.items():
        for name in dict.fromkeys(found):
            if first.setdefault(name, split) != split:
                raise DataError(f"{what} '{name}' is in splits '{first[name]}' and '{split}'; keep it in one of them")


def _check_present(task: TaskSpec, listing: Listing, names: Sequence[str]) -> None:
    items = [item for name in names for item in listing.items[name]]
    absent = [path for item in items if (path := next((p for p in item.files if not p.exists()), None)) is not None]
    if absent and len(absent) == len(items):
        what = f"found 0 of {counted(len(items), 'listed file')} in {listing.root}; the first is {absent[0].name}"
        raise Unavailable("data", what, task.how_to_get)
    if absent:
        raise DataError(
            f"{listing.root}: {len(absent)} of {len(items)} listed files missing; the first is {absent[0]}. "
            "Complete the copy, or list the files that exist in a splits.csv (for its columns, run geofm-eval fetch "
            f"{task.slug})"
        )
