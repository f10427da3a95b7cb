"""Range files, ``benchmarks/expected/<task>.toml``: one line per range, what ranges share in tables of their own."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from geofm_eval.errors import DataError
from geofm_eval.expected.ranges import (
    KINDS,
    RANDOM,
    X86_64,
    Basis,
    Data,
    Key,
    Origin,
    Range,
    Ranges,
    Weights,
    consistent,
    short_name,
)
from geofm_eval.expected.toml import toml_key, toml_value
from geofm_eval.seals import content_hash
from geofm_eval.store import write_bytes

FOLDER = Path("benchmarks/expected")
"""Where a checkout keeps them."""

SHARED: Mapping[str, TypeAdapter[Any]] = {
    "data": TypeAdapter(Data),
    "weights": TypeAdapter(Weights),
    "settings": TypeAdapter(dict[str, Any]),
    "origins": TypeAdapter(Origin),
}
"""Tables of what ranges share, by name; a line of a range names its entry in each."""

_RANGE = TypeAdapter(Annotated[Range, AfterValidator(consistent)])

NUMBERS = ("lo", "hi", "mean", "sd", "n", "spread", "freedom", "floor", "choices", "gap")

_NAME = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+\.(0\.\d+|1\.0)")

_HEAD = """\
# Expected ranges of {task}, written by: geofm-eval expect RUN
# What they mean and how they change: docs/ranges.md
"""


def range_path(folder: Path, task: str) -> Path:
    """File of the ranges of a task."""
    return folder / f"{task}.toml"


ROWS = "rows"
"""Number of ranges in a file. A file that says it has a seal in every row; one written by hand may have neither."""


def read_folder(folder: Path, tasks: Iterable[str]) -> dict[str, Ranges]:
    """Ranges of some tasks; those without a file are left out.

    Raises:
        DataError: a file that is not what this module writes.
    """
    paths = {task: range_path(folder, task) for task in tasks}
    return {task: read_ranges(path) for task, path in paths.items() if path.exists()}


def read_ranges(path: Path) -> Ranges:
    """Read the ranges of a task, as they were written, or edited by hand and sealed again.

    Raises:
        DataError: the file is no TOML (a key twice, too), an entry is not what it should be, or a range is not the one
            that its seal was made for; the message names both.
    """
    rows, sealed = _read(path)
    found = {key: row for key, (row, _) in rows.items()}
    if sealed is None and not rows:
        raise DataError(f"{path}: holds no range: it was cut short; restore it with git")
    if sealed is None and not any(seal for _, seal in rows.values()):
        return Ranges(path.stem, found)
    for key, (row, seal) in rows.items():
        if seal != seal_of(path.stem, key, row):
            raise DataError(
                f"{path}: range '{key.name}' is not the one that was written (its seal is "
                f"{'absent' if seal is None else 'of other values'}): restore the file with git, or accept an edit: "
                f'geofm-eval expect --reseal {path.stem} --why "..."'
            )
    if sealed != len(rows):
        raise DataError(
            f"{path}: found {len(rows)} ranges, expected {sealed} (rows): restore the file with git, or accept the "
            f'edit: geofm-eval expect --reseal {path.stem} --why "..."'
        )
    return Ranges(path.stem, found)


def read_unsealed(path: Path) -> tuple[Ranges, frozenset[Key]]:
    """The ranges of a file whatever their seals say, and the keys of those whose seal is absent or of other values.

    Raises:
        DataError: see :func:`read_ranges`.
    """
    rows, _ = _read(path)
    edited = frozenset(key for key, (row, seal) in rows.items() if seal != seal_of(path.stem, key, row))
    return Ranges(path.stem, {key: row for key, (row, _) in rows.items()}), edited


def seal_of(task: str, key: Key, found: Range) -> str:
    """Checksum over a range with its key and all that it shares with others, 16 hex digits."""
    fields = {
        name: float(value) if type(value) is int and name != "n" else value for name, value in vars(found).items()
    }
    plain = {**fields, "basis": asdict(found.basis), "origin": asdict(found.origin)}
    return content_hash([task, asdict(key), plain])[:16]


def _read(path: Path) -> tuple[dict[Key, tuple[Range, str | None]], int | None]:
    """Read ranges with their seals, and how many the file says that there are."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable ({error}): restore it with 'git checkout -- {path}'") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deeply: restore it with 'git checkout -- {path}'") from None
    except ValueError as error:
        raise DataError(f"{path}: {str(error)[:120]}{_line_of(text, str(error))}: correct that line") from None
    if content.get("task") != path.stem:
        raise DataError(f"{path}: task is {content.get('task')!r}, expected '{path.stem}', as the file is called")
    unknown = sorted(set(content) - {"task", ROWS, *SHARED, *KINDS})
    if unknown:
        raise DataError(f"{path}: '{unknown[0][:60]}' is unknown; expected task, {', '.join((*SHARED, *KINDS, ROWS))}")
    count = content.get(ROWS)
    if count is not None and type(count) is not int:
        raise DataError(f"{path}: {ROWS} is {str(count)[:40]!r}, expected the number of ranges")
    shared = {
        table: {
            name: _checked(f"{path}: {table} '{name[:60]}'", kind, entry)
            for name, entry in _table(path, table, content.get(table, {})).items()
        }
        for table, kind in SHARED.items()
    }
    lines = _lines(path, {kind: content[kind] for kind in KINDS if kind in content})
    return {key: _range(path, key, line, shared) for key, line in lines}, count


