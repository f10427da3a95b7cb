"""Cache of computed values and errors."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """Computes a value once per key; later calls return the same value, or raise the same error.

    Args:
        keep: number of most recent values to hold; None holds all. Errors are always held.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._values: dict[Hashable, Any] = {}
        self._errors: dict[Hashable, Exception] = {}

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of ``key``, or raise its error; only the first call computes it."""
        if key in self._errors:
            # Without the old traceback, which would grow with every call and keep arrays of the failed step alive.
            raise self._errors[key].with_traceback(None)
        if key not in self._values:
            if self._keep is not None and len(self._values) >= self._keep:
                del self._values[next(iter(self._values))]  # free memory before the next value is computed
            try:
                self._values[key] = compute()
            except Exception as error:
                self._errors[key] = error
                raise
        kept: T = self._values[key]
        return kept
