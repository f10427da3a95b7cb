"""Tables of a task: the only one in a folder, one by name, several whose samples are joined, or one per split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.embeddings import stem
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.own_splits import split_of
from geofm_eval.data.tabular import is_table, shown
from geofm_eval.errors import ContractError, DataError, Unavailable


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
    raise DataError(
        f"{root}: there is no table '{name[:80]}'; tables in this folder: {shown(_names(root)) or 'none'}. Correct "
        f"options.file of task '{task.slug}'"
    )


def _only(task: TaskSpec, root: Path) -> Path:
    names = _names(root)
    if not names:
        raise Unavailable("data", f"{root} has no table (CSV, TSV, JSON lines or parquet)", task.how_to_get)
    if len(names) > 1:
        raise ContractError(
            f"task '{task.slug}': {root} has {len(names)} tables ({shown(names)}); name one with options = {{ file = "
            f"'{names[0]}' }}, or several with a list"
        )
    return root / names[0]


def _names(root: Path) -> list[str]:
    return [path.name for path in visible(root) if is_table(path)] if root.is_dir() else []
