"""Python's search for reference cycles, kept off the millions of small objects that the records of a run consist of.

They hold no cycles and all of them stay, so that searching them again and again, as their number grows, finds nothing.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Search for no cycles while objects are made that all stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def set_aside() -> Iterator[None]:
    """Leave the objects that exist now out of every search for cycles.

    Searches are then short, and as frequent as in a small program: figures, which are cycles, are freed soon.
    """
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
