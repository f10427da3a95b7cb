"""Writing TOML, which the standard library only reads: plain values, inline tables, one line each."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from geofm_eval.errors import ContractError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: Any) -> str:
    """A value on one line: text, numbers, true and false, lists and tables of these.

    Raises:
        ContractError: a number that is not finite, or a value that TOML has no word for, such as None.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON escapes what TOML wants escaped, but for one character.
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
    """A key, quoted where it has to be."""
    return name if _BARE.fullmatch(name) else toml_value(name)
