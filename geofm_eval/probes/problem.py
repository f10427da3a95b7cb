"""Input and output of probes, the same for every kind of probe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.data.labels import Labels, LabelSubset, ValidationPlan
from geofm_eval.data.split import ALL
from geofm_eval.errors import ContractError, DataError
from geofm_eval.plurals import counted
from geofm_eval.stats.scores import r2

FeatureSource = Callable[[str, str], NDArray[np.float32]]
"""Returns features (n, D) of a (tap, split), memory-mapped if they are large."""

HOLDOUT = ("train", "val", "test")
ROWS_AT_ONCE = 4096

UNTESTED = 255
"""Outcome of a classified sample that a fold did not test."""


@dataclass(frozen=True)
class ValidationItems:
    """Results on each validation sample, at the chosen penalty.

    Attributes:
        split: split that ``items`` are positions in.
        items: (m,) int64, each position at most once.
        loss: (m,) float64, log loss in nats (kNN: of the smoothed vote), or squared error.
        score: (m,) float64, 1 if the class is right and 0 otherwise; for regression the prediction.
    """

    split: str
    items: NDArray[np.int64]
    loss: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One probe, fitted on one label subset of one tap, with its penalty selected by validation, and tested once.

    Attributes:
        fraction: requested label fraction; ``n_train`` is the actual count.
        draw: number of the label subset at that fraction; with shuffle splits, number of the shuffle; in
            cross-validation, see :func:`geofm_eval.data.cross_validation.draw_and_fold`.
        n_val: number of validation samples (with inner cross-validation, of training samples held out once each).
        candidates: penalties, strongest first; empty for a probe without a penalty.
        chosen_index: position of the chosen penalty among the candidates.
        at_edge: True if the chosen penalty is the first or the last candidate.
        val_loss: mean validation loss at each candidate: log loss in nats, or squared error in the target's unit.
        val_score: validation accuracy or R2 at the chosen penalty; None without validation samples.
        test_score: test accuracy or R2 at the chosen penalty.
        outcomes: one per sample of the tested split: uint8, 1 if classified correctly, ``UNTESTED`` for samples that a
            fold did not test; or float32 predictions, NaN for samples that a shuffle or fold did not test.
        converged: True if every candidate was solved to tolerance.
        iterations: solver steps over all candidates.
        dropped_channels: number of channels left out because they are constant on the label subset.
        extra: further test scores.
        runner_up_gap: validation loss of the second-best candidate minus that of the chosen one; None for a probe
            without candidates or without validation samples.
        chosen_loss: mean validation loss at the chosen penalty: log loss in nats (kNN: of the smoothed vote), or
            squared error; None without validation samples.
        validation: results per validation sample; kept in memory only.
        explored: test results for setting expected ranges, which influence no choice; empty unless the problem requests
            them. Linear: accuracy at each candidate. Ridge: summed squared test error at each candidate. kNN: lowest
            and highest accuracy if near-equal votes count either way.
    """

    tap: str
    fraction: float
    draw: int
    n_train: int
    n_val: int
    n_test: int
    val_kind: Literal["split", "inner_cv", "none"]
    candidates: tuple[float, ...] = ()
    chosen: float | None = None
    chosen_index: int | None = None
    at_edge: bool = False
    val_loss: tuple[float, ...] = ()
    val_score: float | None = None
    test_score: float
    outcomes: NDArray[Any]
    converged: bool = True
    iterations: int = 0
    dropped_channels: int = 0
    extra: dict[str, float] = field(default_factory=dict)
    runner_up_gap: float | None = None
    chosen_loss: float | None = None
    validation: ValidationItems | None = field(default=None, compare=False)
    explored: tuple[float, ...] = ()


@dataclass(frozen=True)
class Holdout:
    """Training rows, and the samples that a head fitted on them is validated or tested on.

    Attributes:
        rows: positions in the split that label subsets are drawn from.
        split: split of the held-out samples.
        held_out: positions in that split.
    """

    rows: NDArray[np.int64]
    split: str
    held_out: NDArray[np.int64]


