"""Depths at which a backbone can be cut, with the loss on the test split and the savings."""

from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.advice.reading import Verdict, verdict
from geofm_eval.advice.validation import StandardError, standard_error
from geofm_eval.installation import suite_command
from geofm_eval.plurals import counted
from geofm_eval.records import CaseInfo, Record, Score
from geofm_eval.results.comparison import LAST, Subject, last_block, tap_order
from geofm_eval.results.reselected import Reselection, reselect
from geofm_eval.results.run import THROUGHPUT, Run
from geofm_eval.results.taps import ChosenTap, best_of, candidates, choices_of, sign, val_score
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.reselection import RESAMPLES, SCORE_TOLERANCE


@dataclass(frozen=True)
class Saving:
    """Savings from running up to a block instead of the whole backbone, from timings of both on inputs of ``task``.

    ``seconds`` are medians for a batch. The timed ``layer`` is the block of the cut if ``exact``, otherwise a deeper
    one, and the cut saves at least this. ``parameters`` remain; None if the architecture cannot be cut.
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
        """Proportion of the time that is saved."""
        return 1 - self.seconds / self.whole_seconds

    @property
    def numbers(self) -> float | None:
        """Proportion of the parameters that is saved."""
        known = self.parameters is not None and self.whole_parameters
        return 1 - self.parameters / self.whole_parameters if known else None  # type: ignore[operator]


@dataclass(frozen=True)
class Cut:
    """The shallowest tap whose validation score is within one standard error of the best, by one probe.

    ``error`` is that of the difference of the two validation scores, or of the best one if that is unknown. ``loss`` is
    the paired test score of ``tap`` minus that of ``best``, and ``shows`` its verdict. ``at_end``: at most a last norm
    follows ``tap``, so there is nothing to cut. ``saving`` is None then, or without timings (``why_no_saving``).
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
    """Return one cut per label fraction (fewer labels only if their cut differs), and the reason for fractions without.

    Several taps are usually about equally good, and chance decides which is best; the shallowest that is not clearly
    worse costs least (one-standard-error rule, Breiman et al. 1984, section 3.4.3). Validation alone decides; the test
    split then shows the loss.
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

    If there is nothing to cut, or the best tap is the shallowest, it is the largest over all shallower taps.
    """
    errors = dict(zip(again.taps, again.errors, strict=True))
    tap, best = again.near[0], subject.taps[again.chosen.tap]
    value = errors[tap]
    if tap in (again.chosen.tap, LAST, last_block(subject)):
        value = max((errors[one] for one in again.taps[: again.taps.index(tap)]), default=0.0)
    counts = [choice.n_val for choice in choices_of(best, fraction)]
    items = counted(counts[0], "validation sample") if counts and counts[0] else "the validation samples"
    draws = f"{len(counts)} x " if len(counts) > 1 else ""
    return StandardError(value, f"paired difference over {RESAMPLES} resamples of {draws}{items}")


def saving(run: Run, subject: Subject, tap: str) -> tuple[Saving | None, str]:
    """Return the saving of a cut from the run's timings (of the same task if possible), or None and the reason.

    Passes are timed at quarters of the depth: between them the next deeper one counts, so the cut saves at least as
    much.
    """
    case = subject.record.case
    order = f"{suite_command('test_throughput.py')} --run {run.name} --resume --models {case.model}"
    if (subject.record.provenance.weights_source or "").startswith("table:"):
        return None, "its embeddings were computed elsewhere, so its speed is unknown"
    layers = _timings(run, case)
    if not layers:
        return None, f"the run has no timings; run: {order} --tasks {case.task}"
    ordered, last = sorted(layers, key=tap_order), last_block(subject) or LAST
    task = layers[ordered[0]].case.task
    if last not in layers:
        return None, f"timings stop at {ordered[-1]}, but the last block is {last}; run: {order} --tasks {task}"
    devices = sorted({_device(one) for one in layers.values()})
    if len(devices) > 1:
        return None, f"timings are from several devices ({', '.join(devices)}); run: {order} --tasks {task}"
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
    """Timings of a model by the layer that they stop at, all of one task: that of the case if possible."""
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
    """Interleaved rounds of the cut and the whole backbone on one batch: median seconds of both.

    ``ratio`` is the median over rounds of the cut's time divided by the whole's, with its ``quartiles``.
    """

    images: int
    seconds: float
    whole_seconds: float
    ratio: float
    quartiles: tuple[float, float]
    rounds: int


@dataclass(frozen=True)
class Confirmation:
    """Check of an advised cut, with ``kept`` blocks and the ``parameters`` that remain.

    ``difference`` is the largest difference of the cut's features from the whole's over all samples that the probe
    reads, and ``largest`` the largest feature of the whole. ``score`` is the probe's on the cut's features,
    ``recorded`` that of the record. ``penalties``: label draws with the recorded penalty, and all. ``problems`` are the
    differences.
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
