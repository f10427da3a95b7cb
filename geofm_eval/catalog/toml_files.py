"""Read TOML files of the user within bounds, so that no file stalls or ends in a traceback; shorten what they hold."""

import re
import tomllib
from pathlib import Path
from typing import Any

from geofm_eval.errors import ContractError

MOST_BYTES = 10_000_000
"""Largest catalog file; the package's own have 45 kB."""

DEEPEST = 50
"""Most tables and lists within each other; printing or comparing far deeper values overflows the stack."""

LONGEST_KEY = 1_000
"""Most dots of a key. The time that tomllib takes grows with their square: a minute for 50,000."""

LONGEST_TEXT = 4_096
"""Most characters of a text, for example of a path."""

_KEY = re.compile(r"[^\n=,\[\]{}#]+")


def short(text: object, most: int = 80) -> str:
    """Return the beginning of a text; characters that would change a terminal are escaped."""
    whole = str(text)
    cut = whole if len(whole) <= most else f"{whole[:most]}.."
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in cut)


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ContractError: the file is missing or not TOML, larger or nested more deeply than a catalog ever is, or has a
            whole number of more than 64 bits or a very long text.
    """
    try:
        with file.open("rb") as stream:  # bounded, because a device such as /dev/zero has no end
            raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 10**6} MB")
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")  # Windows may write a byte order mark
        if any(found[0].count(".") > LONGEST_KEY for found in _KEY.finditer(text)):
            raise ValueError(f"a key has more than {LONGEST_KEY:,} parts")
        content = tomllib.loads(text)
        _check_values(content)
    except FileNotFoundError:
        raise ContractError(f"{file}: catalog file does not exist: check the path given with --catalog") from None
    except RecursionError:
        raise ContractError(f"{file}: not a readable TOML file: it is nested too deeply; correct the file") from None
    except (ValueError, OSError) as error:  # numbers of very many digits are a ValueError of their own
        raise ContractError(f"{file}: not a readable TOML file: {short(error)}; correct it or its path") from None
    return content


def _check_values(content: dict[str, Any]) -> None:
    """Refuse deep values, and numbers and texts that no message could show. Recursion would fail on deep values."""
    level: list[Any] = [content]
    for _ in range(DEEPEST + 1):
        if any(isinstance(value, str) and len(value) > LONGEST_TEXT for value in level):
            raise ValueError(f"a text has more than {LONGEST_TEXT:,} characters")
        if any(type(value) is int and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError("a whole number has more than 64 bits")
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise RecursionError
