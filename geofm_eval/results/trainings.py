"""Trained cases that may be compared: same task, data, labels, recipes and width of decoders."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from geofm_eval.catalog import DenseAdaptation, dense_adaptation
from geofm_eval.catalog.dense import NARROW
from geofm_eval.memo import once
from geofm_eval.records import Record, Score, Training, marked
from geofm_eval.results.comparison import Comparison, Subject, identity
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import SEGMENT, TUNE, Run

Address = tuple[str, str, str]
"""Model, adaptation slug and layer."""

FACTORIAL = (("frozen", 0.1), ("frozen", 1.0), ("full", 0.1), ("full", 1.0))
"""Tuning and label fraction of the factorial's columns."""


@dataclass(frozen=True)
class TrainedCell:
    """One trained case."""

    record: Record
    adaptation: DenseAdaptation

    @property
    def address(self) -> Address:
        """Position of the cell among comparable ones."""
        case = self.record.case
        return case.model, case.adaptation, case.layer

    @property
    def model(self) -> str:
        """Slug of the model."""
        return self.record.case.model

    @property
    def layer(self) -> str:
        """What the decoder reads: ``multi``, a block, ``chosen`` or ``final``."""
        return self.record.case.layer

    @property
    def name(self) -> str:
        """Return adaptation and layer: ``lightms_full_p100-multi``."""
        return f"{self.record.case.adaptation}-{self.layer}"

    @property
    def training(self) -> Training:
        """How it was trained."""
        assert self.record.training is not None
        return self.record.training

    @property
    def score(self) -> Score:
        """The one score of a trained case."""
        return next(iter(self.record.scores.values()))

    @property
    def fraction(self) -> str:
        """Key of its label fraction."""
        return next(iter(self.record.scores))

    @property
    def quality(self) -> float:
        """The score, turned so that greater is better."""
        return self.sign * self.score.value

    @property
    def sign(self) -> float:
        """1 where a higher score is better, -1 where a lower one is."""
        return 1.0 if self.score.direction == "higher" else -1.0

    @property
    def validated(self) -> float:
        """Mean validation score over seeds, in the metric."""
        seeds = self.training.seeds
        return sum(one.val_score for one in seeds) / len(seeds)

    @property
    def seconds(self) -> float:
        """Everything that was computed for it: encoding, all seeds, all learning rates."""
        return sum(self.record.cost.seconds.values())


@dataclass(frozen=True)
class TrainedCases:
    """Trained cases of one task that may be compared, best first.

    ``slug`` names the files, ``left_out`` gives the reason for cases without a score, and ``pairs`` has the differences
    between cells.
    """

    slug: str
    cells: tuple[TrainedCell, ...]
    left_out: dict[str, str]
    pairs: Pairs = field(repr=False, compare=False)

    @cached_property
    def by_address(self) -> dict[Address, TrainedCell]:
        """Cells by model, adaptation and layer."""
        return {cell.address: cell for cell in self.cells}

    @cached_property
    def candidates(self) -> list[TrainedCell]:
        """Cells whose model is neither a control nor marked as counting for no verdict."""
        return [cell for cell in self.cells if not (cell.record.case.is_control or marked(cell.record))]

    @property
    def factorial(self) -> list[TrainedCell]:
        """Cells of the factorial: frozen or fully tuned, at a tenth or all of the labels, without a variant."""
        return [
            cell
            for cell in self.cells
            if (cell.adaptation.tuning, cell.adaptation.fraction) in FACTORIAL and not cell.adaptation.variant
        ]

    @property
    def singles(self) -> list[TrainedCell]:
        """Cells whose decoder is an upsampler on one block, without a variant."""
        return [c for c in self.cells if c.adaptation.head.startswith("single") and not c.adaptation.variant]

    @property
    def pooled(self) -> bool:
        """True for a task with one label per item, whose head reads pooled features."""
        return any(cell.adaptation.pooled for cell in self.cells)

    @property
    def how(self) -> str:
        """What was trained, for titles."""
        return "tuned with a linear head" if self.pooled else "trained decoders"

    @cached_property
    def comparison(self) -> Comparison:
        """The same records as a comparison, for what its tables share with those of probes."""
        models = {cell.model: {c.name: c.record for c in self.cells if c.model == cell.model} for cell in self.cells}
        return Comparison(self.slug, tuple(Subject(model, taps, {}) for model, taps in sorted(models.items())), {})


@once
def comparable_trainings(run: Run) -> tuple[list[TrainedCases], list[str]]:
    """Group the trained cases of a run; what may not be compared is split, and named.

    Returns:
        Comparable cases, in the order of tasks, and one sentence per split.
    """
    both = [_of_kind(run, kind) for kind in (SEGMENT, TUNE)]
    return [cases for found, _ in both for cases in found], [problem for _, own in both for problem in own]


def _of_kind(run: Run, kind: str) -> tuple[list[TrainedCases], list[str]]:
    groups: defaultdict[str, defaultdict[str, list[TrainedCell]]] = defaultdict(lambda: defaultdict(list))
    for record in run.scored_of(kind):
        adaptation = dense_adaptation(record.case.adaptation)
        if adaptation is not None and record.training is not None:
            schedule = {**identity(record), "schedule": str(record.training.recipe.get("slug"))}
            groups[record.case.task][json.dumps(schedule, sort_keys=True)].append(TrainedCell(record, adaptation))
    gaps = run.gaps(kind)
    found, problems = [], []
    for task, parts in sorted(groups.items()):
        widths = [cells for part in parts.values() for cells in _by_width(part)]
        widths.sort(key=len, reverse=True)
        left_out = {case_id: why for case_id, why in gaps.items() if case_id.split("-")[1] == task}
        for number, cells in enumerate(widths, start=1):
            slug = f"{task}-{kind}" + (f"-{number}" if len(widths) > 1 else "")
            ordered = tuple(sorted(cells, key=lambda cell: (-cell.quality, cell.address)))
            found.append(TrainedCases(slug, ordered, left_out, run.pairs))
        if len(widths) > 1:
            problems.append(f"{task}: trained cases differ in data, recipe or decoder width: split in {len(widths)}")
    return found, problems


def _by_width(cells: list[TrainedCell]) -> list[list[TrainedCell]]:
    """Separate narrow decoders, which are made for CPUs, from wide ones."""
    wide = [cell for cell in cells if cell.adaptation.head in NARROW]
    narrow = [cell for cell in cells if cell.adaptation.head in NARROW.values()]
    either = {*NARROW, *NARROW.values()}
    other = [cell for cell in cells if cell.adaptation.head not in either]
    return [[*part, *other] for part in (wide, narrow) if part] or [other]
