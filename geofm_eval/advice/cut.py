"""At which depth a backbone can be cut, what that costs on the test split, and what it saves."""

from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.advice.reading import Verdict, verdict
from geofm_eval.advice.validation import StandardError, standard_error
from geofm_eval.records import CaseInfo, Record, Score
from geofm_eval.results.comparison import LAST, Subject, last_block, tap_order
from geofm_eval.results.reselected import Reselection, reselect
from geofm_eval.results.run import THROUGHPUT, Run
from geofm_eval.results.taps import ChosenTap, best_of, candidates, sign, val_score
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.reselection import RESAMPLES, SCORE_TOLERANCE


@dataclass(frozen=True)
class Saving:
    """What is saved by running up to a block instead of the whole backbone, from timings of both.

    Args:
        layer: where the timed pass stopped.
        exact: it is the block of the cut; otherwise a deeper one, and what the cut saves is at least this.
        task: whose inputs were timed.
        seconds: of a batch until that layer, median.
        whole_seconds: until the deepest timed layer.
        images_per_second: until that layer.
        whole_images_per_second: until the deepest timed layer.
        parameters: numbers that are left; None where the architecture cannot be cut.
        whole_parameters: numbers of the whole backbone.
        device: that was timed.
    """

    layer: str
    exact: bool
    task: str
    seconds: float
    whole_seconds: float
    images_per_second: float | None
    whole_images_per_second: float | None
    parameters: int | None
    whole_parameters: int | None
    device: str

    @property
    def time(self) -> float:
        """Share of the time that is saved."""
        return 1 - self.seconds / self.whole_seconds

    @property
    def numbers(self) -> float | None:
        """Share of the parameters that is saved."""
        known = self.parameters is not None and self.whole_parameters
        return 1 - self.parameters / self.whole_parameters if known else None  # type: ignore[operator]


@dataclass(frozen=True)
class Cut:
    """The shallowest tap whose validation score is within one standard error of the best.

    Args:
        by: the probe.
        fraction: label fraction.
        tap: what remains is the backbone up to here.
        validated: its validation score.
        test: its test score.
        best: the tap with the best validation score.
        best_validated: that score.
        best_test: its test score.
        error: standard error of the difference of the two validation scores, or of the best one where that is unknown.
        loss: test score of ``tap`` minus that of ``best``, paired.
        shows: what that difference shows.
        at_end: nothing but a last norm comes after ``tap``, so that there is nothing to cut.
        saving: None where there is nothing to cut, or nothing was timed.
        why_no_saving: that nothing was timed, and what to do.
    """

    by: str
    fraction: float
    tap: str
    validated: float
    test: Score
    best: str
    best_validated: float
    best_test: Score
    error: StandardError
    loss: Difference
    shows: Verdict
    at_end: bool
    saving: Saving | None
    why_no_saving: str = ""


def cuts(run: Run, subject: Subject, by: str, fractions: Sequence[str]) -> tuple[list[Cut], dict[str, str]]:
    """One cut per label fraction, fewer labels only where they allow another one.

    The best tap is one of many that are about as good, and which of them is best is chance; the shallowest that is not
    clearly worse costs least (the one-standard-error rule of Breiman et al. 1984, section 3.4.3). Validation alone
    decides; what the cut costs is then read on the test split once.

    Returns:
        The cuts, and by fraction why there is none.
    """
    found: list[Cut] = []
    missing: dict[str, str] = {}
    for fraction in fractions:
        cut = _cut(run, subject, by, fraction)
        if isinstance(cut, str):
            missing[fraction] = cut
        elif all(cut.tap != other.tap for other in found):
            found.append(cut)
    return found, missing


def _cut(run: Run, subject: Subject, by: str, fraction: str) -> Cut | str:
    found = candidates(subject, fraction)
    if not found:
        return "no tap has a validation score"
    best = best_of(found)
    turned, again = sign(best.score), reselect(subject, fraction, run.pairs)
    if again is not None:
        tap, error = again.near[0], _paired_error(again, subject, fraction)
    else:
        error = standard_error(subject.taps[best.tap], fraction)
        if error.value is None:
            return error.method
        tap = _shallowest(found, turned * best.val_score - error.value)
    record = subject.taps[tap]
    loss = run.pairs.difference(record, subject.taps[best.tap], fraction)
    at_end = tap in (LAST, last_block(subject))
    saved, why = (None, "") if at_end else saving(run, subject, tap)
    validated = val_score(record, fraction)
    assert validated is not None
    return Cut(
        by, float(fraction), tap, validated, record.scores[fraction], best.tap, best.val_score, best.score, error, loss,
        "same" if tap == best.tap else verdict(loss, turned), at_end, saved, why,
    )  # fmt: skip


