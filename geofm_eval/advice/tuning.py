"""What to tune: the tuning that validation chooses, and the tuned parts that its score depends on."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.advice.reading import Verdict, verdict
from geofm_eval.catalog import DenseAdaptation, dense_adaptation
from geofm_eval.factors.marginal import mean_difference
from geofm_eval.records import Record, Reverted, Score
from geofm_eval.results.comparison import identity
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import DRIFT, SEGMENT, TUNE, Run
from geofm_eval.results.trainings import TrainedCell
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.over_seeds import estimate, p_of
from geofm_eval.stats.p_values import ALPHA, holm

FROZEN = "frozen"
WHOLE = "all"
"""Name of the whole backbone among the reverted parts of a drift record."""


@dataclass(frozen=True)
class Tuned:
    """One tuning, with mean validation and test scores over seeds.

    ``over_frozen`` is the test score minus that of the frozen backbone, paired over seeds and samples (None for
    itself), and ``shows`` its verdict. ``trained_parameters`` include the head's; ``seconds`` are those of encoding,
    all seeds and all learning rates.
    """

    tuning: str
    validated: float
    test: Score
    over_frozen: Difference | None
    shows: Verdict
    trained_parameters: int | None
    seconds: float


@dataclass(frozen=True)
class TuningChoice:
    """Tunings of a backbone under one head (with what it reads) and label fraction, best on validation first."""

    head: str
    fraction: float
    seeds: int
    tunings: tuple[Tuned, ...]

    @property
    def chosen(self) -> Tuned:
        """The one that validation chooses; if equal, the one with fewest trained parameters."""
        return self.tunings[0]


@dataclass(frozen=True)
class PartLoss:
    """Score lost when one part (``fc1``) of all blocks, or a block, is put back to its frozen weights.

    ``loss`` is the mean over seeds, with its t interval over seeds and samples; the part ``matters`` if it is above
    zero, after Holm over all parts and blocks that were tried.
    """

    name: str
    loss: Difference
    matters: bool


@dataclass(frozen=True)
class Parts:
    """Loss of ``metric`` (empty without the training) for each tuned part of a drift record, the largest first.

    ``items`` is the number of test samples; ``whole`` is the loss with everything reverted, if it was tried.
    """

    case: str
    tuning: str
    metric: str
    seeds: int
    items: int
    whole: PartLoss | None
    parts: tuple[PartLoss, ...]


def trained_cells(run: Run, task: str, model: str) -> tuple[list[TrainedCell], str]:
    """Return the trainings of a model on a task, and the reason if there are none that may be compared."""
    cells: defaultdict[str, list[TrainedCell]] = defaultdict(list)
    known: dict[str, dict[str, str]] = {}
    for kind in (SEGMENT, TUNE):
        for record in run.scored_of(kind):
            adaptation = dense_adaptation(record.case.adaptation)
            if (record.case.task, record.case.model) != (task, model) or adaptation is None or record.training is None:
                continue
            what = {**identity(record), "schedule": str(record.training.recipe.get("slug"))}
            # One schedule may exist under two recipes of the inputs, and the other way round.
            key = "/".join(what.values())
            known[key] = what
            cells[key].append(TrainedCell(record, adaptation))
    if not cells:
        return [], f"no trained case of {model} on {task} in this run"
    if len(cells) > 1:
        differ = [name for name in next(iter(known.values())) if len({what[name] for what in known.values()}) > 1]
        return [], f"trained cases of {model} differ in {', '.join(differ)} and are not comparable"
    return next(iter(cells.values())), ""


def tuning_choices(cells: Sequence[TrainedCell], pairs: Pairs) -> list[TuningChoice]:
    """Return the tunings under one head per label fraction: the head with most of them, then the best on validation."""
    groups: defaultdict[tuple[float, str, str], dict[str, TrainedCell]] = defaultdict(dict)
    for cell in cells:
        adaptation = cell.adaptation
        if not adaptation.variant and not adaptation.blocks:
            groups[adaptation.fraction, adaptation.head, cell.layer][adaptation.tuning] = cell
    chosen: dict[float, dict[str, TrainedCell]] = {}
    for (fraction, _, _), own in sorted(groups.items()):
        if FROZEN not in own or len(own) < 2:
            continue
        if fraction not in chosen or _rank(own) > _rank(chosen[fraction]):
            chosen[fraction] = own
    return [_choice(own, pairs) for _, own in sorted(chosen.items(), reverse=True)]


def _rank(cells: dict[str, TrainedCell]) -> tuple[int, float]:
    return len(cells), max(cell.sign * cell.validated for cell in cells.values())


def _choice(cells: dict[str, TrainedCell], pairs: Pairs) -> TuningChoice:
    frozen = cells[FROZEN]
    ordered = sorted(cells.values(), key=lambda cell: (-cell.sign * cell.validated, _size(cell), cell.name))
    head = _head(frozen.adaptation, frozen.layer)
    tunings = tuple(_tuned(cell, frozen, pairs) for cell in ordered)
    return TuningChoice(head, frozen.adaptation.fraction, len(frozen.score.per_draw), tunings)


def _size(cell: TrainedCell) -> float:
    return math.inf if cell.record.cost.trained_parameters is None else cell.record.cost.trained_parameters


def _tuned(cell: TrainedCell, frozen: TrainedCell, pairs: Pairs) -> Tuned:
    gain = None if cell is frozen else mean_difference([(cell, frozen)], pairs)
    shows: Verdict = "same" if gain is None else verdict(gain, cell.sign)
    size = cell.record.cost.trained_parameters
    return Tuned(cell.adaptation.tuning, cell.validated, cell.score, gain, shows, size, cell.seconds)


def reverted_parts(run: Run, task: str, model: str, choices: Sequence[TuningChoice]) -> tuple[Parts | None, str]:
    """Return the parts that matter, or None and the reason.

    They are from the drift record of the chosen training, otherwise of full tuning, otherwise of any other.
    """
    usable = [
        record
        for record in run.records
        if record.case.kind == DRIFT
        and (record.case.task, record.case.model) == (task, model)
        and record.drift is not None
        and record.drift.reverted
        and dense_adaptation(record.case.adaptation) is not None
    ]
    if not usable:
        return None, f"no drift record of {model} on {task} has scores with reverted parts"
    wanted = [(choice.head, choice.fraction, choice.chosen.tuning) for choice in choices]

    def place(record: Record) -> tuple[bool, bool, float, bool, str]:
        adaptation = dense_adaptation(record.case.adaptation)
        assert adaptation is not None
        own = (_head(adaptation, record.case.layer), adaptation.fraction, adaptation.tuning)
        alike = own[1:] in [one[1:] for one in wanted]
        return own not in wanted, not alike, -adaptation.fraction, adaptation.tuning != "full", record.case.id

    return _parts(min(usable, key=place), run), ""


def _head(adaptation: DenseAdaptation, layer: str) -> str:
    return adaptation.head + ("" if adaptation.pooled else f" ({layer})")


def _parts(record: Record, run: Run) -> Parts:
    adaptation, drift = dense_adaptation(record.case.adaptation), record.drift
    assert adaptation is not None
    assert drift is not None
    tried = {name: reverted for name, reverted in drift.reverted.items() if name != WHOLE}
    parts = sorted(_losses(tried, drift.units), key=lambda one: -one.loss.value)
    whole = {name: reverted for name, reverted in drift.reverted.items() if name == WHOLE}
    return Parts(
        case=record.case.id,
        tuning=adaptation.tuning,
        metric=drift.metric or _metric_of(record, run),
        seeds=max(len(reverted.per_seed) for reverted in drift.reverted.values()),
        items=drift.scored,
        whole=next(iter(_losses(whole, drift.units)), None),
        parts=tuple(parts),
    )


def _metric_of(record: Record, run: Run) -> str:
    """Metric of the trained case of a drift record; empty if the run does not have it."""
    own = record.case.id.split("-")[:3]
    trained = (other for kind in (SEGMENT, TUNE) for other in run.scored_of(kind))
    scores = (score for other in trained if other.case.id.split("-")[:3] == own for score in other.scores.values())
    return next((score.metric for score in scores), "")


def _losses(reverted: Mapping[str, Reverted], units: int | None) -> list[PartLoss]:
    """Losses of a family of parts.

    The losses on test samples decide which parts matter, so p is adjusted (Holm): at most 5 % of families name any part
    that does not matter.
    """
    adjusted = holm([_p(one, units) for one in reverted.values()])
    return [
        replace(found, matters=found.matters and p <= ALPHA)
        for found, p in zip((_loss(name, one, units) for name, one in reverted.items()), adjusted, strict=True)
    ]


def _p(reverted: Reverted, units: int | None) -> float:
    return 1.0 if reverted.error is None else p_of(reverted, units)


def _loss(name: str, reverted: Reverted, units: int | None) -> PartLoss:
    """Mean loss, with an interval unless there is a single seed or the error over samples is unknown."""
    found = estimate(reverted, units)
    if found.low is None or found.high is None or reverted.error is None:
        return PartLoss(name, Difference(found.value), False)
    return PartLoss(name, Difference(found.value, found.low, found.high), found.low > 0)
