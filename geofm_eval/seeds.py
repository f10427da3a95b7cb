"""Random generators that depend only on names and numbers, not on process, worker or order of calls."""

import hashlib

import numpy as np


def generator(*parts: str | int | float) -> np.random.Generator:
    """Return a generator seeded with the sha256 of its arguments, for example ``("labels", seed, draw)``."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
