"""How many more test samples would settle an open question."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geofm_eval.answer.pairwise import ModelDifference
from geofm_eval.ranking import Setting
from geofm_eval.results.pairs import Pairs

MOST = 100
"""Multiples of the present number of samples above which a question counts as not to be settled with more samples."""


@dataclass(frozen=True)
class Needed:
    """Test samples that would settle ``between``: ``more`` than the ``n`` of now; None if these are very many.

    ``groups`` is the number of groups of samples now, of which as large a part more is needed; None without groups.
    """

    between: ModelDifference
    n: int
    more: int | None
    groups: int | None


def needed(
    open_questions: Iterable[ModelDifference], setting: Setting, pairs: Pairs, margin: float | None
) -> Needed | None:
    """Return what the first open question needs, or None if there is none.

    A question is settled when the interval excludes 0 or is within the margin. If the difference d stays as measured,
    that is when half the width of the interval is |d|, or the margin minus |d| if that is more. The width shrinks with
    the square root of the number of samples, or of groups, where samples of a group are alike. Errors of seeds and
    draws do not shrink; they are small next to those of samples at the largest label fraction.
    """
    first = next((one for one in open_questions if one.shows == "open"), None)
    if first is None or first.difference.low is None:
        return None
    value, half = abs(first.difference.value), first.difference.value - first.difference.low
    wanted = max(value, 0.0 if margin is None else margin - value)
    entry = setting.by_model[first.model]
    times = (half / wanted) ** 2 if wanted > 0 else np.inf
    more = None if times > MOST else max(1, int(np.ceil((times - 1) * entry.score.n)))
    groups = pairs.groups(entry.record)
    return Needed(first, entry.score.n, more, None if groups is None else len(np.unique(groups)))
