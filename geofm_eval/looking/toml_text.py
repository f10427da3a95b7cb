"""Values and tables as TOML text, in the order given."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def toml_table(header: str, fields: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Return one table as TOML, without an empty line at its end.

    Args:
        header: dotted name of the table, for example ``tasks.plots``.
        fields: texts, numbers, truth values, and nested sequences and mappings of these, by name.
        comments: remarks that follow the value of a field on its line.
    """
    told = comments or {}
    lines = [f"{name} = {toml_value(value)}{toml_comment(told.get(name, ''))}" for name, value in fields.items()]
    return "\n".join([f"[{header}]", *lines])


def toml_comment(text: str) -> str:
    """Return a remark as the end of a line, empty without text; descriptions in files may contain anything."""
    return f"  # {''.join(one if one.isprintable() else ' ' for one in text)}" if text else ""


def toml_value(value: Any) -> str:
    """Return a value on one line; mappings become inline tables."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {toml_value(one)}' for name, one in value.items())} }}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
