"""Range files, ``benchmarks/expected/<task>.toml``: one line per range, and tables of what ranges share."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from geofm_eval.errors import ContractError, DataError
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
from geofm_eval.plurals import counted
from geofm_eval.seals import content_hash
from geofm_eval.store import write_bytes

FOLDER = Path("benchmarks/expected")
"""Folder of range files in a checkout."""

Sections = dict[str, dict[str, dict[str, dict[str, dict[str, Any]]]]]
"""Fields of ranges by device, dtype, case and label fraction."""


class _File(BaseModel):
    """Content of a range file; every range names its entry in the shared tables ``data`` to ``origins``."""

    model_config = ConfigDict(extra="forbid")

    task: str
    rows: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Number of ranges. If it is given, every range has a seal; a file written by hand may have neither."""
    data: dict[str, Data] = {}
    weights: dict[str, Weights] = {}
    settings: dict[str, dict[str, Any]] = {}
    origins: dict[str, Origin] = {}
    probe: Sections = {}
    segment: Sections = {}
    tune: Sections = {}


SHARED = ("data", "weights", "settings", "origins")

_FILE = TypeAdapter(_File)
_RANGE = TypeAdapter(Annotated[Range, AfterValidator(consistent)])

NUMBERS = ("lo", "hi", "mean", "sd", "n", "spread", "freedom", "floor", "choices", "gap")

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+\.(0\.\d+|1\.0)")

_HEAD = """\
# Expected ranges of {task}, written by: geofm-eval expect RUN
# What they mean and how they change: docs/ranges.md
"""


def range_path(folder: Path, task: str) -> Path:
    """Return the range file of a task."""
    return folder / f"{task}.toml"


def read_folder(folder: Path, tasks: Iterable[str]) -> dict[str, Ranges]:
    """Read the ranges of some tasks; tasks without a file are left out.

    Raises:
        DataError: see :func:`read_ranges`.
    """
    paths = {task: range_path(folder, task) for task in tasks}
    return {task: read_ranges(path) for task, path in paths.items() if path.exists()}


def read_ranges(path: Path) -> Ranges:
    """Read the ranges of a task as they were written, or edited by hand and sealed again.

    Raises:
        DataError: the file is not valid TOML (a duplicate key included), an entry is invalid, or a range does not match
            its seal.
    """
    rows, count = _read(path)
    found = {key: row for key, (row, _) in rows.items()}
    if count is None and not rows:
        raise DataError(f"{path}: the file has no ranges; it was cut short. Restore it with git")
    if count is None and not any(seal for _, seal in rows.values()):
        return Ranges(path.stem, found)
    cure = f'restore the file with git, or accept the edit: geofm-eval expect --reseal {path.stem} --why "..."'
    for key, (row, seal) in rows.items():
        if seal != seal_of(path.stem, key, row):
            what = "has no seal" if seal is None else "does not match its seal"
            raise DataError(f"{path}: range '{key.name}' {what}: {cure}")
    if count != len(rows):
        raise DataError(f"{path}: found {counted(len(rows), 'range')}, expected {count} (rows): {cure}")
    return Ranges(path.stem, found)


def read_unsealed(path: Path) -> tuple[Ranges, frozenset[Key]]:
    """Read the ranges of a file regardless of seals; also return the keys whose seal is missing or does not match.

    Raises:
        DataError: the file is not valid TOML, or an entry is invalid.
    """
    rows, _ = _read(path)
    edited = frozenset(key for key, (row, seal) in rows.items() if seal != seal_of(path.stem, key, row))
    return Ranges(path.stem, {key: row for key, (row, _) in rows.items()}), edited


def seal_of(task: str, key: Key, found: Range) -> str:
    """Return the checksum of a range, its key and all that it shares with others, 16 hex digits."""
    fields = {
        name: float(value) if type(value) is int and name != "n" else value for name, value in vars(found).items()
    }
    plain = {**fields, "basis": asdict(found.basis), "origin": asdict(found.origin)}
    return content_hash([task, asdict(key), plain])[:16]


