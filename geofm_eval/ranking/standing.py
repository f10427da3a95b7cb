"""Order of the models of one setting: paired differences, groups, ranks with intervals."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from string import ascii_lowercase

from geofm_eval.ranking.grouping import Entry, Setting
from geofm_eval.ranking.joint import RESAMPLES, ranks, resample_scores, simultaneous_ranks
from geofm_eval.ranking.sources import Source, sources_of
from geofm_eval.results.pairs import Pairs, recorded_seed
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.p_values import ALPHA, holm, p_value

NO_OUTCOMES = "no per-sample outcomes"


@dataclass(frozen=True)
class PairOfModels:
    """Two models in one setting, the one with the better score first.

    ``difference`` is in the metric's own unit, with its paired 95 % interval; ``p`` is that of no difference, after
    Holm over the pairs of the setting; ``above`` is the probability that the true score of the first one is better.
    """

    first: str
    second: str
    difference: Difference
    p: float | None
    above: float

    @property
    def clear(self) -> bool:
        """Whether the two differ clearly."""
        return self.p is not None and self.p <= ALPHA


@dataclass(frozen=True)
class Standing:
    """Position of a model among the models of a setting.

    ``rank`` is by score among all models (equal scores share one). Among models with per-sample outcomes, ``median`` is
    the median rank over resamples with its 90 % interval from ``low`` to ``high``, ``best`` the probability of being
    best, ``group`` the letters of its groups (models without a common letter differ clearly), and ``clear`` the best
    and worst rank that clear differences leave open, for all models together.
    """

    rank: int
    median: float
    low: int
    high: int
    best: float
    group: str
    clear: tuple[int, int]


@dataclass(frozen=True)
class Ordering:
    """The models of one setting in order.

    ``standings`` are those of models with per-sample outcomes (none with fewer than two), ``pairs`` all pairs of these
    in the order of their ranks, and ``without`` gives the reason for the other models.
    """

    setting: Setting
    standings: dict[str, Standing]
    pairs: tuple[PairOfModels, ...]
    without: dict[str, str]

    @property
    def groups(self) -> list[list[str]]:
        """Models of every group without clear differences, the group of the best first."""
        own = {model: re.findall("[a-z]'*", one.group) for model, one in self.standings.items()}
        names = sorted({letter for group in own.values() for letter in group}, key=lambda name: (len(name), name))
        return [[model for model, group in own.items() if name in group] for name in names]


def order(setting: Setting, pairs: Pairs) -> Ordering:
    """Compare all models of a setting with each other.

    p-values of the differences (:meth:`Pairs.difference`) are adjusted after Holm over all pairs of the setting. Ranks
    are from joint resamples, see :func:`resample_scores`.
    """
    known, without = errors_of(setting, pairs)
    entries = [entry for entry in setting.entries if entry.model in known]
    if len(entries) < 2:
        return Ordering(setting, {}, (), without)
    seed = recorded_seed(setting.record)
    drawn = resample_scores([e.quality for e in entries], [known[e.model] for e in entries], RESAMPLES, seed)
    found = ranks(drawn)
    models, compared = [entry.model for entry in entries], _compared(entries, pairs, found.above)
    groups = letters(models, {frozenset((one.first, one.second)) for one in compared if one.clear})
    # Pairs are in the order of scores, so a clear difference favours the first.
    open_ranks = simultaneous_ranks(models, {(one.first, one.second): one.clear for one in compared})
    standings = {
        model: Standing(
            rank=setting.rank(entries[number]),
            median=float(found.median[number]),
            low=int(found.low[number]),
            high=int(found.high[number]),
            best=float(found.best[number]),
            group=groups[model],
            clear=open_ranks[model],
        )
        for number, model in enumerate(models)
    }
    return Ordering(setting, standings, tuple(compared), without)


def errors_of(setting: Setting, pairs: Pairs) -> tuple[dict[str, tuple[Source, ...]], dict[str, str]]:
    """Return the error sources of every score of a setting, and the reason for models without any."""
    known: dict[str, tuple[Source, ...]] = {}
    without: dict[str, str] = {}
    for entry in setting.entries:
        case = entry.record.case
        found = pairs.known.get(("sources", case.kind, case.id, entry.fraction), partial(_sources, entry, pairs))
        if isinstance(found, str):
            without[entry.model] = found
        else:
            known[entry.model] = found
    return known, without


def _sources(entry: Entry, pairs: Pairs) -> tuple[Source, ...] | str:
    """Error sources of a score, or the reason for there being none."""
    # A committed reference keeps the outcomes of few taps; the others are not a problem to report.
    outcomes = pairs.outcomes(entry.record) if entry.record.outcomes_sha256 is not None else None
    if outcomes is None:
        return NO_OUTCOMES
    found = sources_of(entry.record, outcomes, entry.fraction)
    return "too few samples or groups for a standard error" if found is None else found


def _compared(entries: Sequence[Entry], pairs: Pairs, above: Floats) -> list[PairOfModels]:
    couples = list(combinations(enumerate(entries), 2))
    found = [pairs.difference(one.record, other.record, one.fraction) for (_, one), (_, other) in couples]
    values = [p_value(difference) for difference in found]
    adjusted = iter(holm([value for value in values if value is not None]))
    return [
        PairOfModels(
            one.model, other.model, difference, None if value is None else next(adjusted), float(above[row, column])
        )
        for ((row, one), (column, other)), difference, value in zip(couples, found, values, strict=True)
    ]


def letters(subjects: Sequence[str], apart: Collection[frozenset[str]]) -> dict[str, str]:
    """Compact letter display (Piepho 2004, Journal of Computational and Graphical Statistics 13).

    A group is a maximal set of subjects (best first) without a pair in ``apart``, those that differ clearly; a subject
    may belong to several groups. Groups are named in the order of their best members.

    Returns:
        Letters by subject: ``a``, ``ab``, ``b``.
    """
    near = {
        one: {other for other in subjects if other != one and frozenset((one, other)) not in apart} for one in subjects
    }
    place = {name: number for number, name in enumerate(subjects)}
    groups = sorted(sorted(place[name] for name in group) for group in _maximal(near, set(), set(subjects), set()))
    names = [ascii_lowercase[number % 26] + "'" * (number // 26) for number in range(len(groups))]
    return {
        subject: "".join(name for name, group in zip(names, groups, strict=True) if place[subject] in group)
        for subject in subjects
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
