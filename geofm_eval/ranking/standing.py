"""Who is better in one setting, and how sure: paired differences, groups, ranks with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from geofm_eval.ranking.grouping import Entry, Setting
from geofm_eval.ranking.joint import RESAMPLES, ranks, resample_scores, simultaneous_ranks
from geofm_eval.ranking.letter_groups import letters
from geofm_eval.ranking.sources import Source, sources_of
from geofm_eval.results.pairs import Pairs, recorded_seed
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import ALPHA, holm, p_value

NO_OUTCOMES = "no per-item outcomes"


@dataclass(frozen=True)
class PairOfModels:
    """Two models in one setting.

    Args:
        first: model with the better score.
        second: the other one.
        difference: first minus second in the metric's own unit, with its paired 95 % interval.
        p: of no difference, after Holm over the pairs of the setting; None without an interval.
        above: probability that the first one's true score is the better one.
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

    Args:
        rank: by score among all models of the setting; equal scores share a rank.
        median: median rank over resamples, among models with per-item outcomes.
        low: lower end of its 90 % interval.
        high: upper end.
        best: probability of being best.
        group: letters of the groups that it belongs to; models that share none differ clearly.
        clear: best and worst rank that clear differences leave open, for all models together.
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
    """The models of one setting in order, with what is known of the order.

    Args:
        setting: with all models and their scores.
        standings: by model, of those that have per-item outcomes; empty where fewer than two have.
        pairs: every two of these, in the order of their ranks.
        without: models that keep their score and have no part in anything joint, with the reason.
    """

    setting: Setting
    standings: dict[str, Standing]
    pairs: tuple[PairOfModels, ...]
    without: dict[str, str]

    @property
    def groups(self) -> list[list[str]]:
        """Models of every group that cannot be told apart, the group of the best first."""
        names = sorted({letter for one in self.standings.values() for letter in _split(one.group)}, key=_place)
        return [[model for model, one in self.standings.items() if name in _split(one.group)] for name in names]


def order(setting: Setting, pairs: Pairs) -> Ordering:
    """Compare all models of a setting with each other.

    Differences and their intervals are those of :meth:`Pairs.difference`, whose p-values are adjusted after Holm over
    all pairs of the setting. Ranks are those of joint resamples, see :func:`resample_scores`.
    """
    known, without = errors_of(setting, pairs)
    entries = [entry for entry in setting.entries if entry.model in known]
    if len(entries) < 2:
        return Ordering(setting, {}, (), without)
    seed = recorded_seed(setting.record)
    drawn = resample_scores([e.quality for e in entries], [known[e.model] for e in entries], RESAMPLES, seed)
    found = ranks(drawn)
    models = [entry.model for entry in entries]
    compared = _compared(entries, pairs)
    compared = [
        replace(one, above=float(found.above[models.index(one.first), models.index(one.second)])) for one in compared
    ]
    apart = {frozenset((one.first, one.second)) for one in compared if one.clear}
    groups = letters(models, apart)
    # A pair is in the order of scores, so that a clear difference is one in favour of the first.
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
    """Sources of the error of every score of a setting; and the models that have none, with the reason."""
    known: dict[str, tuple[Source, ...]] = {}
    without: dict[str, str] = {}
    for entry in setting.entries:
        # A committed reference keeps the outcomes of few taps: that is no reason to complain of each of the others.
        outcomes = pairs.outcomes(entry.record) if entry.record.outcomes_sha256 is not None else None
        found = None if outcomes is None else sources_of(entry.record, outcomes, entry.fraction)
        if found is not None:
            known[entry.model] = found
        else:
            without[entry.model] = NO_OUTCOMES if outcomes is None else "too few items or groups for an error"
    return known, without


def _compared(entries: Sequence[Entry], pairs: Pairs) -> list[PairOfModels]:
    couples = list(combinations(entries, 2))
    found = [pairs.difference(one.record, other.record, one.fraction) for one, other in couples]
    values = [p_value(difference) for difference in found]
    adjusted = iter(holm([value for value in values if value is not None]))
    return [
        PairOfModels(one.model, other.model, difference, None if value is None else next(adjusted), 0.5)
        for (one, other), difference, value in zip(couples, found, values, strict=True)
    ]


def _split(letters_: str) -> list[str]:
    found: list[str] = []
    for character in letters_:
        if character == "'" and found:
            found[-1] += character
        else:
            found.append(character)
    return found


def _place(letter: str) -> tuple[int, str]:
    return len(letter), letter
