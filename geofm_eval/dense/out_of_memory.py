"""Batches that the memory does not hold, and smaller ones that it does."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def in_memory(work: Callable[[], T]) -> T | None:
    """What some work gives; None where the memory does not hold it."""
    try:
        return work()
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        return None


def ran_out_of_memory(error: RuntimeError) -> bool:
    """True for what PyTorch raises when a GPU or the machine has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def advice(count: int, holds: Callable[[int], bool]) -> str:
    """Say what to do about a batch of ``count`` examples that is too large: smaller ones are tried.

    Args:
        count: its size.
        holds: whether the memory holds a batch of a size.
    """
    fits = next((size for size in _halves(count) if holds(size)), None)
    return f"a batch of {fits} fits: --batch {fits}" if fits else "not even a batch of 2 fits: take a smaller model"


def _halves(count: int) -> list[int]:
    """Smaller batches to try, down to two: 8 -> 4, 2, and 3 -> 2."""
    found = []
    while count > 2:
        count = max(count // 2, 2)
        found.append(count)
    return found
