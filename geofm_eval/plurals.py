"""Numbers with their nouns."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun: ``1 cell``, ``2 cells``.

    ``plural`` is for nouns that take more than an ``s``: ``1 entry``, ``2 entries``.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"