def _read(path: Path) -> tuple[dict[Key, tuple[Range, str | None]], int | None]:
    """Read ranges with their seals, and the number of ranges that the file states."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}): restore it with 'git checkout -- {path}'") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deeply: restore it with 'git checkout -- {path}'") from None
    except ValueError as error:
        raise DataError(f"{path}: {str(error)[:120]}{_line_of(text, str(error))}: correct that line") from None
    file = _checked(str(path), _FILE, content)
    if file.task != path.stem:
        raise DataError(f"{path}: task is '{file.task[:60]}', expected '{path.stem}', the name of the file")
    return {key: _range(path, key, fields, file) for key, fields in _lines(file)}, file.rows


def _checked(where: str, kind: TypeAdapter[Any], value: Any) -> Any:
    """Validate a value; the error names an unknown field first, which may be a misspelt one that is also missing."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        unknown = ("unexpected_keyword_argument", "extra_forbidden")
        first = min(error.errors(), key=lambda one: one["type"] not in unknown)
    name, problem = ".".join(map(str, first["loc"]))[:80], first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        problem = f"field '{name}' is missing: add it"
    elif first["type"] in unknown:
        problem = f"field '{name}' is unknown: docs/ranges.md lists the fields; remove it"
    elif name:
        problem = re.sub(r"a (valid )?dictionary( or an instance of \w+)?", "a table", problem)
        problem = problem.replace("Input should be", "expected").replace(
            "expected greater", "expected a number greater"
        )
        problem = f"{name} is {repr(first['input'])[:60]}, {problem}: correct it"
    raise DataError(f"{where}: {problem}, or write the range again with geofm-eval expect")


def _range(path: Path, key: Key, fields: dict[str, Any], file: _File) -> tuple[Range, str | None]:
    """One range from its line and the entries that it names, and its seal; None if it has none."""
    where = f"{path}: range '{key.name[:100]}'"
    if not _NAME.fullmatch(f"{key.case}.{key.fraction}"):
        raise DataError(
            f'{where}: expected model-adaptation-layer."fraction", for example pocket_mae-linear-final."1.0": correct '
            "the name, or write the range again with geofm-eval expect"
        )
    found: dict[str, Any] = {}
    for table in SHARED:
        if table in fields:
            entries, name = getattr(file, table), str(fields[table])
            if name not in entries:
                known = ", ".join(entries)[:80] or "none"
                raise DataError(
                    f"{where}: {table} '{name[:60]}' is not in the table [{table}], which has {known}: correct the "
                    "name, or write the range again with geofm-eval expect"
                )
            found[table] = entries[name]
        elif table != "weights":
            raise DataError(f"{where}: field '{table}' is missing: add the name of an entry of the table [{table}]")
    own = {name: value for name, value in fields.items() if name not in (*SHARED, "seal")}
    basis = Basis(found.get("weights"), found["data"], found["settings"])
    return _checked(where, _RANGE, {**own, "basis": basis, "origin": found["origins"]}), fields.get("seal")


def _line_of(text: str, message: str) -> str:
    """Return the key of the line whose number a message of tomllib gives."""
    found = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    number = int(found[1]) - 1 if found else len(lines)
    return f" in '{lines[number].partition(' = ')[0][:80]}'" if number < len(lines) else ""


def _lines(file: _File) -> Iterator[tuple[Key, dict[str, Any]]]:
    for kind in KINDS:
        for device, dtypes in getattr(file, kind).items():
            for dtype, cases in dtypes.items():
                for case, fractions in cases.items():
                    for fraction, fields in fractions.items():
                        yield Key(kind, case, fraction, device, dtype), fields


def write_ranges(ranges: Ranges, path: Path) -> None:
    """Write the ranges of a task, sorted, so that equal ranges give equal files; never a part of a file.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
        ContractError: a number is not finite.
    """
    write_bytes(path, as_text(ranges).encode())


def as_text(ranges: Ranges) -> str:
    """Return the content of the file; see :func:`write_ranges`."""
    shared: dict[str, dict[str, Any]] = {name: {} for name in SHARED}
    sections: dict[str, list[str]] = {}
    for key in sorted(ranges.ranges):
        fields = _line(ranges.ranges[key], shared) | {"seal": seal_of(ranges.task, key, ranges.ranges[key])}
        line = f"{toml_key(key.case)}.{toml_key(key.fraction)} = {toml_value(fields)}"
        sections.setdefault(".".join(map(toml_key, (key.kind, key.device, key.dtype))), []).append(line)
    parts = [_HEAD.format(task=ranges.task) + f"task = {toml_value(ranges.task)}\nrows = {len(ranges.ranges)}"]
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
    """Fields of an origin; the default architecture is left out, so that older files stay equal."""
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(origin).items()}
    return {name: value for name, value in fields.items() if (name, value) != ("architectures", [X86_64])}


def _weights_name(weights: str) -> str:
    """First digits of a hash; ``random_seed0`` of random weights."""
    return weights.replace(":", "_").replace("=", "") if weights.startswith(RANDOM) else weights[:8]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def toml_value(value: Any) -> str:
    """Write a value in TOML on one line: text, numbers, true and false, lists and tables of these.

    Raises:
        ContractError: a number is not finite, or TOML has no such value, for example None.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON escapes everything that TOML requires, except for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(str(name))} = {toml_value(part)}" for name, part in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    raise ContractError(f"{value!r} cannot be written to TOML: expected text, finite numbers, lists and tables")


def toml_key(name: str) -> str:
    """Write a key, quoted if necessary."""
    return name if _BARE.fullmatch(name) else toml_value(name)
