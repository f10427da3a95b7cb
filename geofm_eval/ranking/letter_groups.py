"""Groups that cannot be told apart, as letters: two subjects share one exactly where they do not differ clearly."""

from collections.abc import Collection, Iterator, Sequence
from string import ascii_lowercase


def letters(subjects: Sequence[str], apart: Collection[frozenset[str]]) -> dict[str, str]:
    """Compact letter display (Piepho 2004, Journal of Computational and Graphical Statistics 13).

    A group is a maximal set of subjects (best first) of which no two differ clearly; a subject may belong to several,
    as "not clearly different" is not transitive. Groups are named in the order of their best members.

    Returns:
        Letters by subject: ``a``, ``ab``, ``b``.
    """
    near = {
        one: {other for other in subjects if other != one and frozenset((one, other)) not in apart} for one in subjects
    }
    place = {name: number for number, name in enumerate(subjects)}
    groups = sorted(sorted(place[name] for name in group) for group in _maximal(near, set(), set(subjects), set()))
    return {
        name: "".join(_letter(number) for number, group in enumerate(groups) if place[name] in group)
        for name in subjects
    }


def _maximal(near: dict[str, set[str]], group: set[str], open_: set[str], closed: set[str]) -> Iterator[set[str]]:
    """Maximal cliques (Bron and Kerbosch 1973, with a pivot)."""
    if not open_ and not closed:
        yield group
        return
    pivot = max(sorted(open_ | closed), key=lambda name: len(near[name] & open_))
    for name in sorted(open_ - near[pivot]):
        yield from _maximal(near, group | {name}, open_ & near[name], closed & near[name])
        open_ = open_ - {name}
        closed = closed | {name}


def _letter(number: int) -> str:
    rounds, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + "'" * rounds
