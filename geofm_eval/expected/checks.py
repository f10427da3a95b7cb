"""Entries of a range file, field by field: people edit them, and an error says which one and what to do."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geofm_eval.errors import DataError
from geofm_eval.expected.admissible import from_text
from geofm_eval.expected.ranges import RANDOM, RULES, X86_64, Basis, Data, Key, Origin, Range

_FRACTION = re.compile(r"0\.\d+|1\.0")
_CASE = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+")
_SHA = re.compile(r"[0-9a-f]{64}")

_NUMBER, _COUNT, _TEXT, _TABLE, _TEXTS = "a number", "a whole number", "a text", "a table", "a list of texts"
_LINE = {
    **dict.fromkeys(("lo", "hi", "mean"), _NUMBER),
    "n": _COUNT,
    **dict.fromkeys(("rule", "data", "settings", "origins"), _TEXT),
}
_OPTIONAL = {
    **dict.fromkeys(("sd", "spread", "freedom", "floor", "gap"), _NUMBER),
    **dict.fromkeys(("choices", "weights", "seal"), _TEXT),
}
_DATA = {"task_version": _COUNT, "split": _TEXT, "protocol": _TEXT, "items": _TABLE, "labels": _TABLE}
_ORIGIN = {"runs": _TEXTS, "why": _TEXT, "code": _TEXT, "date": _TEXT}
_MACHINES = {"architectures": _TEXTS}


def table_of(path: Path, name: str, value: Any) -> dict[str, Any]:
    """A table of the file; DataError for anything else."""
    if not isinstance(value, dict):
        raise DataError(f"{path}: '{name}' is {value!r}, expected a table: see docs/ranges.md for what is in it")
    return value


def read_range(path: Path, key: Key, line: Any, shared: Mapping[str, Mapping[str, Any]]) -> tuple[Range, str | None]:
    """One range from its line and the tables that it names, and the seal of the line; None where it has none.

    Args:
        path: of the file, for messages.
        key: what the range belongs to.
        line: its fields.
        shared: by table and name, what ranges share.

    Raises:
        DataError: a field that is absent, unknown, of another type, or makes no sense.
    """
    where = f"{path}: range '{key.name}'"
    if not _CASE.fullmatch(key.case) or not _FRACTION.fullmatch(key.fraction):
        raise DataError(
            f'{where}: expected model-adaptation-layer."fraction", such as pocket_mae-linear-final."1.0"; '
            f"found {key.case}.{key.fraction}"
        )
    fields = _checked(where, line, _LINE, _OPTIONAL)
    seal = fields.pop("seal", None)
    if fields["rule"] not in RULES:
        raise DataError(f"{where}: rule is '{fields['rule']}', expected one of {', '.join(RULES)}")
    _check_numbers(where, fields)
    _check_choices(where, fields)
    found = {name: _shared(where, shared, name, fields.pop(name)) for name in ("data", "settings", "origins")}
    weights = fields.pop("weights", None)
    sha = None if weights is None else _weights(where, shared, weights)
    basis = Basis(sha, _data(where, found["data"]), table_of(path, "settings", found["settings"]))
    plain = ("rule", "n", "choices")
    numbers: dict[str, Any] = {name: float(value) for name, value in fields.items() if name not in plain}
    given: dict[str, Any] = {name: fields[name] for name in plain if name in fields}
    return Range(basis=basis, origin=_origin(where, found["origins"]), **given, **numbers), seal


def _checked(where: str, found: Any, needed: Mapping[str, str], optional: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a table, each of the type that it should have."""
    if not isinstance(found, dict):
        raise DataError(f"{where}: found {found!r}, expected a table with {', '.join(needed)}")
    known = {**needed, **optional}
    unknown, absent = sorted(set(found) - set(known)), sorted(set(needed) - set(found))
    if unknown:
        raise DataError(f"{where}: field '{unknown[0]}' is unknown; expected {', '.join(known)}")
    if absent:
        raise DataError(
            f"{where}: field '{absent[0]}' is absent: add it, or write the range anew with geofm-eval expect"
        )
    for name, value in found.items():
        if not _is(value, known[name]):
            raise DataError(f"{where}: {name} is {value!r}, expected {known[name]}")
    return dict(found)


def _is(value: Any, wanted: str) -> bool:
    if wanted in (_NUMBER, _COUNT):
        kinds: Any = int if wanted == _COUNT else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if wanted == _TEXTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str if wanted == _TEXT else dict)


def _check_numbers(where: str, fields: Mapping[str, Any]) -> None:
    if not fields["lo"] <= fields["mean"] <= fields["hi"]:
        raise DataError(
            f"{where}: lo = {fields['lo']}, mean = {fields['mean']}, hi = {fields['hi']}, expected lo <= mean <= hi: "
            "exchange them, or write the range anew with geofm-eval expect"
        )
    if fields["n"] < 1 or any(fields.get(name, 0) < 0 for name in ("sd", "spread", "floor", "gap")):
        raise DataError(f"{where}: n must be at least 1, and sd, spread, floor and gap at least 0")
    needed = ("sd", "spread", "freedom", "floor")
    if fields["rule"] == "seeds" and not all(name in fields for name in needed):
        raise DataError(f"{where}: rule seeds needs {', '.join(needed)}: write the range anew with geofm-eval expect")
    if fields.get("freedom", 1) <= 0:
        raise DataError(f"{where}: freedom is {fields['freedom']}, expected a number above 0")


def _check_choices(where: str, fields: Mapping[str, Any]) -> None:
    if "choices" not in fields:
        return
    if fields["rule"] != "numeric":
        raise DataError(f"{where}: choices are of rule numeric, and its rule is {fields['rule']}: remove them")
    try:
        from_text(fields["choices"])
    except ValueError:
        raise DataError(
            f"{where}: choices is '{fields['choices'][:40]}', expected positions of penalties such as '21|22 20': "
            "draws by spaces, those of a draw by bars, none twice"
        ) from None


def _shared(where: str, shared: Mapping[str, Mapping[str, Any]], table: str, name: str) -> Any:
    if name not in shared[table]:
        known = ", ".join(shared[table]) or "none"
        raise DataError(f"{where}: {table} is '{name}', which the table [{table}] lacks; it has {known}")
    return shared[table][name]


def _weights(where: str, shared: Mapping[str, Mapping[str, Any]], name: str) -> str:
    found = _shared(where, shared, "weights", name)
    if not isinstance(found, str) or not (_SHA.fullmatch(found) or found.startswith(RANDOM)):
        raise DataError(
            f"{where}: weights '{name}' are {found!r}, expected a sha256 of 64 hex digits, or {RANDOM}seed=N"
        )
    return found


def _data(where: str, found: Any) -> Data:
    fields = _checked(f"{where}, its data", found, _DATA, {})
    for name in ("items", "labels"):
        for split, sha in fields[name].items():
            if not isinstance(sha, str) or not _SHA.fullmatch(sha):
                raise DataError(f"{where}: {name} of split '{split}' are {sha!r}, expected a sha256 of 64 hex digits")
    return Data(**fields)


def _origin(where: str, found: Any) -> Origin:
    fields = _checked(f"{where}, its origin", found, _ORIGIN, _MACHINES)
    if not fields["why"].strip():
        raise DataError(f"{where}: why is blank: say in a sentence why the range is what it is")
    machines = tuple(fields.get("architectures", (X86_64,)))
    if not machines:
        raise DataError(f"{where}: architectures is empty: name those that the range was set on, or leave it out")
    return Origin(tuple(fields["runs"]), fields["why"], fields["code"], fields["date"], machines)
