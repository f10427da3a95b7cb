"""All advice for the backbones of a run on one task; every piece needs a record that supports it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from geofm_eval.advice.cut import Cut, cuts
from geofm_eval.advice.reading import Reading, advised_fractions, decoder_readings, probe_readings
from geofm_eval.advice.tuning import Parts, TuningChoice, reverted_parts, trained_cells, tuning_choices
from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted
from geofm_eval.records import Record, marks
from geofm_eval.results.comparison import Comparison, Subject, comparisons, identity, summarise
from geofm_eval.results.run import THROUGHPUT, Run
from geofm_eval.results.units import of_labels

PROBES = ("linear", "ridge")
"""Adaptations that choose a block: solved to their optimum, on the mean of the patch tokens."""

BLOCK, CUT, TUNING, PARTS = "block", "cut", "tuning", "parts"
"""Topics of advice, and keys of ``Advice.missing``."""


@dataclass(frozen=True)
class Advice:
    """Advice for one backbone on one task.

    ``readings`` are blocks to read from (by the probe and by single-level decoders), ``cuts`` depths to cut at,
    ``tunings`` what to tune (all labels first), and ``parts`` the tuned parts that matter. ``missing`` gives the reason
    for topics without advice; a label fraction without a cut has its own key. ``labels`` has the probe's label
    fractions in words.
    """

    model: str
    task: str
    evidence: str | None
    target_unit: str | None
    readings: tuple[Reading, ...] = ()
    cuts: tuple[Cut, ...] = ()
    tunings: tuple[TuningChoice, ...] = ()
    parts: Parts | None = None
    missing: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def advise(run: Run, task: str, model: str | None) -> list[Advice]:
    """Advise on one model, or on every backbone with records on the task, without controls and marked models.

    Raises:
        ContractError: the run has no such task, or no such model on it.
    """
    records = records_of(run, task)
    models = sorted({record.case.model for record in records})
    if model is not None and model not in models:
        raise ContractError(f"run {run.name} has no records of model '{model}' on {task}; {_near(model, models)}")
    chosen = [model] if model is not None else _backbones(records)
    if not chosen:
        raise ContractError(
            f"run {run.name} has only controls and marked models on {task} ({', '.join(models)}): name one with --model"
        )
    found, problems = comparisons(run)
    probed = [one for one in found if one.record.case.task == task and one.record.case.adaptation in PROBES]
    refused = [problem for problem in problems if problem.startswith(tuple(f"{task}-{probe}" for probe in PROBES))]
    return [_advice(run, task, slug, (probed, refused), records) for slug in chosen]


def records_of(run: Run, task: str) -> list[Record]:
    """Return records of a task with results.

    Raises:
        ContractError: there are none.
    """
    own = [record for record in run.records if record.case.kind != THROUGHPUT]
    known = sorted({record.case.task for record in own})
    if task not in known:
        raise ContractError(f"run {run.name} has no records of task '{task}'; {_near(task, known)}")
    measured = [
        record
        for record in own
        if record.case.task == task and record.outcome.status != "error" and (record.scores or record.drift)
    ]
    if not measured:
        reasons = sorted({str(record.outcome.reason) for record in own if record.case.task == task})
        raise ContractError(f"no case of {task} in run {run.name} has a result: {'; '.join(reasons[:3])}")
    return measured


def controls_of(run: Run, task: str) -> list[str]:
    """Return controls with records on the task, which get advice only if they are named."""
    return sorted({record.case.model for record in records_of(run, task) if record.case.is_control})


def marked_of(run: Run, task: str) -> dict[str, tuple[str, ...]]:
    """Return models excluded from verdicts on the task, with the reasons, without controls.

    A model is marked if any of its records is, because advice would use that record too.
    """
    return _marked(records_of(run, task))


def _marked(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for record in records:
        if not record.case.is_control and (reasons := marks(record)):
            model = record.case.model
            found[model] = tuple(dict.fromkeys((*found.get(model, ()), *reasons)))
    return dict(sorted(found.items()))


def _backbones(records: Sequence[Record]) -> list[str]:
    aside = _marked(records)
    return sorted({record.case.model for record in records if not record.case.is_control} - set(aside))


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(near)}?" if near else f"it has: {', '.join(known) or 'none'}"


def _advice(
    run: Run,
    task: str,
    model: str,
    probed: tuple[list[Comparison], list[str]],
    records: list[Record],
) -> Advice:
    missing: dict[str, str] = {}
    subject, why = _subject(*probed, model)
    cells, untrained = trained_cells(run, task, model)
    readings = decoder_readings(cells, run.pairs)
    found: list[Cut] = []
    labels: dict[str, str] = {}
    if subject is None:
        missing |= {CUT: why} | ({} if readings else {BLOCK: why})
    else:
        by, fractions = _probe(subject), list(advised_fractions(subject))
        readings = [*probe_readings(subject, by, fractions, run.pairs), *readings]
        labels = {fraction: of_labels(subject.record.scores, fraction) for fraction in fractions}
        found, without = cuts(run, subject, by, fractions)
        missing |= {f"{CUT} at {fraction}": reason for fraction, reason in without.items()}
        if not readings:
            missing[BLOCK] = "no tap has validation and test scores, or final has no test score"
    choices = tuning_choices(cells, run.pairs)
    if not choices:
        missing[TUNING] = untrained or "no head was trained on both the frozen and a tuned backbone"
    parts, unknown = reverted_parts(run, task, model, choices)
    if parts is None:
        missing[PARTS] = unknown
    any_record = next(record for record in records if record.case.model == model)
    return Advice(
        model, task, any_record.evidence, any_record.provenance.target_unit, tuple(readings), tuple(found),
        tuple(choices), parts, missing, labels,
    )  # fmt: skip


def _probe(subject: Subject) -> str:
    case = subject.record.case
    return f"{'dense ' if 'dense' in case.markers else ''}{case.adaptation} probe"


def _subject(probed: list[Comparison], refused: list[str], model: str) -> tuple[Subject | None, str]:
    """All comparable taps of a model, or the reason why there are none."""
    left_out = next((one.left_out[model] for one in probed if model in one.left_out), "")
    mark = f" {model} is left out: "
    left_out = next((problem.partition(mark)[2] for problem in refused if mark in problem), left_out)
    found = [(one, subject) for one in probed for subject in one.subjects if subject.model == model]
    if not found:
        return None, left_out or f"no record of the {' or '.join(PROBES)} probe of {model}"
    if len(found) > 1:
        identities = [identity(subject.record) for _, subject in found]
        differ = [name for name in identities[0] if len({one[name] for one in identities}) > 1]
        return None, f"its taps differ in {', '.join(differ)} and are not comparable: run it under a new --run name"
    subject = found[0][1]
    if subject.missing:
        return None, f"{counted(len(subject.missing), 'tap')} without a score ({summarise(subject.missing)})"
    if len(subject.taps) < 2:
        return None, f"only one tap was measured ({next(iter(subject.taps))}), so there is no choice"
    return subject, ""
