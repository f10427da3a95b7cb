"""Probes on your own arrays: scores with intervals at every tap, without catalog, cache or records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from geofm_eval.data.labels import LabelSubset, ValidationPlan, label_subsets, validation_plan
from geofm_eval.errors import ContractError
from geofm_eval.extraction import exact_float32
from geofm_eval.measure.scores import near_taps, score_fractions, validated, validation_means
from geofm_eval.plurals import counted
from geofm_eval.probes.problem import HOLDOUT, ProbeProblem
from geofm_eval.probes.sweep import Probe, Sweep, solve_together
from geofm_eval.records import Score, fraction_key
from geofm_eval.stats.reselection import choose

Arrays = tuple[ArrayLike | Mapping[str, ArrayLike], ArrayLike]
"""Features of a split, (n, D) or by tap, and its labels, (n,)."""

ONLY_TAP = "features"
"""Tap name of features given as one array."""


@dataclass(frozen=True)
class ProbedArrays:
    """Test scores of one probe at every tap.

    Args:
        probe: ``linear``, ``knn`` or ``ridge``.
        scores: scores by tap (shallow to deep), then by label fraction.
        chosen: tap with the best validation score, by label fraction; None without validation samples.
        near: taps within one standard error of the best, by label fraction.
        sweep: chosen penalties, validation scores and outcomes of every sample.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 2, 300)
        >>> x = y[:, None] + rng.normal(0, 0.5, (300, 8))
        >>> probe_arrays((x[:150], y[:150]), (x[150:200], y[150:200]), (x[200:], y[200:])).chosen
        {1.0: 'features'}
    """

    probe: str
    scores: Mapping[str, Mapping[float, Score]]
    chosen: Mapping[float, str | None]
    near: Mapping[float, tuple[str, ...]]
    sweep: Sweep

    def __repr__(self) -> str:
        fraction = max(self.chosen)
        tap = self.chosen[fraction] or list(self.scores)[-1]
        score = self.scores[tap][fraction]
        how = "chosen" if self.chosen[fraction] else "last"
        return f"ProbedArrays({self.probe}, {counted(len(self.scores), 'tap')}, {how} {tap}: {_shown(score)})"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per tap and label fraction, for ``pandas.DataFrame``."""
        return [
            {
                "tap": tap,
                "fraction": fraction,
                "metric": score.metric,
                "score": score.value,
                "low": None if score.interval is None else score.interval.low,
                "high": None if score.interval is None else score.interval.high,
                "n_train": score.n_train,
                "n_test": score.n,
                "chosen": self.chosen[fraction] == tap,
            }
            for tap, own in self.scores.items()
            for fraction, score in own.items()
        ]


def _shown(score: Score) -> str:
    ends = "" if score.interval is None else f" [{score.interval.low:.3f}, {score.interval.high:.3f}]"
    return f"{score.metric} {score.value:.3f}{ends}"


@dataclass(frozen=True)
class _TestSplit:
    labels: NDArray[Any]
    groups: NDArray[Any] | None
    name: str = "test"
    folds: tuple[int, ...] = ()