@dataclass(frozen=True)
class ProbeProblem:
    """Features, labels and label subsets of one sweep, checked against each other.

    The splits are ``train``, ``val`` and ``test``, or ``all`` alone with shuffle splits or in cross-validation, whose
    subsets include their test samples.

    Attributes:
        features: (tap, split) -> (n, D) float32.
        labels: per split, (n,) int64 classes or float64 targets.
        taps: shallowest first.
        subsets: label subsets.
        plans: validation plan of each (fraction, draw).
        n_classes: number of classes of the task; 0 for a regression target.
        device: torch device to solve on.
        task: name of the task, for messages.
        explore: also compute ``SweepRow.explored``.
        seed: seed of the task, used to resample validation samples.
        groups: (n,) group of each sample, for splits with dependent samples; others are missing or None.
        folds: number of folds if each label subset is tested on a fold of the samples; 0 otherwise.

    Raises:
        ContractError: fewer than two classes, no tap, features that do not match the labels or are not finite, a label
            outside the classes, or a subset without validation plan.
        DataError: a regression target is not finite, or is constant where R2 would be undefined.
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
    folds: int = 0

    def __post_init__(self) -> None:
        if not self.regression and self.n_classes < 2:
            raise ContractError(
                f"found {counted(self.n_classes, 'class', 'classes')}, a classification probe needs at least 2; "
                "correct the labels"
            )
        if not self.taps or not self.subsets:
            raise ContractError(
                f"found {counted(len(self.taps), 'tap')} and {counted(len(self.subsets), 'label subset')}; a probe "
                "needs at least one of each"
            )
        for subset in self.subsets:
            self._check_subset(subset)
        for split in self.splits:
            self._check_labels(split)
            for tap in self.taps:
                self._check_features(tap, split)

    @property
    def regression(self) -> bool:
        """True for a regression target, False for classes."""
        return self.n_classes == 0

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the probe reads."""
        return (ALL,) if ALL in self.labels else HOLDOUT

    @property
    def training(self) -> str:
        """Name of the split that label subsets are drawn from."""
        return self.splits[0]

    def plan(self, subset: LabelSubset) -> ValidationPlan:
        """Return the validation plan of a subset."""
        return self.plans[subset.fraction, subset.draw]

    def holdouts(self, subset: LabelSubset) -> Iterator[Holdout]:
        """Yield training rows with their validation samples: one pair, one per fold, or none."""
        plan = self.plan(subset)
        if plan.kind == "split":
            yield Holdout(subset.indices, "val", plan.indices)
        if plan.kind == "inner_cv":
            for fold in plan.folds:
                yield Holdout(np.delete(subset.indices, fold), self.training, subset.indices[fold])

    def tested(self, subset: LabelSubset) -> Holdout:
        """Return the training rows of a subset and its test samples."""
        if subset.test is not None:
            return Holdout(subset.indices, self.training, subset.test)
        return Holdout(subset.indices, "test", np.arange(len(self.labels["test"])))

    def test_samples(self, tap: str, subset: LabelSubset) -> tuple[NDArray[np.float32], Labels]:
        """Return features and labels of the test samples of a subset; a whole test split is not copied."""
        if subset.test is None:
            return self.features(tap, "test"), self.labels["test"]
        return self.features(tap, self.training)[subset.test], self.labels[self.training][subset.test]

    def outcomes_of(self, subset: LabelSubset, correct: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (n,) outcomes of all samples of the tested split from those of the test samples of a subset."""
        if subset.test is None:
            return correct
        found = np.full(len(self.labels[self.training]), UNTESTED, dtype=np.uint8)
        found[subset.test] = correct
        return found

    def r2_of(self, truth: Labels, predicted: NDArray[np.float64]) -> float:
        """Return R2 of test samples; that of a fold is relative to the spread of all samples, which is never 0."""
        if not self.folds:
            return r2(truth, predicted)
        return 1 - float(np.square(truth - predicted).mean() / self.labels[self.training].var())

    def n_val(self, subset: LabelSubset) -> int:
        """Return the number of validation samples of a subset."""
        return sum(len(holdout.held_out) for holdout in self.holdouts(subset))

    def _check_subset(self, subset: LabelSubset) -> None:
        name = f"label subset (fraction {subset.fraction}, draw {subset.draw})"
        if (subset.fraction, subset.draw) not in self.plans:
            raise ContractError(f"{name} has no validation plan; create one with validation_plan for every subset")
        if len(subset.indices) == 0:
            raise ContractError(f"{name} is empty; every class must keep at least one training sample")
        if (subset.test is None) == (ALL in self.labels):
            raise ContractError(f"{name}: test samples are required without a test split, and not allowed with one")

    def _check_labels(self, split: str) -> None:
        labels = self.labels[split]
        if len(labels) == 0 and split != "val":
            raise ContractError(f"the {split} split is empty; a probe needs samples for training and testing")
        if self.regression:
            self._check_targets(split)
        elif len(labels) and not 0 <= labels.min() <= labels.max() < self.n_classes:
            raise ContractError(
                f"labels of the {split} split range from {labels.min()} to {labels.max()}, "
                f"expected 0 to {self.n_classes - 1}. Check the classes that the task declares"
            )

    def _check_targets(self, split: str) -> None:
        targets = self.labels[split]
        unknown = int(np.sum(~np.isfinite(targets)))
        if unknown:
            raise DataError(
                f"{self.task}: not finite: {unknown} of {counted(len(targets), 'target')} of the {split} split. "
                "Remove these samples from the split"
            )
        if split != "val":
            self._check_spread(targets, f"the {split} split")
        for subset in self.subsets:
            if subset.test is not None and not self.folds:
                self._check_spread(targets[subset.test], f"the test set of shuffle {subset.draw}")

    def _check_spread(self, targets: Labels, where: str) -> None:
        if targets.min() == targets.max():
            raise DataError(
                f"{self.task}: the target is {targets[0]:g} in all of {where} ({counted(len(targets), 'sample')}), so "
                "R2 is undefined. Check for a wrong column, or leave the task out"
            )

    def _check_features(self, tap: str, split: str) -> None:
        values, count = self.features(tap, split), len(self.labels[split])
        if values.ndim != 2 or len(values) != count:
            raise ContractError(
                f"features of {tap} on the {split} split have shape {values.shape}, expected ({count}, D), "
                "one row per label. Extract the block again"
            )
        for start in range(0, count, ROWS_AT_ONCE):
            if not np.isfinite(values[start : start + ROWS_AT_ONCE]).all():
                raise ContractError(
                    f"features of {tap} on the {split} split are not finite. Check for NaN in the input or an overflow "
                    "in the backbone, then extract the block again"
                )
