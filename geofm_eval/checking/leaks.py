"""Leaks between splits: equal files, groups in several splits, and samples at the same place."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.data.items import Item
from geofm_eval.data.readers.images import is_image
from geofm_eval.data.units import overlapping_pairs

Parts = Mapping[str, Sequence[Item]]
"""Samples by split, or by fold."""


@dataclass(frozen=True)
class Leak:
    """Pairs of samples in different splits that are too much alike.

    Args:
        what: what the two have in common.
        first: (split, id) of the first pair.
        count: number of samples that share something with another split.
        cure: what to do.
    """

    what: str
    first: tuple[tuple[str, str], tuple[str, str]]
    count: int
    cure: str

    def __str__(self) -> str:
        (split, item), (other, its) = self.first
        return (
            f"{self.count} samples {self.what} as a sample of another split, first '{item[:60]}' ({split}) and "
            f"'{its[:60]}' ({other}); {self.cure}"
        )


def find_leaks(parts: Parts, contents: Mapping[Path, str]) -> list[Leak]:
    """Find what splits have in common.

    Args:
        parts: samples by split.
        contents: hash by image file; may be empty.
    """
    once = _files_of_one_sample(parts)
    found = (
        _shared(parts, lambda item: _bytes(item, contents, once), "have the same bytes", "remove the copies"),
        _shared(parts, lambda item: item.group, "are of the same group", "keep each group in one split"),
        _shared(parts, _point, "are at the same coordinates", "keep each place in one split: split = 'blocks'"),
        _overlapping(parts),
    )
    return [leak for leak in found if leak is not None]


def _files_of_one_sample(parts: Parts) -> set[Path]:
    """Files that hold one sample, listed once or more often: windows of one scene share its bytes."""
    seen: dict[Path, set[object]] = {}
    for items in parts.values():
        for item in items:
            seen.setdefault(item.path, set()).add(item.box)
    return {path for path, boxes in seen.items() if len(boxes) == 1 and is_image(path)}


def _bytes(item: Item, contents: Mapping[Path, str], once: set[Path]) -> Hashable:
    paths = (item.path, *item.others)
    if item.path not in once or any(path not in contents for path in paths):
        return None
    return (*(contents[path] for path in paths), item.frames)


def _point(item: Item) -> Hashable:
    if item.lonlat is None or item.box is not None:
        return None
    return tuple(round(degrees, 6) for degrees in item.lonlat)


def _shared(parts: Parts, key_of: Callable[[Item], Hashable], what: str, cure: str) -> Leak | None:
    owners: dict[Hashable, list[tuple[str, str]]] = {}
    for split, items in parts.items():
        for item in items:
            key = key_of(item)
            if key is not None:
                owners.setdefault(key, []).append((split, item.id))
    return _leak([found for found in owners.values() if len({split for split, _ in found}) > 1], what, cure)


def _leak(shared: Sequence[Sequence[tuple[str, str]]], what: str, cure: str) -> Leak | None:
    if not shared:
        return None
    one, *others = shared[0]
    other = next(found for found in others if found[0] != one[0])
    return Leak(what, (one, other), len({pair for found in shared for pair in found}), cure)


def _overlapping(parts: Parts) -> Leak | None:
    owners = [(split, item) for split, items in parts.items() for item in items]
    names = [(split, item.id) for split, item in owners]
    pairs = [(names[a], names[b]) for a, b in overlapping_pairs([item for _, item in owners]).tolist()]
    across = [(first, second) for first, second in pairs if first[0] != second[0]]
    return _leak(across, "show the same place", "keep overlapping samples in one split: split = 'blocks'")
