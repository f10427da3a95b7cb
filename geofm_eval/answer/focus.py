"""The answer on one model, for its author: its differences to controls and other backbones, and its tap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from geofm_eval.answer.open_question import needed
from geofm_eval.answer.pairwise import ModelDifference, model_differences
from geofm_eval.answer.tasks import Candidate, TaskAnswer, candidate_of
from geofm_eval.answer.threats import Threat
from geofm_eval.catalog import Catalog
from geofm_eval.errors import DataError
from geofm_eval.factors.marginal import twin_of
from geofm_eval.ranking import Ordering, Standing
from geofm_eval.records import marked
from geofm_eval.results.run import Run


@dataclass(frozen=True)
class FocusedAnswer:
    """What a run says about one backbone on one task.

    Differences are the score of the model minus that of another one. Their intervals are adjusted together: for the
    best control, the random twin and every other backbone. A marked model has none.

    Args:
        answer: the answer on the task, with the model as its only choice, what would settle its first open difference,
            and the threats that concern it.
        standing: its position among all models; None without per-sample outcomes.
        over_control: difference to the best control on validation; None if there is none.
        over_twin: difference to its random twin; None if that was not measured.
        over_others: differences to the other backbones, the one with the best score first.
    """

    answer: TaskAnswer
    standing: Standing | None
    over_control: ModelDifference | None
    over_twin: ModelDifference | None
    over_others: tuple[ModelDifference, ...]

    @property
    def candidate(self) -> Candidate:
        """Record, tap and tuning of the model."""
        return self.answer.choices[0]

    @property
    def model(self) -> str:
        """Slug of the model."""
        return self.candidate.model

    @property
    def task(self) -> str:
        """Slug of the task."""
        return self.answer.setting.task


def focused_answers(
    found: Sequence[TaskAnswer], orders: Sequence[Ordering], run: Run, catalog: Catalog, model: str
) -> tuple[FocusedAnswer, ...]:
    """Return the answer on one model, for every task with a score of it.

    Args:
        found: answers of the run.
        orders: all settings of the run in order.
        run: for paired differences.
        catalog: for the name of the random twin.
        model: slug of a backbone.

    Raises:
        DataError: the run has no score of the model in a setting that gives an answer, or it is a control.
    """
    measured = {entry.model: entry.is_control for one in found for entry in one.setting.entries}
    if measured.get(model, True):
        names = ", ".join(sorted(name for name, control in measured.items() if not control)) or "none"
        what = "is a control, not a backbone" if model in measured else "has no score there"
        raise DataError(f"{run.name}: {model} {what}; name one of its backbones: {names}")
    standings = {one.setting.name: one.standings for one in orders}
    return tuple(
        _focused(one, standings.get(one.setting.name, {}), run, catalog, model)
        for one in found
        if model in one.setting.by_model
    )


def _focused(
    answer: TaskAnswer, standings: Mapping[str, Standing], run: Run, catalog: Catalog, model: str
) -> FocusedAnswer:
    setting = answer.setting
    entry, control, twin = setting.by_model[model], setting.control, twin_of(model, catalog)
    others = [one.model for one in answer.backbones if one.model != model]
    # The twin may be the best control: one difference, not two that are adjusted for each other.
    rivals = dict.fromkeys(name for name in (control or twin, twin, *others) if name in setting.by_model)
    couples = [] if marked(entry.record) else [(entry, setting.by_model[name]) for name in rivals]
    found = {one.other: one for one in model_differences(couples, run.pairs, answer.margin)}
    over_others = tuple(found[name] for name in others if name in found)
    questions = [one for one in (found.get(control or ""), *over_others[:1]) if one is not None]
    own = replace(
        answer,
        choices=(candidate_of(entry, answer.ranking, run),),
        open=needed(questions, setting, run.pairs, answer.margin),
        threats=tuple(_own_threats(answer.threats, model)),
    )
    return FocusedAnswer(own, standings.get(model), found.get(control or ""), found.get(twin), over_others)


def _own_threats(threats: Sequence[Threat], model: str) -> list[Threat]:
    """Threats to all models, and those to this one without the names of others."""
    return [replace(one, models=one.models and (model,)) for one in threats if not one.models or model in one.models]
