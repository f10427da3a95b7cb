"""What a probe is given and what it answers: the same for every kind of probe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.data.labels import Labels, LabelSubset, ValidationPlan
from geofm_eval.data.split import ALL
from geofm_eval.errors import ContractError, DataError

FeatureSource = Callable[[str, str], NDArray[np.float32]]
"""Features (n, D) of a (tap, split), memory-mapped where they are large."""

HOLDOUT = ("train", "val", "test")
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class ValidationItems:
    """What a probe does on every validation item, at its chosen penalty.

    Attributes:
        split: the split that ``items`` are positions in.
        items: (m,) int64, each position at most once.
        loss: (m,) float64, log loss in nats (kNN: of the smoothed vote), or squared error.
        score: (m,) float64, 1 where the class is right and 0 elsewhere; of a regression the prediction.
    """

    split: str
    items: NDArray[np.int64]
    loss: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class SweepRow:
    """One probe, fitted on one label subset of one tap, its penalty chosen on validation items, and tested once.

    Attributes:
        tap: name of the tap.
        fraction: share of the training labels asked for; ``n_train`` is the realised count.
        draw: which of the label subsets of that fraction; with shuffle splits which shuffle.
        n_train: training items.
        n_val: validation items (with inner cross-validation: training items held out once each).
        n_test: test items.
        val_kind: ``split``, ``inner_cv`` or ``none``.
        candidates: penalties tried, strongest first; empty for a probe without one.
        chosen: the chosen penalty.
        chosen_index: its position among the candidates.
        at_edge: True when the choice is the first or the last candidate.
        val_loss: mean validation loss at each candidate: log loss in nats, or squared error in the target's unit.
        val_score: validation accuracy or R2 at the choice; None when there were no validation items.
        test_score: test accuracy or R2 at the choice.
        outcomes: one per item of the split that is tested on: uint8, 1 where it was classified rightly; or float32
            predictions, NaN for the items that a shuffle did not test.
        converged: True when every candidate was solved to tolerance.
        iterations: solver steps over all candidates.
        dropped_channels: channels left out as constant on the label subset.
        extra: further test scores that are not the score.
        runner_up_gap: validation loss of the second-best candidate minus that of the chosen one; None for a probe
            without candidates or without validation items.
        chosen_loss: mean validation loss at the choice: log loss in nats (kNN: of the smoothed vote), or squared error;
            None without validation items.
        validation: the validation items one by one; kept in memory only.
        explored: test results that are not read to choose anything, for expected ranges; empty unless the problem asks
            for them. Linear: accuracy at each candidate. Ridge: summed squared test error at each candidate. kNN: the
            lowest and the highest accuracy when near-equal votes count either way.
    """

    tap: str
    fraction: float
    draw: int
    n_train: int
    n_val: int
    n_test: int
    val_kind: Literal["split", "inner_cv", "none"]
    candidates: tuple[float, ...]
    chosen: float | None
    chosen_index: int | None
    at_edge: bool
    val_loss: tuple[float, ...]
    val_score: float | None
    test_score: float
    outcomes: NDArray[Any]
    converged: bool
    iterations: int
    dropped_channels: int
    extra: dict[str, float] = field(default_factory=dict)
    runner_up_gap: float | None = None
    chosen_loss: float | None = None
    validation: ValidationItems | None = field(default=None, compare=False)
    explored: tuple[float, ...] = ()


@dataclass(frozen=True)
class Holdout:
    """Training rows and the items that a head fitted on them is validated on.

    Attributes:
        rows: positions into the split that label subsets are cut from.
        split: split of the held-out items.
        held_out: positions into that split.
    """

    rows: NDArray[np.int64]
    split: str
    held_out: NDArray[np.int64]


@dataclass(frozen=True)
class ProbeProblem:
    """Features, labels and label subsets of one sweep, checked against each other.

    The splits are ``train``, ``val`` and ``test``, or ``all`` alone with shuffle splits, whose subsets say themselves
    what they are tested on.

    Attributes:
        features: (tap, split) -> (n, D) float32.
        labels: per split, (n,) int64 classes or float64 targets.
        taps: shallowest first.
        subsets: label subsets.
        plans: how each (fraction, draw) is validated.
        n_classes: classes of the task; 0 for a regression target.
        device: where to solve.
        task: name of the task, for messages.
        explore: fill in ``SweepRow.explored`` too.
        seed: of the task, that validation items are resampled by.
        groups: per split with dependent items, (n,) the group of each; others are absent or None.

    Raises:
        ContractError: fewer than two classes, no tap, features that do not match the labels or are not finite, a label
            outside the classes, or a subset without validation plan.
        DataError: a regression target that is not finite, or constant where that leaves R2 undefined.
    """

    features: FeatureSource
    labels: Mapping[str, Labels]
    taps: Sequence[str]
    subsets: Sequence[LabelSubset]
    plans: Mapping[tuple[float, int], ValidationPlan]
    n_classes: int
    device: torch.device
    task: str = "the task"
    explore: bool = False
    seed: int = 0
    groups: Mapping[str, NDArray[np.str_] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.regression and self.n_classes < 2:
            raise ContractError(f"a classification probe needs at least 2 classes, the task has {self.n_classes}")
        if not self.taps or not self.subsets:
            raise ContractError(f"nothing to solve: {len(self.taps)} taps and {len(self.subsets)} label subsets")
        for subset in self.subsets:
            self._check_subset(subset)
        for split in self.splits:
            self._check_labels(split)
            for tap in self.taps:
                self._check_features(tap, split)

    @property
    def regression(self) -> bool:
        """True when a number is predicted instead of a class."""
        return self.n_classes == 0

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the probe reads."""
        return (ALL,) if ALL in self.labels else HOLDOUT

    @property
    def training(self) -> str:
        """Name of the split that label subsets are cut from."""
        return self.splits[0]

    def plan(self, subset: LabelSubset) -> ValidationPlan:
        """How the subset is validated."""
        return self.plans[subset.fraction, subset.draw]

    def holdouts(self, subset: LabelSubset) -> Iterator[Holdout]:
        """What is fitted and what is held out to validate on: one pair, one per fold, or none."""
        plan = self.plan(subset)
        if plan.kind == "split":
            yield Holdout(subset.indices, "val", plan.indices)
        if plan.kind == "inner_cv":
            for fold in plan.folds:
                yield Holdout(np.delete(subset.indices, fold), self.training, subset.indices[fold])

    def tested(self, subset: LabelSubset) -> Holdout:
        """What is fitted, and the items that it is tested on."""
        if subset.test is not None:
            return Holdout(subset.indices, self.training, subset.test)
        return Holdout(subset.indices, "test", np.arange(len(self.labels["test"])))

    def n_val(self, subset: LabelSubset) -> int:
        """Validation items of a subset."""
        return sum(len(holdout.held_out) for holdout in self.holdouts(subset))

    def _check_subset(self, subset: LabelSubset) -> None:
        name = f"label subset (fraction {subset.fraction}, draw {subset.draw})"
        if (subset.fraction, subset.draw) not in self.plans:
            raise ContractError(f"{name} has no validation plan: make one with validation_plan for every subset")
        if len(subset.indices) == 0:
            raise ContractError(f"{name} is empty: every class must keep at least one training item")
        if (subset.test is None) == (ALL in self.labels):
            raise ContractError(
                f"{name}: items to be tested on must be named when, and only when, there is no test split"
            )

    def _check_labels(self, split: str) -> None:
        labels = self.labels[split]
        if len(labels) == 0 and split != "val":
            raise ContractError(f"the {split} split has no items: a probe needs some to train and to test on")
        if self.regression:
            self._check_targets(split)
        elif len(labels) and not 0 <= labels.min() <= labels.max() < self.n_classes:
            raise ContractError(
                f"labels of the {split} split range from {labels.min()} to {labels.max()}, "
                f"expected 0 to {self.n_classes - 1}: check the classes that the task declares"
            )

    def _check_targets(self, split: str) -> None:
        targets = self.labels[split]
        unknown = int(np.sum(~np.isfinite(targets)))
        if unknown:
            raise DataError(
                f"{self.task}: {unknown} of {len(targets)} targets of the {split} split are not finite: "
                "leave these items out of the split"
            )
        if split != "val":
            self._check_spread(targets, f"the {split} split")
        for subset in self.subsets:
            if subset.test is not None:
                self._check_spread(targets[subset.test], f"the test items of shuffle {subset.draw}")

    def _check_spread(self, targets: Labels, where: str) -> None:
        if targets.min() == targets.max():
            raise DataError(
                f"{self.task}: the target is {targets[0]:g} for all {len(targets)} items of {where}: R2 is undefined; "
                "look for a wrong column, or leave the task out"
            )

    def _check_features(self, tap: str, split: str) -> None:
        values, count = self.features(tap, split), len(self.labels[split])
        if values.ndim != 2 or len(values) != count:
            raise ContractError(
                f"features of {tap} on the {split} split have shape {values.shape}, expected ({count}, D): "
                "one row per label; extract the block anew"
            )
        for start in range(0, count, ROWS_AT_ONCE):
            if not np.isfinite(values[start : start + ROWS_AT_ONCE]).all():
                raise ContractError(
                    f"features of {tap} on the {split} split are not finite: look for NaN in the input or an overflow "
                    "in the backbone, then extract the block anew"
                )
