"""Random generators that depend on names and numbers alone: never on the process, the worker or the order of calls."""

import hashlib

import numpy as np


def generator(*parts: str | int | float) -> np.random.Generator:
    """Return a generator seeded from the sha256 of its arguments.

    Args:
        parts: what the randomness belongs to, such as ``("labels", seed, draw)``.
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
