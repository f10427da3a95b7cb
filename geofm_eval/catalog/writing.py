"""Fields of catalog entries as TOML."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def toml_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return one line ``name = value`` per field."""
    return [f"{toml_key(name)} = {toml_value(value)}" for name, value in fields.items()]


def toml_table(header: str, fields: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Return one table, without an empty line at its end.

    Args:
        header: dotted name of the table, for example ``tasks.plots``.
        fields: texts, numbers, truth values, and nested sequences and mappings of these, by name.
        comments: remarks that follow the value of a field on its line.
    """
    told = comments or {}
    lines = [
        f"{line}{toml_comment(told.get(name, ''))}" for name, line in zip(fields, toml_fields(fields), strict=True)
    ]
    return "\n".join([f"[{header}]", *lines])


def toml_comment(text: str) -> str:
    """Return a remark as the end of a line, empty without text; descriptions in files may contain anything."""
    return f"  # {''.join(one if one.isprintable() else ' ' for one in text)}" if text else ""


def toml_value(value: Any) -> str:
    """Return a text, number, truth value, sequence or mapping as TOML on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(toml_fields(value))} }}" if value else "{}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    return repr(value)


def toml_key(name: str) -> str:
    """Return a name as a key, in quotes unless it consists of ASCII letters, digits, ``-`` and ``_``."""
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _quoted(name)


def _quoted(text: str) -> str:
    # The escapes of JSON are those of TOML, which also needs one for the delete character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
