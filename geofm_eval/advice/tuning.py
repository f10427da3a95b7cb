"""What of a backbone to tune: the tuning that validation chooses, and which tuned parts its score hangs on."""

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
"""Name under which a record of drift keeps what reverting the whole backbone costs."""


@dataclass(frozen=True)
class Tuned:
    """One tuning.

    Args:
        tuning: such as ``lora``.
        validated: mean validation score over seeds.
        test: test score, mean over seeds.
        over_frozen: test score minus that of the frozen backbone, paired over seeds and items; None for itself.
        shows: what that difference shows.
        trained_parameters: numbers that were trained, the head's among them.
        seconds: of encoding, all seeds and all learning rates.
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
    """Tunings of a backbone under one head and label fraction.

    Args:
        head: decoder and what it reads.
        fraction: label fraction.
        seeds: trainings of each.
        tunings: best by validation first.
    """

    head: str
    fraction: float
    seeds: int
    tunings: tuple[Tuned, ...]

    @property
    def chosen(self) -> Tuned:
        """The one that validation chooses; of equals the one that trains least."""
        return self.tunings[0]


@dataclass(frozen=True)
class PartLoss:
    """Score that is lost when one part (``fc1``) of all blocks, or a block, goes back to its frozen weights.

    ``loss`` is the mean over seeds, with its t interval over seeds and items; the part ``matters`` where it is above
    zero, after Holm over all parts and blocks that were tried.
    """

    name: str
    loss: Difference
    matters: bool


@dataclass(frozen=True)
class Parts:
    """Which tuned parts a score hangs on.

    Args:
        case: id of the record of drift.
        tuning: what was tuned.
        metric: that is lost; empty where the run lacks the training.
        seeds: trainings.
        items: test items that reverted networks were scored on.
        whole: what reverting everything costs; None where it was not tried.
        parts: the costliest first.
    """

    case: str
    tuning: str
    metric: str
    seeds: int
    items: int
    whole: PartLoss | None
    parts: tuple[PartLoss, ...]


def trained_cells(run: Run, task: str, model: str) -> tuple[list[TrainedCell], str]:
    """The trainings of a model on a task, of whole items or dense.

    Returns:
        The cells, and why there are none: no training, or trainings that may not be compared.
    """
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
    """The tunings under one head per label fraction: the head with most of them, of several the best on validation."""
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
    """Which parts matter, from the record of drift of the chosen training; else of full tuning, else of any other.

    Returns:
        The parts, or None and the reason.
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
        return None, f"no record of drift of {model} on {task} says what reverting a part costs"
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
    """Metric of the trained case that a record of drift is about; empty where the run does not hold it."""
    own = record.case.id.split("-")[:3]
    trained = (other for kind in (SEGMENT, TUNE) for other in run.scored_of(kind))
    scores = (score for other in trained if other.case.id.split("-")[:3] == own for score in other.scores.values())
    return next((score.metric for score in scores), "")


def _losses(reverted: Mapping[str, Reverted], units: int | None) -> list[PartLoss]:
    """Losses of a family of parts.

    They are measured on test items and the parts that matter are chosen by them, so p is adjusted (Holm): at most 5 %
    of families name any part that does not matter.
    """
    adjusted = holm([_p(one, units) for one in reverted.values()])
    return [
        replace(found, matters=found.matters and p <= ALPHA)
        for found, p in zip((_loss(name, one, units) for name, one in reverted.items()), adjusted, strict=True)
    ]


def _p(reverted: Reverted, units: int | None) -> float:
    return 1.0 if reverted.error is None else p_of(reverted, units)


def _loss(name: str, reverted: Reverted, units: int | None) -> PartLoss:
    """Mean loss with its interval, which a single seed or an unknown error over items leaves out."""
    found = estimate(reverted, units)
    if found.low is None or found.high is None or reverted.error is None:
        return PartLoss(name, Difference(found.value), False)
    return PartLoss(name, Difference(found.value, found.low, found.high), found.low > 0)
