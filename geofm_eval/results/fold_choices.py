"""The score of a tap that is chosen within every fold of cross-validated data.

A tap that is chosen by the validation scores of all folds together has been chosen on the samples that it is tested on,
because the other folds train and validate on them. Each fold is therefore tested at the tap that its own inner
validation chooses, and the out-of-fold outcomes are put together from several taps.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.records import Choice, Outcomes, Record, Score
from geofm_eval.records.folded import folded_score
from geofm_eval.results.pairs import Pairs
from geofm_eval.stats.reselection import choose

LAYER = "chosen"
"""Takes the place of a tap in the case of a nested record."""

Place = tuple[int, int]
"""Label draw and fold."""


@dataclass(frozen=True)
class NestedChoice:
    """The taps that the folds of all draws chose at one label fraction, with the means of their validation.

    ``tap`` is the one that most folds chose (ties: the shallower), and ``count`` their number of ``folds``.
    """

    tap: str
    count: int
    folds: int
    candidates: int
    val_score: float
    val_loss: float | None


@dataclass(frozen=True)
class Nested:
    """A record whose scores and outcomes are those of the tap chosen in every fold, and the choices by fraction."""

    record: Record
    choices: dict[str, NestedChoice]


def choose_within_folds(taps: Mapping[str, Record], pairs: Pairs) -> Nested | None:
    """Put the nested record of one model together.

    Args:
        taps: records by tap, from shallow to deep.
        pairs: reads outcomes, and keeps those of the nested record.

    Returns:
        None unless the records are cross-validated, have several taps, and have outcomes on the same samples.
    """
    first = next(iter(taps.values()))
    if first.provenance.protocol != "folds" or len(taps) < 2:
        return None
    known = {tap: outcomes for tap, record in taps.items() if (outcomes := pairs.outcomes(record)) is not None}
    if len(known) < len(taps) or not _alike(list(known.values())):
        return None
    found = {fraction: _at(taps, known, fraction) for fraction in first.scores}
    made = {fraction: one for fraction, one in found.items() if one is not None}
    if not made:
        return None
    widest = max(made, key=float)
    base = taps[made[widest][0].tap]
    case = base.case.model_copy(update={"layer": LAYER, "id": f"{base.case.id.removesuffix(base.case.layer)}{LAYER}"})
    scores = {fraction: score for fraction, (_, score, _) in made.items()}
    record = base.model_copy(update={"case": case, "scores": scores, "selection": None, "resamples_sha256": None})
    pairs.hold(record, _outcomes(next(iter(known.values())), {key: own for key, (_, _, own) in made.items()}))
    return Nested(record, {fraction: choice for fraction, (choice, _, _) in made.items()})


def _alike(outcomes: Sequence[Outcomes]) -> bool:
    first = outcomes[0]
    return first.folds is not None and all(
        one.folds is not None and np.array_equal(one.ids, first.ids) and np.array_equal(one.folds, first.folds)
        for one in outcomes
    )


def _at(
    taps: Mapping[str, Record], outcomes: Mapping[str, Outcomes], fraction: str
) -> tuple[NestedChoice, Score, np.ndarray] | None:
    """Choice, score and (draws, n) outcomes at one label fraction; None without validation in every fold."""
    choices = {tap: _choices(record, fraction) for tap, record in taps.items() if fraction in record.scores}
    complete = {tap: own for tap, own in choices.items() if own}
    if not complete or len({frozenset(own) for own in complete.values()}) > 1:
        return None
    names, places = list(complete), sorted(next(iter(complete.values())))
    score = taps[names[0]].scores[fraction]
    turn = 1.0 if score.direction == "higher" else -1.0
    best = {place: _best(names, [complete[tap][place] for tap in names], turn) for place in places}
    first = outcomes[names[0]]
    assembled = np.array(_per_sample(first, fraction))
    for (draw, fold), tap in best.items():
        tested = first.folds == fold
        assembled[draw, tested] = _per_sample(outcomes[tap], fraction)[draw, tested]
    scored = folded_score(score.metric, assembled, first.target, first.groups, score.n_train, {})
    return _summary(names, complete, best), scored, assembled


def _choices(record: Record, fraction: str) -> dict[Place, Choice]:
    """Choices by draw and fold; empty unless all have a validation score."""
    own = [c for c in (record.selection.choices if record.selection else ()) if c.fraction == float(fraction)]
    found = {(c.draw, c.fold): c for c in own if c.fold is not None and c.val_score is not None}
    return {(draw, fold): c for (draw, fold), c in found.items() if fold is not None} if len(found) == len(own) else {}


def _best(names: Sequence[str], choices: Sequence[Choice], turn: float) -> str:
    scores = [turn * (choice.val_score or 0.0) for choice in choices]
    return names[choose(scores, [_loss(choice) for choice in choices])]


def _loss(choice: Choice) -> float:
    return math.nan if choice.val_loss is None else choice.val_loss


def _summary(
    names: Sequence[str], choices: Mapping[str, Mapping[Place, Choice]], best: Mapping[Place, str]
) -> NestedChoice:
    counts = Counter(best.values())
    tap = max(names, key=lambda name: counts[name])
    own = [choices[tap][place] for place, tap in best.items()]
    losses = [_loss(choice) for choice in own]
    return NestedChoice(
        tap=tap,
        count=counts[tap],
        folds=len(best),
        candidates=len(names),
        val_score=float(np.mean([choice.val_score for choice in own])),
        val_loss=None if any(map(math.isnan, losses)) else float(np.mean(losses)),
    )


def _per_sample(outcomes: Outcomes, fraction: str) -> np.ndarray:
    return outcomes.correct[fraction] if outcomes.target is None else outcomes.prediction[fraction]


def _outcomes(first: Outcomes, own: dict[str, np.ndarray]) -> Outcomes:
    correct, prediction = (own, {}) if first.target is None else ({}, own)
    return Outcomes(first.ids, first.groups, correct, prediction, first.target, {}, first.folds)
