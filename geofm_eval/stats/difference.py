"""A difference of two scores with its paired interval."""

import math
from dataclasses import dataclass

from geofm_eval.stats.scores import Interval

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """Difference of two test scores in the metric's own unit, with its paired interval if there is one.

    ``freedom`` are the degrees of freedom of the t distribution of its error.
    """

    value: float
    low: float | None = None
    high: float | None = None
    freedom: float = math.inf

    @classmethod
    def within(cls, value: float, interval: Interval | None) -> "Difference":
        """Combine a difference with its interval, if there is one."""
        return cls(value) if interval is None else cls(value, interval.low, interval.high, interval.freedom)

    def times(self, factor: float) -> "Difference":
        """Convert to another unit; a negative factor swaps the ends."""
        # Adding zero turns -0.0, which a change of sign can give, into 0.0.
        value = factor * self.value + 0.0
        if self.low is None or self.high is None:
            return Difference(value)
        low, high = sorted((factor * self.low, factor * self.high))
        return Difference(value, low, high, self.freedom)
