"""The answer of a run on one task: which model to take, where to read it, and what is still open."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from geofm_eval.advice.tuning import TuningChoice, trained_cells, tuning_choices
from geofm_eval.answer.open_question import Needed, needed
from geofm_eval.answer.pairwise import ModelDifference, model_differences
from geofm_eval.answer.threats import Threat, threats_of
from geofm_eval.catalog import Catalog
from geofm_eval.ranking import Entry, Setting, settings
from geofm_eval.records import marked
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.leaderboard import Ranking, RankingRow, rank
from geofm_eval.results.run import PROBE, Run

PROBES = ("linear", "ridge", "knn")
"""Probes whose setting gives the answer, the preferred one first, if several compare as many models."""

BYTES = 4
"""Bytes of a parameter in float32."""


@dataclass(frozen=True)
class Candidate:
    """A model that cannot be distinguished from the best.

    Args:
        entry: its record at the chosen tap.
        row: its row of the ranking, for the tap; None for a trained case.
        megabytes: size of its weights in float32; None if it has none or they were not counted.
        images_per_second: speed of extraction in this run; None if unknown.
        tuning: the tunings of the backbone with the most labels; None if only one was measured.
    """

    entry: Entry
    row: RankingRow | None
    megabytes: float | None
    images_per_second: float | None
    tuning: TuningChoice | None

    @property
    def model(self) -> str:
        """Slug of the model."""
        return self.entry.model


@dataclass(frozen=True)
class TaskAnswer:
    """What a run says about one task, from the setting that compares most models with all labels.

    Args:
        setting: the probe (or decoder) and label fraction.
        ranking: the ranking of the probe; None for a trained setting.
        margin: smallest relevant difference in the metric's own unit; None if the task states none.
        over_control: every backbone against the best control on validation, adjusted for their number.
        between: every two backbones, adjusted for the number of couples; the higher score first.
        choices: backbones that no other is clearly better than, the smallest first.
        open: test samples that would settle the first open question; None if there is none.
        threats: what limits all of this.
    """

    setting: Setting
    ranking: Ranking | None
    margin: float | None
    over_control: tuple[ModelDifference, ...]
    between: tuple[ModelDifference, ...]
    choices: tuple[Candidate, ...]
    open: Needed | None
    threats: tuple[Threat, ...]

    @property
    def leader(self) -> str | None:
        """The model that is clearly better than every other; None if there is none, or nothing to compare."""
        if len(self.choices) != 1 or not self.between:
            return None
        model = self.choices[0].model
        own = [one if one.model == model else one.turned() for one in self.between if model in (one.model, one.other)]
        return model if all(one.shows == "better" for one in own) else None

    @property
    def backbones(self) -> list[Entry]:
        """Backbones that take part in verdicts, best score first."""
        return [entry for entry in self.setting.entries if not (entry.is_control or marked(entry.record))]


def answers(run: Run, catalog: Catalog) -> tuple[TaskAnswer, ...]:
    """Return the answer on every task of a run, in the order of evidence and task.

    Tasks whose classes of evidence differ are separate answers; none combines them.
    """
    by_task: defaultdict[tuple[str, str], list[Setting]] = defaultdict(list)
    for one in settings(run):
        if not one.is_variant:
            by_task[str(one.record.evidence), one.task].append(one)
    return tuple(_answer(_main(found), run, catalog) for _, found in sorted(by_task.items()))


def _main(found: Sequence[Setting]) -> Setting:
    """The setting with the most labels of the probe that compares most backbones; probes come before trainings."""

    def place(one: Setting) -> tuple[bool, float, int, int, str]:
        probe = PROBES.index(one.adaptation) if one.adaptation in PROBES else len(PROBES)
        backbones = sum(not entry.is_control for entry in one.entries)
        return one.record.case.kind != PROBE, -one.fraction, -backbones, probe, one.name

    return min(found, key=place)


def _answer(setting: Setting, run: Run, catalog: Catalog) -> TaskAnswer:
    task = catalog.tasks.get(setting.task)
    margin = None if task is None else task.delta_of(setting.score.metric)
    backbones = [entry for entry in setting.entries if not (entry.is_control or marked(entry.record))]
    control = setting.by_model.get(setting.control or "")
    over = () if control is None else model_differences([(one, control) for one in backbones], run.pairs, margin)
    between = model_differences(list(combinations(backbones, 2)), run.pairs, margin)
    behind = {one.other for one in between if one.shows == "better"} | {
        one.model for one in between if one.shows == "worse"
    }
    ranking = _ranking(setting, run)
    kept = [entry for entry in backbones if entry.model not in behind]
    choices = sorted((candidate_of(one, ranking, run) for one in kept), key=_price)
    questions = (*over[:1], *between[:1])
    return TaskAnswer(
        setting, ranking, margin, over, between, tuple(choices), needed(questions, setting, run.pairs, margin),
        threats_of(setting, run, catalog),
    )  # fmt: skip


def _ranking(setting: Setting, run: Run) -> Ranking | None:
    found = [one for one in comparisons(run)[0] if one.slug == setting.table]
    return rank(found[0], run.pairs) if found else None


def candidate_of(entry: Entry, ranking: Ranking | None, run: Run) -> Candidate:
    """Return what is known of a model in its setting: its row of the ranking, costs and tunings."""
    rows = () if ranking is None else ranking.rows
    cost, record = entry.record.cost, entry.record
    size = cost.parameters if record.training is None else (cost.parameters or 0) - _head_size(entry)
    cells, _ = trained_cells(run, record.case.task, entry.model)
    tunings = tuning_choices(cells, run.pairs)
    return Candidate(
        entry,
        next((row for row in rows if row.subject.model == entry.model), None),
        None if not size else size * BYTES / 1e6,
        cost.images_per_second,
        tunings[0] if tunings else None,
    )


def _head_size(entry: Entry) -> int:
    """Parameters of a head on a frozen backbone; those of tuned backbones cannot be separated from the backbone's."""
    training, cost = entry.record.training, entry.record.cost
    frozen = training is not None and training.tuning == "frozen"
    return (cost.trained_parameters or 0) if frozen else 0


def _price(choice: Candidate) -> tuple[float, float, str]:
    """Size, unknown last; then speed, then the name."""
    size = math.inf if choice.megabytes is None else choice.megabytes
    return size, -(choice.images_per_second or 0.0), choice.model
