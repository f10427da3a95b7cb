"""Damage to a file, and the verdicts on reading it."""

import random
from collections.abc import Callable
from typing import Literal

Verdict = Literal["right", "reported", "lost", "silently wrong", "traceback", "code run"]
"""Right: the content as written. Reported: a message names the file, or it is rebuilt. Lost: other, intact content is
missing too. Silently wrong: changed content without a message. Traceback: an error that this library does not raise.
Code run: code in the file was executed."""

VERDICTS: tuple[Verdict, ...] = ("right", "reported", "lost", "silently wrong", "traceback", "code run")

DIGITS = b"0123456789"


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Change a bit, a byte or a digit, or truncate the bytes (one in five)."""
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
