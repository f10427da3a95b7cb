"""Tables of a task: the only one in a folder, one by name, several whose samples are joined, or one per split."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.embeddings import stem
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.own_splits import split_of
from geofm_eval.data.readers.table_columns import FILES
from geofm_eval.data.tabular import column_names, is_table, shown
from geofm_eval.errors import ContractError, DataError, Unavailable

_SAMPLES = ("id", "label", *FILES)


@dataclass(frozen=True)
class TableFile:
    """One table of a task.

    Args:
        path: the file.
        prefix: what the ids of its samples begin with: ``iowa/`` for one of several files, else empty.
        split: split of its samples, if the task says so; else empty.
    """

    path: Path
    prefix: str = ""
    split: str = ""


def tables_of(task: TaskSpec, root: Path) -> tuple[TableFile, ...]:
    """Find the tables of a task, which are the root or below it.

    Raises:
        ContractError: option ``file`` is wrong, or missing though there are several tables.
        Unavailable: there is no table.
        DataError: a table that the option names does not exist.
    """
    named = task.options.get("file")
    if named is None:
        return (TableFile(root if root.is_file() else _only(task, root)),)
    if isinstance(named, str):
        return (TableFile(_existing(task, root, named)),)
    splits = _splits(task, named) if isinstance(named, dict) else {}
    names = list(named.values()) if isinstance(named, dict) else named
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ContractError(
            f"task '{task.slug}': options.file is {str(named)[:80]}; expected a name, a list of names, or a table per "
            "split, for example file = { train = 'iowa.csv', test = 'amazon.csv' }"
        )
    _check_differ(task, names)
    return tuple(TableFile(_existing(task, root, name), f"{stem(name)}/", splits.get(name, "")) for name in names)


def _splits(task: TaskSpec, named: Mapping[str, object]) -> dict[object, str]:
    found = {name: split_of(split) for split, name in named.items()}
    if None in found.values() or len(set(found.values())) < len(named):
        raise ContractError(
            f"task '{task.slug}': options.file has tables for {', '.join(named)[:80]}; expected each of train, val and "
            "test at most once, and another table for each"
        )
    return {name: split for name, split in found.items() if split is not None}


def _check_differ(task: TaskSpec, names: Sequence[str]) -> None:
    """Refuse files whose samples would have the same ids."""
    prefix, count = Counter(map(stem, names)).most_common(1)[0]
    if count > 1:
        raise ContractError(
            f"task '{task.slug}': {count} tables of options.file are named '{prefix[:60]}', which their ids begin "
            "with. Rename all but one"
        )


def _existing(task: TaskSpec, root: Path, name: str) -> Path:
    if (root / name).is_file():
        return root / name
    found = shown(_names(root, _asked_columns(task))) or "none"
    raise DataError(
        f"{root}: there is no table '{name[:80]}'; tables in this folder: {found}. Correct options.file of task "
        f"'{task.slug}'"
    )


def _only(task: TaskSpec, root: Path) -> Path:
    names = _names(root, _asked_columns(task))
    if not names:
        raise Unavailable("data", f"{root} has no table (CSV, TSV, JSON lines or parquet)", task.how_to_get)
    if len(names) > 1:
        raise ContractError(
            f"task '{task.slug}': {root} has {len(names)} tables ({shown(names)}); name one with options = {{ file = "
            f"'{names[0]}' }}, or several with a list"
        )
    return root / names[0]


def is_listing(path: Path, columns: Collection[str] = ()) -> bool:
    """Return whether a file is a table of samples.

    A text file (``.txt``) is one only if its first line has several names, among them a usual name of images, ids or
    labels: others are notes and lists.

    Args:
        path: the file.
        columns: further names of columns by which a text file is recognised.
    """
    if not path.name.lower().removesuffix(".gz").endswith(".txt"):
        return is_table(path)
    try:
        names = {name.strip().lower() for name in column_names(path)}
    except DataError:
        return False
    return len(names) > 1 and not names.isdisjoint(name.lower() for name in (*_SAMPLES, *columns))


def _asked_columns(task: TaskSpec) -> list[str]:
    """Names of columns in the task's options."""
    columns = task.options.get("columns", {})
    named = columns.values() if isinstance(columns, dict) else ()
    return [name for name in (task.options.get("label"), task.options.get("id"), *named) if isinstance(name, str)]


def _names(root: Path, columns: Collection[str]) -> list[str]:
    return [path.name for path in visible(root) if is_listing(path, columns)] if root.is_dir() else []
