"""Fields of catalog entries as TOML."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def toml_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return one line ``name = value`` per field."""
    return [f"{toml_key(name)} = {toml_value(value)}" for name, value in fields.items()]


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