def _shallowest(taps: Sequence[ChosenTap], least: float) -> str:
    return next(one.tap for one in taps if sign(one.score) * one.val_score >= least - SCORE_TOLERANCE)


def _paired_error(again: Reselection, subject: Subject, fraction: str) -> StandardError:
    """Standard error of the best validation score minus that of the shallowest tap near it.

    Where there is nothing to cut, or the best tap is the shallowest, it is the largest over all shallower taps, none of
    which is near.
    """
    errors = dict(zip(again.taps, again.errors, strict=True))
    tap, best = again.near[0], subject.taps[again.chosen.tap]
    value = errors[tap]
    if tap in (again.chosen.tap, LAST, last_block(subject)):
        value = max((errors[one] for one in again.taps[: again.taps.index(tap)]), default=0.0)
    counts = [c.n_val for c in (best.selection.choices if best.selection else ()) if c.fraction == float(fraction)]
    items = f"{counts[0]} validation items" if counts and counts[0] else "the validation items"
    draws = f"{len(counts)} x " if len(counts) > 1 else ""
    return StandardError(value, f"of the paired difference, {RESAMPLES} resamples of {draws}{items}")


def saving(run: Run, subject: Subject, tap: str) -> tuple[Saving | None, str]:
    """What a cut saves, from the run's timings; those of the same task where there are any.

    Passes are timed at quarters of the depth: for a block between them the next deeper one counts, so that the cut
    saves at least as much.

    Returns:
        The saving, or None and the reason.
    """
    case = subject.record.case
    order = f"pytest benchmarks/test_throughput.py --run {run.name} --resume --models {case.model}"
    layers = _timings(run, case)
    if not layers:
        return None, f"no timing in this run: {order} --tasks {case.task}"
    ordered, last = sorted(layers, key=tap_order), last_block(subject) or LAST
    task = layers[ordered[0]].case.task
    if last not in layers:
        return None, f"timings of this run stop at {ordered[-1]}, the last block is {last}: {order} --tasks {task}"
    devices = sorted({_device(one) for one in layers.values()})
    if len(devices) > 1:
        return None, f"timings of this run are from several devices ({', '.join(devices)}): {order} --tasks {task}"
    deeper = next(layer for layer in ordered if tap_order(layer) >= tap_order(tap))
    part, whole = layers[deeper].cost, layers[last].cost
    return Saving(
        layer=deeper,
        exact=deeper == tap,
        task=task,
        seconds=part.seconds["forward"],
        whole_seconds=whole.seconds["forward"],
        images_per_second=part.images_per_second,
        whole_images_per_second=whole.images_per_second,
        parameters=part.parameters,
        whole_parameters=subject.record.cost.parameters,
        device=devices[0],
    ), ""


def _timings(run: Run, case: CaseInfo) -> dict[str, Record]:
    """Timings of a model by the layer that they stop at, all of one task: the case's own where there are any."""
    timed = [
        one
        for one in run.records
        if one.case.kind == THROUGHPUT and one.case.model == case.model and one.cost.seconds.get("forward")
    ]
    tasks = sorted({one.case.task for one in timed}, key=lambda task: (task != case.task, task))
    return {one.case.layer: one for one in timed if one.case.task == tasks[0]}


def _device(record: Record) -> str:
    device = record.provenance.device
    return str(device.get("model") or device.get("name"))


@dataclass(frozen=True)
class Timed:
    """Interleaved rounds of the cut and the whole backbone on one batch.

    Args:
        images: in the batch.
        seconds: median of the cut backbone.
        whole_seconds: median of the whole one.
        ratio: median over rounds of the cut's time as a share of the whole's.
        quartiles: of the same.
        rounds: of each.
    """

    images: int
    seconds: float
    whole_seconds: float
    ratio: float
    quartiles: tuple[float, float]
    rounds: int


@dataclass(frozen=True)
class Confirmation:
    """What became of an advised cut.

    Args:
        model: slug.
        task: slug.
        tap: what the probe reads.
        kept: blocks that are left.
        fraction: label fraction.
        parameters: numbers that are left.
        whole_parameters: numbers of the whole backbone.
        timed: both on one batch.
        difference: largest difference of the cut's features to the whole's, over all items that the probe reads.
        largest: largest feature of the whole.
        metric: of the score.
        score: of the probe on the cut's features.
        recorded: test score of the record.
        penalties: label draws whose chosen penalty is the recorded one, of how many.
        problems: in what it differs, one sentence each.
    """

    model: str
    task: str
    tap: str
    kept: int
    fraction: float
    parameters: int
    whole_parameters: int
    timed: Timed
    difference: float
    largest: float
    metric: str
    score: float
    recorded: float
    penalties: tuple[int, int]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Features and score are those of the whole backbone, up to rounding."""
        return not self.problems
