"""Control of Python's cyclic garbage collector for records, which consist of millions of small objects without cycles.

All of them are kept, so that repeated searches for cycles would cost time and find nothing.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable the collector while objects are created that are all kept."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def set_aside() -> Iterator[None]:
    """Exclude all existing objects from garbage collection.

    Collections are then fast and frequent, so that figures, which contain cycles, are freed soon.
    """
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
