"""Series in a table: several rows of one sample with a date each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geofm_eval.looking.columns import plain
from geofm_eval.looking.embeddings import IDS

DATES = ("date", "datetime", "acquired", "acquisition_date", "timestamp")
"""Usual names of a column of dates, in lower case."""


@dataclass(frozen=True)
class SeriesColumns:
    """Columns that make rows the dates of a series.

    Args:
        id: column of the samples.
        date: column of the dates.
        ids: sample of every row.
        dates: number of dates that most samples have.
    """

    id: str
    date: str
    ids: tuple[str, ...]
    dates: int

    @property
    def told(self) -> str:
        """A remark on the number of dates."""
        counts = Counter(Counter(self.ids).values())
        others = counts.total() - counts[self.dates]
        return f"{counts[self.dates]} samples have {self.dates} dates" + (
            f"; {others} have another number and are dropped" if others else ""
        )

    def per_sample(self, values: Sequence[str]) -> list[str]:
        """Return one value per sample, the first that is not empty."""
        found: dict[str, str] = {}
        for id, value in zip(self.ids, values, strict=True):
            found[id] = found.get(id) or value
        return list(found.values())


def find_series(names: Sequence[str], labels: Sequence[str], read: Callable[[str], list[str]]) -> SeriesColumns | None:
    """Return the columns of a series; None if there is no column of dates, or most samples have a single row.

    Rows with different labels are different samples, even if they have the same id.

    Args:
        names: columns of the table.
        labels: label of every row.
        read: returns a column as text.
    """
    known = {plain(name): name for name in names}
    date = next((known[one] for one in DATES if one in known), None)
    if date is None:
        return None
    for name in (known[one] for one in IDS if one in known):
        ids = read(name)
        counts = Counter(Counter(ids).values())
        dates = max(counts, key=lambda count: (counts[count], count), default=1)
        pairs = {(id, label) for id, label in zip(ids, labels, strict=True) if label}
        if dates > 1 and len(pairs) <= len(set(ids)):
            return SeriesColumns(name, date, tuple(ids), dates)
    return None
