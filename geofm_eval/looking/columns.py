"""Labels of a column: classes by name or number, or numbers to predict."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geofm_eval.data.delimited import MISSING
from geofm_eval.errors import DataError

LABELS = ("label", "labels", "class", "class_name", "category", "target", "y", "crop", "landcover", "land_cover")
"""Usual names of a column of labels, in lower case."""

WORDS = ("NA", "N/A", "na", "n/a", "None", "none")
"""Texts that mean a missing number, but name a class among texts."""

MANY_NUMBERS = 20
"""Distinct whole numbers above which a column holds numbers to predict, not classes."""

MANY_CLASSES = 200


@dataclass(frozen=True)
class Labels:
    """Labels of a column: the kind of task, classes in order, samples per class, remarks and warnings."""

    kind: Literal["classification", "regression"]
    classes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def plain(name: str) -> str:
    """Return a name of a column without capitals and surrounding spaces."""
    return name.strip().lower()


def without_coordinates(names: Sequence[str]) -> list[str]:
    """Return names of columns without ``x`` and ``y``, if both exist."""
    pair = {"x", "y"}
    return [name for name in names if plain(name) not in pair or not pair <= set(map(plain, names))]


def usual_label(names: Sequence[str]) -> str | None:
    """Return the column whose name is usual for labels; None if there is none."""
    named = without_coordinates(names)
    return next((name for word in LABELS for name in named if plain(name) == word), None)


def as_classes(path: Path, column: str, values: Sequence[str]) -> Labels:
    """Decide whether a column holds classes or numbers.

    Raises:
        DataError: there is no label, one class, or text with too many distinct values for classes.
    """
    counts = Counter(value for value in values if value not in MISSING)
    found = [_number(value) for value in counts]
    words = Counter(value for value in values if value in WORDS) if None in found else Counter[str]()
    counts += words
    absent = len(values) - sum(counts.values())
    warnings = (f"{absent} of {len(values)} samples have no label in column '{column}'",) if absent else ()
    if not counts:
        raise DataError(f"{path}: column '{column}' has no values; name another with --label COLUMN")
    if None in found:
        kept = [f"'{word}' is taken as a class; remove it from classes if it means no label" for word in sorted(words)]
        return _named(path, column, counts, (*warnings, *kept))
    whole = all(number is not None and math.isfinite(number) and number == round(number) for number in found)
    if not whole or len(counts) > MANY_NUMBERS:
        return Labels("regression", warnings=warnings)
    names = sorted(counts, key=float)
    if len(names) < 2:
        raise DataError(f"{path}: column '{column}' has one value ({names[0]}); at least two classes are needed")
    told = (
        f"the numbers of column '{column}'; to predict them as numbers: kind = 'regression', metric = 'r2', no classes"
    )
    return Labels("classification", tuple(names), {name: counts[name] for name in names}, {"classes": told}, warnings)


def _named(path: Path, column: str, counts: Counter[str], warnings: tuple[str, ...]) -> Labels:
    if not 2 <= len(counts) <= MANY_CLASSES:
        raise DataError(
            f"{path}: column '{column}' has {len(counts)} distinct texts; expected 2 to {MANY_CLASSES} classes. Name "
            "another column with --label COLUMN"
        )
    names = sorted(counts)
    return Labels("classification", tuple(names), {name: counts[name] for name in names}, {}, warnings)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
