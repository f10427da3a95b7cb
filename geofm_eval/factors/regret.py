"""Cost of a wrong choice of the backbone, the decoder, the tuning, or decoder and tuning together.

Validation scores choose; test scores show the cost. Regret is given for each label fraction separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.factors.factorial import BACKBONE, LABELS, Factorial
from geofm_eval.factors.noise import ErrorOfMeans
from geofm_eval.results.trainings import TrainedCell
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.reselection import choose

ADAPTATION = "adaptation"
"""Decoder and tuning together."""


@dataclass(frozen=True)
class Loss:
    """Test score of the best combination minus that of wrong ones; a loss is positive.

    ``mean`` is over the wrong levels, in the metric's own unit, with its paired interval over seeds and samples;
    ``last`` is that of the level ranked last on validation, and ``name`` its name.
    """

    mean: Difference
    last: Difference
    name: str


@dataclass(frozen=True)
class Regret:
    """Cost of the wrong level of one factor (``backbone``, ``decoder``, ``tuning`` or ``adaptation``).

    ``labels`` is the label fraction (``100 %``; empty if unknown), ``best`` the combination that validation chooses,
    and ``wrong`` the number of wrong levels. The other levels are ``kept`` as in the best combination, or
    chosen again (``rechosen``).
    """

    labels: str
    factor: str
    best: str
    wrong: int
    kept: Loss
    rechosen: Loss


def regrets(factorial: Factorial[TrainedCell], error: ErrorOfMeans | None) -> list[Regret]:
    """Return the regret of every factor at every label fraction, and of ``adaptation`` if it has two factors.

    Intervals require the ``error`` of the cells' mean scores, in the metric's unit.
    """
    choices = [dict(zip(factorial.names, levels, strict=True)) for levels in factorial.combinations()]
    cells = [
        _Candidate(choice, cell, at) for at, (choice, cell) in enumerate(zip(choices, factorial.cells, strict=True))
    ]
    fixed = factorial.fixed.get(LABELS, "")
    fractions = next((one.levels for one in factorial.factors if one.name == LABELS), (fixed,))
    chosen = [name for name in factorial.names if name != LABELS]
    others = [name for name in chosen if name != BACKBONE]
    varied = {name: [name] for name in chosen if len(chosen) > 1}
    if BACKBONE in chosen and len(others) > 1:
        varied[ADAPTATION] = others
    return [
        _regret(fraction, name, factors, chosen, own, error)
        for fraction in fractions
        for own in [[one for one in cells if one.choice.get(LABELS, fixed) == fraction]]
        for name, factors in varied.items()
    ]


@dataclass(frozen=True)
class _Candidate:
    choice: Mapping[str, str]
    cell: TrainedCell
    at: int

    def level(self, names: Sequence[str]) -> str:
        return ", ".join(self.choice[name] for name in names)

    @property
    def validated(self) -> float:
        return self.cell.sign * self.cell.validated


def _regret(
    labels: str,
    name: str,
    varied: Sequence[str],
    chosen: Sequence[str],
    cells: Sequence[_Candidate],
    error: ErrorOfMeans | None,
) -> Regret:
    best = _best(cells)
    rest = [one for one in chosen if one not in varied]
    wrong = [level for level in dict.fromkeys(one.level(varied) for one in cells) if level != best.level(varied)]
    own = {level: [one for one in cells if one.level(varied) == level] for level in wrong}
    kept = {level: next(one for one in some if one.level(rest) == best.level(rest)) for level, some in own.items()}
    rechosen = {level: _best(some) for level, some in own.items()}
    return Regret(labels, name, best.level(chosen), len(wrong), _loss(best, kept, error), _loss(best, rechosen, error))


def _best(cells: Sequence[_Candidate]) -> _Candidate:
    return cells[choose([one.validated for one in cells])]


def _loss(best: _Candidate, others: Mapping[str, _Candidate], error: ErrorOfMeans | None) -> Loss:
    last = min(others, key=lambda level: others[level].validated)
    return Loss(_behind(best, list(others.values()), error), _behind(best, [others[last]], error), last)


def _behind(best: _Candidate, others: Sequence[_Candidate], error: ErrorOfMeans | None) -> Difference:
    value = sum(best.cell.quality - one.cell.quality for one in others) / len(others)
    if error is None:
        return Difference(value)
    weights = np.zeros(len(error.seeds))
    weights[best.at] = 1.0
    for one in others:
        weights[one.at] -= 1 / len(others)
    return error.within(value, best.cell.sign * weights)