def probe_arrays(
    train: Arrays,
    val: Arrays | None,
    test: Arrays,
    *,
    taps: Sequence[str] | None = None,
    probe: Probe | None = None,
    fractions: Sequence[float] = (1.0,),
    draws: int = 5,
    test_groups: ArrayLike | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> ProbedArrays:
    """Probe frozen features; penalty and tap are chosen on validation samples, and test samples are used once.

    Args:
        train: features, an array (n, D) or one per tap from shallow to deep, and labels (n,): integer classes starting
            at 0, or floating-point targets.
        val: features and labels for validation; None cross-validates the training samples.
        test: features and labels for testing.
        taps: taps to probe; None takes all.
        probe: ``linear`` or ``knn`` for classes, ``ridge`` for targets; None takes ``linear`` or ``ridge``.
        fractions: label fractions in (0, 1]; subsets are nested and stratified.
        draws: random draws of each fraction below 1.
        test_groups: (n,) group of each test sample (scene, event, region); intervals are over groups.
        seed: random seed of label subsets and folds.
        device: torch device.

    Raises:
        ContractError: inconsistent taps, shapes or dtypes, a value that is not finite, or an unknown probe.
        DataError: the target is constant.
    """
    given = _Given.of(train, val, test)
    tested = _TestSplit(given.labels["test"], _groups(test_groups, given.labels["test"]))
    problem = given.problem(taps, label_subsets(given.labels["train"], tuple(fractions), draws, seed), seed, device)
    with exact_float32():
        (sweep,) = solve_together(probe or ("ridge" if given.regression else "linear"), [problem], "given")
    return _result(sweep, tested, "r2" if given.regression else "accuracy")


@dataclass(frozen=True)
class _Given:
    """The arrays by split, then by tap; without validation samples, ``val`` is empty."""

    features: Mapping[str, Mapping[str, NDArray[np.float32]]]
    labels: Mapping[str, NDArray[Any]]
    regression: bool

    @classmethod
    def of(cls, train: Arrays, val: Arrays | None, test: Arrays) -> "_Given":
        features = {"train": _by_tap(train[0]), "test": _by_tap(test[0])}
        labels = {"train": _labels(train[1]), "test": _labels(test[1])}
        if val is None:
            features["val"] = {tap: values[:0] for tap, values in features["train"].items()}
            labels["val"] = labels["train"][:0]
        else:
            features["val"], labels["val"] = _by_tap(val[0]), _labels(val[1])
        return cls(features, labels, _regression(labels))

    def problem(
        self, taps: Sequence[str] | None, subsets: Sequence[LabelSubset], seed: int, device: str
    ) -> ProbeProblem:
        return ProbeProblem(
            features=lambda tap, split: self.features[split][tap],
            labels=self.labels,
            taps=_taps(self.features, taps),
            subsets=subsets,
            plans=_plans(self.labels, subsets, seed),
            n_classes=0 if self.regression else int(max(one.max(initial=0) for one in self.labels.values())) + 1,
            device=torch.device(device),
            task="the arrays",
            seed=seed,
        )


def _regression(labels: Mapping[str, NDArray[Any]]) -> bool:
    """True for floating-point targets; labels of different dtypes are refused."""
    if len({one.dtype.kind for one in labels.values()}) > 1:
        kinds = ", ".join(f"{split} {one.dtype}" for split, one in labels.items())
        raise ContractError(f"labels have dtypes {kinds}; expected integer classes in all splits, or floats in all")
    return labels["train"].dtype.kind == "f"


def _groups(given: ArrayLike | None, labels: NDArray[Any]) -> NDArray[Any] | None:
    groups = None if given is None else np.asarray(given)
    if groups is not None and groups.shape != labels.shape:
        raise ContractError(f"test_groups has shape {groups.shape}, expected {labels.shape}")
    return groups


def _plans(
    labels: Mapping[str, NDArray[Any]], subsets: Sequence[LabelSubset], seed: int
) -> dict[tuple[float, int], ValidationPlan]:
    train, val = labels["train"], labels["val"]
    return {
        (one.fraction, one.draw): validation_plan(train[one.indices], val, one.fraction, one.draw, "matched", seed)
        for one in subsets
    }


def _result(sweep: Sweep, test: _TestSplit, metric: str) -> ProbedArrays:
    known = validated(sweep)
    scores = {}
    for tap in sweep.taps:
        found = score_fractions(metric, sweep.rows_for(tap), test)
        scores[tap] = {fraction: found[fraction_key(fraction)] for fraction in known}
    near = near_taps(sweep.taps, known, sweep.resamples)
    return ProbedArrays(
        sweep.probe,
        scores,
        {fraction: _chosen(sweep.taps, validation_means(draws)) for fraction, draws in known.items()},
        {fraction: near.get(fraction_key(fraction), ()) for fraction in known},
        sweep,
    )


def _chosen(taps: Sequence[str], means: NDArray[np.float64]) -> str | None:
    return taps[choose(means[:, 0], means[:, 1])] if np.isfinite(means[:, 0]).all() else None


def _by_tap(features: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    given = features if isinstance(features, Mapping) else {ONLY_TAP: features}
    return {tap: np.ascontiguousarray(values, dtype=np.float32) for tap, values in given.items()}


def _labels(labels: ArrayLike) -> NDArray[Any]:
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iufb":
        raise ContractError(
            f"labels have shape {found.shape} and dtype {found.dtype}; expected (n,) integers or floats"
        )
    return found.astype(np.float64 if found.dtype.kind == "f" else np.int64)


def _taps(features: Mapping[str, Mapping[str, Any]], asked: Sequence[str] | None) -> tuple[str, ...]:
    """Taps to probe, which every split must have."""
    names = tuple(features["train"]) if asked is None else tuple(asked)
    for split in (split for split in HOLDOUT if split in features):
        missing = [tap for tap in names if tap not in features[split]]
        if missing:
            raise ContractError(
                f"the {split} split has taps {', '.join(features[split])}; {', '.join(missing)} is missing"
            )
    return names
