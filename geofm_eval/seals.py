"""Checksums inside documents and files, and a strict JSON parser."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM = "checksum"
"""Name of the field with the checksum of all other fields."""


def content_hash(content: object) -> str:
    """Return the hex sha256 of a JSON-serialisable object, independent of the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return the hex sha256 over the canonical JSON of a document without its checksum.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return content_hash({name: value for name, value in content.items() if name != CHECKSUM})


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its checksum as last field."""
    # As a reader will find it: lists instead of tuples, strings instead of numbers as keys.
    kept = json.loads(json.dumps({name: value for name, value in content.items() if name != CHECKSUM}, allow_nan=False))
    return {**kept, CHECKSUM: checksum_of(kept)}


def is_whole(content: Mapping[str, Any]) -> bool:
    """Return whether a document has a checksum that matches its content."""
    return isinstance(content.get(CHECKSUM), str) and content[CHECKSUM] == checksum_of(content)


_SEAL = b"geofm-eval sha256 "
"""Beginning of a binary file with a checksum; 64 hex digits, a line feed and the content follow."""


def seal_bytes(content: bytes) -> bytes:
    """Return the content after a line with its checksum."""
    return _SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unseal_bytes(raw: bytes) -> bytes:
    """Return the content given to :func:`seal_bytes`.

    Raises:
        ValueError: there is no checksum, or the content does not match it.
    """
    start = len(_SEAL) + 65
    content = raw[start:]
    if raw[:start] != seal_bytes(content)[:start]:
        raise ValueError("its content does not match its checksum" if raw.startswith(_SEAL) else "it has no checksum")
    return content


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; reject duplicate keys, NaN, infinity, overlong numbers and deep nesting.

    Raises:
        ValueError: the text is not JSON, or violates one of these rules; the message says which.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice[:60]!r} is duplicated")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
