"""Cache of computed values and errors."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
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


class Remembers(Protocol):
    """Something with a memo of what follows from it."""

    @property
    def known(self) -> Memo:
        """What was computed from it before."""


R = TypeVar("R", bound=Remembers)


def once(compute: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """Decorate a function of something that remembers, such as a run, and of what can be a key, such as a catalog.

    It is computed once for these; callers must not change the result.
    """

    @wraps(compute)
    def known(first: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return first.known.get((compute, args, tuple(kwargs.items())), lambda: compute(first, *args, **kwargs))

    return known