def _table(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: '{name}' is {value!r}, expected a table: see docs/ranges.md for what is in it")
    return value


def _checked(where: str, kind: TypeAdapter[Any], value: Any) -> Any:
    """The value as the kind reads it; else DataError, about a field with an unknown name before all others."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "unexpected_keyword_argument")
    name, problem = ".".join(map(str, first["loc"]))[:60], first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        problem = f"field '{name}' is absent: add it"
    elif first["type"] == "unexpected_keyword_argument":
        problem = f"field '{name}' is unknown: docs/ranges.md lists the fields; remove it"
    elif name:
        problem = problem.replace("Input should be", "expected").replace(
            "expected greater", "expected a number greater"
        )
        problem = f"{name} is {repr(first['input'])[:60]}, {problem}: correct it"
    raise DataError(f"{where}: {problem}, or write the range again with geofm-eval expect")


def _range(path: Path, key: Key, line: Any, shared: Mapping[str, Mapping[str, Any]]) -> tuple[Range, str | None]:
    """One range from its line and the entries that it names, and the seal of the line; None where it has none."""
    where = f"{path}: range '{key.name}'"
    if not _NAME.fullmatch(f"{key.case}.{key.fraction}"):
        raise DataError(
            f'{where}: expected model-adaptation-layer."fraction", for example pocket_mae-linear-final."1.0"; '
            f"found {key.case}.{key.fraction}"
        )
    fields = dict(_table(path, key.name, line))
    seal = fields.pop("seal", None)
    names = {table: str(fields.pop(table)) for table in SHARED if table in fields}
    for table in SHARED:
        if table not in names and table != "weights":
            raise DataError(f"{where}: field '{table}' is absent: add the name of an entry of the table [{table}]")
        if table in names and names[table] not in shared[table]:
            known = ", ".join(shared[table])[:80] or "none"
            raise DataError(
                f"{where}: {table} is '{names[table][:60]}', which the table [{table}] lacks; it has {known}"
            )
    found = {table: shared[table][name] for table, name in names.items()}
    basis = Basis(found.get("weights"), found["data"], found["settings"])
    return _checked(where, _RANGE, {**fields, "basis": basis, "origin": found["origins"]}), seal


def _line_of(text: str, message: str) -> str:
    """Return the line that a message of tomllib gives the number of."""
    found = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    number = int(found[1]) - 1 if found else len(lines)
    return f" in '{lines[number].partition(' = ')[0][:80]}'" if number < len(lines) else ""


def _lines(path: Path, kinds: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    """Every range with its key: [kind.device.dtype], then case.fraction."""
    for kind, devices in kinds.items():
        for device, dtypes in _table(path, kind, devices).items():
            for dtype, cases in _table(path, f"{kind}.{device}", dtypes).items():
                for case, fractions in _table(path, f"{kind}.{device}.{dtype}", cases).items():
                    for fraction, line in _table(path, f"{kind}.{device}.{dtype}.{case}", fractions).items():
                        yield Key(kind, case, fraction, device, dtype), line


def write_ranges(ranges: Ranges, path: Path) -> None:
    """Write the ranges of a task, sorted, so that equal ranges give equal files; the old file or the new one, no part.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
        ContractError: a number that is not finite.
    """
    write_bytes(path, as_text(ranges).encode())


def as_text(ranges: Ranges) -> str:
    """What is written; see :func:`write_ranges`."""
    shared: dict[str, dict[str, Any]] = {name: {} for name in SHARED}
    sections: dict[str, list[str]] = {}
    for key in sorted(ranges.ranges):
        fields = _line(ranges.ranges[key], shared) | {"seal": seal_of(ranges.task, key, ranges.ranges[key])}
        line = f"{toml_key(key.case)}.{toml_key(key.fraction)} = {toml_value(fields)}"
        sections.setdefault(".".join(map(toml_key, (key.kind, key.device, key.dtype))), []).append(line)
    parts = [_HEAD.format(task=ranges.task) + f"task = {toml_value(ranges.task)}\n{ROWS} = {len(ranges.ranges)}"]
    for name in SHARED:
        entries = [f"{toml_key(own)} = {toml_value(value)}" for own, value in sorted(shared[name].items())]
        parts += ["\n".join([f"[{name}]", *entries])] if entries else []
    parts += ["\n".join([f"[{name}]", *lines]) for name, lines in sections.items()]
    return "\n\n".join(parts) + "\n"


def _line(found: Range, shared: dict[str, dict[str, Any]]) -> dict[str, Any]:
    basis = found.basis
    parts = {
        "data": asdict(basis.data),
        "weights": basis.weights,
        "settings": _plain(basis.setting),
        "origins": _origin(found.origin),
    }
    numbers = {name: value for name in NUMBERS if (value := getattr(found, name)) is not None}
    names = {}
    for table, content in parts.items():
        if content is not None:
            names[table] = _weights_name(content) if isinstance(content, str) else short_name(content)
            shared[table][names[table]] = content
    return {**numbers, "rule": found.rule, **names}


def _origin(origin: Origin) -> dict[str, Any]:
    """Fields of an origin; the usual architecture is left out, so that files set before it was known stay equal."""
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(origin).items()}
    return {name: value for name, value in fields.items() if (name, value) != ("architectures", [X86_64])}


def _weights_name(weights: str) -> str:
    """First digits of a hash; ``random_seed0`` of random weights."""
    return weights.replace(":", "_").replace("=", "") if weights.startswith(RANDOM) else weights[:8]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


__all__ = [
    "FOLDER",
    "Basis",
    "Data",
    "Origin",
    "as_text",
    "range_path",
    "read_folder",
    "read_ranges",
    "read_unsealed",
    "seal_of",
    "write_ranges",
]
