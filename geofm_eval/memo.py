"""What is computed once and kept, errors included."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """Computes a value once per key and gives every later caller the same value, or the same error.

    Args:
        keep: how many values are held, the latest ones; None holds all. Errors are small and always held.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._values: dict[Hashable, Any] = {}
        self._errors: dict[Hashable, Exception] = {}

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of ``key``, computed by the first call, or raise the error that the first call raised."""
        if key in self._errors:
            # Without the old traceback, which would grow with every call and keep the failed step's arrays alive.
            raise self._errors[key].with_traceback(None)
        if key not in self._values:
            if self._keep is not None and len(self._values) >= self._keep:
                del self._values[next(iter(self._values))]  # before the next one takes its memory
            try:
                self._values[key] = compute()
            except Exception as error:
                self._errors[key] = error
                raise
        kept: T = self._values[key]
        return kept
