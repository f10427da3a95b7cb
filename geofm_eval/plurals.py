"""Numbers with their nouns, durations, and lists of names."""

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun: ``1 cell``, ``2 cells``.

    ``plural`` is for nouns that take more than an ``s``: ``1 entry``, ``2 entries``.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


def some_of(names: Sequence[str], room: int = 160) -> str:
    """Return as many names as fit, joined by commas, and the number of the others: ``B01, B02 and 4998 more``."""
    whole = ", ".join(names)
    if len(whole) <= room:
        return whole
    shown = whole[:room].rpartition(", ")[0].count(", ") + 1
    first = ", ".join(names[:shown])
    return f"{first[:room]} and {len(names) - shown} more"


def rough_duration(seconds: float) -> str:
    """Format an estimated duration: ``20 seconds``, ``6 minutes``, ``2 hours 10 minutes``."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    minutes = max(1, round(seconds / 60))
    if minutes >= 90:
        hours, rest = divmod(5 * round(minutes / 5), 60)
        return f"{counted(hours, 'hour')}{f' {rest} minutes' if rest else ''}"
    return counted(minutes, "minute")
