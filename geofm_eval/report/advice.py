"""Advice as text and JSON: every sentence with the numbers that support it."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from geofm_eval.advice import (
    Advice,
    Cut,
    PartLoss,
    Parts,
    Reading,
    Saving,
    Tuned,
    TuningChoice,
    advise,
    controls_of,
    marked_of,
)
from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.records import Record, fraction_key
from geofm_eval.report.formats import aligned
from geofm_eval.report.wording import shared_notes
from geofm_eval.results.comparison import LAST, Comparison, Subject, comparisons
from geofm_eval.results.run import DRIFT, PROBE, SEGMENT, TUNE, Run, read_run
from geofm_eval.results.units import SIMULATED, UNKNOWN, MetricFormat, percent, unit_named
from geofm_eval.stats.difference import Difference

if TYPE_CHECKING:
    from geofm_eval.advice.cut import Confirmation

TITLES = {
    "block": "block to read from",
    "cut": "depth to cut at",
    "tuning": "what to tune",
    "parts": "which tuned parts matter",
}
"""Topics by the keys of ``Advice.missing``."""

SHOWN = 6
"""Problems that are listed one by one; JSON has them all."""


@dataclass(frozen=True)
class Advised:
    """Advice for a task, ready to be printed.

    Args:
        run: the run.
        advices: one per model.
        opening: what holds for all of them.
        problems: what could not be read or paired.
    """

    run: Run
    advices: tuple[Advice, ...]
    opening: tuple[str, ...]
    problems: tuple[str, ...]

    def text(self, confirmation: "Confirmation | None" = None) -> str:
        """For a terminal."""
        parts = ["\n".join(self.opening), *map(text_of_advice, self.advices)]
        if confirmation is not None:
            parts.append("\n".join(_confirmed(confirmation, self.advices[0])))
        shown = [f"problem: {problem}" for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            shown.append(f"and {counted(len(self.problems) - SHOWN, 'more problem')} (see --json)")
        return "\n\n".join([*parts, "\n".join(shown)] if shown else parts)

    def json(self, confirmation: "Confirmation | None" = None) -> str:
        """For a program; unknown is null, and so are degrees of freedom without end."""
        content: dict[str, Any] = {
            "run": self.run.name,
            "about": self.opening,
            "models": [asdict(advice) for advice in self.advices],
            "problems": self.problems,
        }
        if confirmation is not None:
            content["confirmation"] = {**asdict(confirmation), "holds": confirmation.holds}
        return json.dumps(_jsonable(content), indent=1, allow_nan=False)


def advised(run_dir: str | Path, catalog: Catalog, task: str, model: str | None = None) -> Advised:
    """Read a run and advise.

    Args:
        run_dir: folder of the run, its name below the folder of all runs, or its archive.
        catalog: for titles.
        task: slug.
        model: slug; None takes every backbone, without controls and marked models.

    Raises:
        DataError: there is no such run, or it holds neither records nor skips.
        ContractError: the run has no such task or model.
    """
    run = read_run(run_dir)
    found = advise(run, task, model)
    split = [problem for problem in comparisons(run)[1] if problem.startswith(f"{task}-")]
    opening = _opening(run, task, _shown(found, run), catalog)
    opening += _excluded(run, task, model)
    return Advised(run, tuple(found), tuple(opening), (*run.problems, *split, *run.pairs.problems))


def text_of_advice(advice: Advice) -> str:
    """All advice for one backbone, topic by topic."""
    topics = {
        "block": [line for one in advice.readings for line in _reading(one, advice)],
        "cut": [line for one in advice.cuts for line in _cut(one, advice)],
        "tuning": [line for one in advice.tunings for line in _choice(one, advice)],
        "parts": [] if advice.parts is None else _parts(advice.parts, _unit(advice, advice.parts.metric)),
    }
    lines = [f"{advice.model} on {advice.task}"]
    for key, found in topics.items():
        lines += [f"  {TITLES[key]}", *(f"    {line}" for line in (*found, *_missing(key, advice)))]
    return "\n".join(lines)


def _opening(run: Run, task: str, shown: Comparison | None, catalog: Catalog) -> list[str]:
    """Title, evidence and recipe; ``shown`` holds the records of the advised models."""
    spec = catalog.tasks.get(task)
    title = f"advice for {f'{spec.title} ({task})' if spec else task} from run {run.name}"
    if shown is None:
        return [title]
    return [f"{SIMULATED}: {title}" if shown.simulated else title, *shared_notes(shown, catalog)]


def _excluded(run: Run, task: str, model: str | None) -> list[str]:
    """Models that get advice only if they are named, or the marks of the named one."""
    aside = marked_of(run, task)
    if model is not None:
        return [f"{model}: {' and '.join(aside[model])}; excluded from verdicts."] if model in aside else []
    groups = {
        "Controls": controls_of(run, task),
        "Models excluded from verdicts": [f"{name} ({', '.join(why)})" for name, why in aside.items()],
    }
    return [
        f"{what} get advice only if --model names them: {', '.join(names)}." for what, names in groups.items() if names
    ]


def _shown(advices: Sequence[Advice], run: Run) -> Comparison | None:
    """Records of the advised models as one comparison, for what is said about all of them."""
    wanted, task = {advice.model for advice in advices}, advices[0].task
    for kind in (PROBE, SEGMENT, TUNE, DRIFT):
        found: dict[str, dict[str, Record]] = {}
        for record in run.scored_of(kind):
            if record.case.task == task and record.case.model in wanted:
                found.setdefault(record.case.model, {})[record.case.id] = record
        if found:
            return Comparison(task, tuple(Subject(model, own, {}) for model, own in sorted(found.items())), {})
    return None


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: _jsonable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unit(advice: Advice, metric: str) -> MetricFormat:
    return unit_named(metric, advice.target_unit)


def _missing(key: str, advice: Advice) -> Iterator[str]:
    """Why there is no advice, and at which label fractions if not at all of them."""
    reasons: dict[str, list[str]] = {}
    for name, reason in advice.missing.items():
        topic, _, fraction = name.partition(" at ")
        if topic == key:
            reasons.setdefault(reason, []).append(fraction)
    for reason, fractions in reasons.items():
        where = f" with {' and '.join(_labels(float(f), advice) for f in fractions)}" if fractions[0] else ""
        yield f"no advice{where}: {reason}"


def _labels(fraction: float, advice: Advice) -> str:
    if fraction == 1:
        return "all labels"
    return advice.labels.get(fraction_key(fraction), f"{percent(fraction)} of the labels")


def _paired(difference: Difference, unit: MetricFormat) -> str:
    text = unit.difference(difference)
    return text if difference.low is not None else f"{text} without an interval"


def _reading(reading: Reading, advice: Advice) -> Iterator[str]:
    unit = _unit(advice, reading.test.metric)
    yield f"{reading.by}, {_labels(reading.fraction, advice)}: {_read_where(reading)}"
    if reading.again is not None and len(reading.again.near) > 1:
        yield f"  within one standard error on validation: {reading.again.words}"
    tested = f"  validation {unit.value(reading.validated)}, test {unit.label} {unit.score(reading.test)}"
    if reading.shows == "same":
        yield tested
    else:
        yield f"{tested}; {reading.end} {unit.value(reading.end_test)}, difference {_paired(reading.gain, unit)}"


def _read_where(reading: Reading) -> str:
    tap, end, best = reading.tap, reading.end, f"best of {counted(reading.candidates, 'tap')} on validation"
    return {
        "same": f"read {tap}: {best}",
        "better": f"read {tap}: {best}, and better than {end} on the test split",
        "worse": f"read {end}: {tap} is {best}, but worse on the test split",
        "not_shown": f"{tap} is {best}; a gain over {end} is not shown",
        "unknown": f"{tap} is {best}; a gain over {end} is not shown, because the difference has no interval",
    }[reading.shows]


def _cut(cut: Cut, advice: Advice) -> Iterator[str]:
    unit = _unit(advice, cut.test.metric)
    where, error = f"{cut.by}, {_labels(cut.fraction, advice)}", f"one standard error ({unit.value(cut.error.value)})"
    best = f"{cut.best} ({unit.value(cut.best_validated)})"
    if cut.at_end:
        tap = "shallower tap" if cut.tap == LAST else f"tap before the last block ({cut.tap})"
        yield f"{where}: do not cut: no {tap} is within {error} of {best} on validation"
    elif cut.tap == cut.best:
        yield f"{where}: can be cut after {cut.tap}: best on validation, and no shallower tap is within {error}"
    else:
        loss = ", with a loss" if cut.shows == "worse" else ""
        yield f"{where}: can be cut after {cut.tap}{loss}: its validation score is within {error} of the best, {best}"
    tested = f"  validation {unit.value(cut.validated)}, test {unit.label} {unit.score(cut.test)}"
    if cut.tap != cut.best:
        shown = {"worse": "a loss", "better": "a gain", "not_shown": "a loss is not shown"}
        lost = shown.get(cut.shows, "whether this is a loss is unknown")
        tested += f"; {cut.best} {unit.value(cut.best_test.value)}, difference {_paired(cut.loss, unit)}: {lost}"
    yield tested
    if cut.saving is not None:
        yield f"  {_saving(cut.saving)}"
    elif not cut.at_end:
        yield f"  saving unknown: {cut.why_no_saving}"
    yield f"  standard error: {cut.error.method}"


def _saving(saving: Saving) -> str:
    least = "" if saving.exact else "at least "
    numbers = "" if saving.numbers is None else f" and {least}{_whole_percent(saving.numbers)} of the parameters"
    until = f"until {saving.layer}{'' if saving.exact else ', the next deeper timed block'}"
    evidence = [f"{1000 * saving.seconds:.1f} of {1000 * saving.whole_seconds:.1f} ms per batch {until}"]
    if saving.images_per_second and saving.whole_images_per_second:
        evidence.append(f"{saving.images_per_second:,.0f} instead of {saving.whole_images_per_second:,.0f} images/s")
    if saving.parameters is not None and saving.whole_parameters:
        evidence.append(f"{_millions(saving.parameters)} of {_millions(saving.whole_parameters)} parameters remain")
    evidence.append(f"inputs of {saving.task} on {saving.device}")
    return f"saves {least}{_whole_percent(saving.time)} of the time{numbers} ({'; '.join(evidence)})"


def _whole_percent(share: float) -> str:
    """Return a proportion in percent: ``49 %``."""
    return f"{100 * share:.0f} %"


def _millions(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / 1e6:.3f} M"


def _choice(choice: TuningChoice, advice: Advice) -> Iterator[str]:
    unit = _unit(advice, choice.chosen.test.metric)
    yield f"{choice.head}, {_labels(choice.fraction, advice)}, {counted(choice.seeds, 'seed')}: {_tune_what(choice)}"
    header = ["tuning", "validation", f"test {unit.label}", "minus frozen", "trained", "seconds"]
    yield from aligned([header, *(_tuned(one, unit) for one in choice.tunings)], "lrllrr")


def _tune_what(choice: TuningChoice) -> str:
    chosen = choice.chosen
    # Validation decides; that the test split disagrees is said, not acted on.
    better = [one.tuning for one in choice.tunings if one.shows == "better"]
    but = f"; on the test split {' and '.join(better)} is better" if better else ""
    best = f"{chosen.tuning} is best on validation"
    return {
        "same": f"leave it frozen: best on validation{but}",
        "better": f"tune {chosen.tuning}: best on validation, and better than frozen on the test split",
        "worse": f"leave it frozen: {best}, but worse on the test split",
        "not_shown": f"{best}; a gain over frozen is not shown",
        "unknown": f"{best}; a gain over frozen is not shown, because the difference has no interval",
    }[chosen.shows]


def _tuned(one: Tuned, unit: MetricFormat) -> list[str]:
    gain = UNKNOWN if one.over_frozen is None else unit.difference(one.over_frozen)
    trained = _millions(one.trained_parameters)
    return [one.tuning, unit.value(one.validated), unit.score(one.test), gain, trained, f"{one.seconds:.0f}"]


def _parts(parts: Parts, unit: MetricFormat) -> list[str]:
    """Parts that matter, after adjustment over all parts that were tried."""
    matter, tried = [one for one in parts.parts if one.matters], len(parts.parts)
    adaptation, scored = parts.case.split("-")[2], f"{counted(parts.seeds, 'seed')}, {parts.items} test samples"
    lines = [f"{adaptation}, loss of {unit.label} when a part is put back to its frozen weights ({scored}):"]
    if any(one.loss.low is None for one in parts.parts):
        lines.append("no part is shown to matter: a single seed, or no error over samples, gives no interval")
    elif not matter:
        family = f" (Holm over {tried}); largest loss: {_loss(parts.parts[0], unit)}" if parts.parts else ""
        lines.append(f"no single part is shown to matter{family}")
    else:
        lines.append(f"these matter: {', '.join(_loss(one, unit) for one in matter)}")
        lines.append(f"after Holm over all {tried} that were tried; each interval is for one part")
    return lines if parts.whole is None else [*lines, f"whole backbone: {unit.difference(parts.whole.loss)}"]


def _loss(one: PartLoss, unit: MetricFormat) -> str:
    name = one.name if one.name.startswith("block") else f"{one.name} of all blocks"
    return f"{name} {unit.difference(one.loss)}"


def _confirmed(found: "Confirmation", advice: Advice) -> list[str]:
    """Results of the cut backbone, and whether they agree with the record."""
    unit, timed = _unit(advice, found.metric), found.timed
    blocks = counted(found.kept, "block")
    low, high = timed.quartiles
    same, draws = found.penalties
    return [
        f"confirmation: {found.model} cut after {found.tap} ({blocks} left)",
        f"  parameters: {_millions(found.parameters)} of {_millions(found.whole_parameters)}, "
        f"{_whole_percent(1 - found.parameters / found.whole_parameters)} saved",
        f"  time: {1000 * timed.seconds:.2f} of {1000 * timed.whole_seconds:.2f} ms for "
        f"{counted(timed.images, 'image')}, ratio {timed.ratio:.2f} (quartiles {low:.2f} to {high:.2f} of "
        f"{timed.rounds} interleaved rounds)",
        f"  features of {found.tap}: largest difference from the whole backbone {found.difference:.3g} (largest "
        f"feature {found.largest:.3g})",
        f"  {unit.name} of the probe, {_labels(found.fraction, advice)}: {unit.value(found.score)}, the record says "
        f"{unit.value(found.recorded)}; penalty as recorded in {same} of {counted(draws, 'draw')}",
        "  equal to the record" if found.holds else f"  NOT equal to the record: {'; '.join(found.problems)}",
    ]
