"""Damage to a file, and what reading it led to."""

import random
from collections.abc import Callable
from typing import Literal

Verdict = Literal["right", "told", "lost", "silent wrong", "traceback", "code run"]
"""The content as written; a message that names the file, or a rebuild; other whole content lost too; changed
content without a message; an error that this library did not raise; code from the file ran."""

VERDICTS: tuple[Verdict, ...] = ("right", "told", "lost", "silent wrong", "traceback", "code run")

DIGITS = b"0123456789"


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """The bytes with a bit, a byte or a digit changed, or cut short; one in five is cut."""
    found = bytearray(raw)
    kind = rng.choice(("bit", "byte", "digit", "digit", "cut"))
    at = rng.randrange(len(raw))
    places = [place for place, byte in enumerate(raw) if byte in DIGITS] if kind == "digit" else []
    if kind == "cut":
        del found[at:]
    elif places:
        at = rng.choice(places)
        found[at] = rng.choice([digit for digit in DIGITS if digit != raw[at]])
    elif kind == "byte":
        found[at] = rng.choice([byte for byte in range(256) if byte != raw[at]])
    else:
        found[at] ^= 1 << rng.randrange(8)
    return bytes(found)


Trial = Callable[[random.Random], Verdict]
"""Damages a fresh copy of one file, reads it as the library does, and restores it."""
