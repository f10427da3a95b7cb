"""Probes on smaller representations of the features: int8, one bit, principal components, or the first dimensions.

What a coding needs to know (ranges, means, components) is fitted on training features alone, without labels. How many
dimensions are kept is chosen on validation, for every tap, label fraction and draw.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import ModelSpec
from geofm_eval.catalog.recipes import AT_SIZE, Coding
from geofm_eval.data.labels import LabelSubset
from geofm_eval.errors import ContractError
from geofm_eval.probes.problem import ProbeProblem, SweepRow
from geofm_eval.probes.resampled import resampled_scores
from geofm_eval.probes.sweep import Probe, Sweep, solve_together

CODING_VERSION = 1
"""Increase whenever the same features would be coded differently."""

DIMENSIONS = (4, 8, 16, 32, 64, 128, 256, 512)
"""Numbers of dimensions that are tried, below that of the features."""

LEVELS = 256
"""Distinct values that 8 bits hold."""

FEWEST = 2 * LEVELS
"""Samples below which values of any features may be that few by chance."""

Features = NDArray[np.float32]
Code = Callable[[Features], Features]


def solve_coded(probe: Probe, problem: ProbeProblem, pooling: str, coding: Coding) -> Sweep:
    """Solve a probe on coded features.

    Args:
        probe: the probe.
        problem: the problem with the original features.
        pooling: pooling of the features, for the record.
        coding: ``int8``, ``bit``, ``pca`` or ``first``.

    Returns:
        A sweep of the original taps. With ``pca`` and ``first``, every row is that of the number of dimensions with the
        lowest validation loss (ties: fewer), which its ``extra`` holds as ``dimensions`` next to the scores of all
        others (``at_8``).

    Raises:
        ContractError: the features already have at most 256 values per dimension, so that int8 would show nothing.
    """
    sizes = _sizes(problem, coding)
    sweeps = [
        solve_together(probe, [_coded(problem, subsets, rows, coding, sizes)], pooling)[0]
        for subsets, rows in _fitted_on(problem)
    ]
    solved: dict[tuple[str, float, int], dict[int, SweepRow]] = defaultdict(dict)
    for row in (row for sweep in sweeps for row in sweep.rows):
        tap, _, size = row.tap.partition("@")
        solved[tap, row.fraction, row.draw][int(size)] = replace(row, tap=tap)
    chosen = {key: _chosen(rows) if sizes else rows[0] for key, rows in solved.items()}
    rows = tuple(chosen[tap, one.fraction, one.draw] for tap in problem.taps for one in problem.subsets)
    meta = {**sweeps[0].meta, **coding_version(coding)}
    seconds = sum(sweep.seconds for sweep in sweeps)
    resamples = resampled_scores(problem, chosen)
    return replace(sweeps[0], taps=tuple(problem.taps), rows=rows, meta=meta, seconds=seconds, resamples=resamples)


def check_worth_coding(model: ModelSpec, coding: Coding) -> None:
    """Refuse to measure the cost of int8 on embeddings that their entry declares as quantised.

    Raises:
        ContractError: the entry states ``embedding.quantised``.
    """
    stated = model.embedding.quantised
    if coding == "int8" and stated:
        raise ContractError(
            f"{model.slug}: its entry states embedding.quantised = '{stated[:60]}', so int8 would cost nothing by "
            "construction. Choose another coding, or remove the statement if the values are not quantised"
        )


def coding_version(coding: Coding) -> dict[str, str | int]:
    """Return what identifies a coding, for cache and content keys."""
    return {"coding": coding, "coding_version": CODING_VERSION}


def bytes_per_sample(width: int, coding: Coding, dimensions: float | None = None) -> float:
    """Return the size of one coded feature vector.

    Args:
        width: number of dimensions of the original features.
        coding: ``float32`` for the original.
        dimensions: number of dimensions kept, with ``pca`` and ``first``.
    """
    kept = width if dimensions is None else dimensions
    return {"int8": 1.0, "bit": 0.125}.get(coding, 4.0) * kept


def _sizes(problem: ProbeProblem, coding: Coding) -> dict[str, tuple[int, ...]]:
    """Numbers of dimensions to try, by tap; empty if the coding keeps all."""
    if coding not in ("pca", "first"):
        return {}
    found = {}
    for tap in problem.taps:
        width = problem.features(tap, problem.training).shape[1]
        limit = width if coding == "first" else min(width, min(len(rows) for _, rows in _fitted_on(problem)) - 1)
        found[tap] = (*(size for size in DIMENSIONS if size < limit), limit)
    return found


def _fitted_on(problem: ProbeProblem) -> Iterator[tuple[list[LabelSubset], NDArray[np.int64]]]:
    """Label subsets with the same training features, and the positions of these in the split for training."""
    count = len(problem.labels[problem.training])
    groups: dict[bytes, list[LabelSubset]] = defaultdict(list)
    for subset in problem.subsets:
        groups[b"" if subset.test is None else subset.test.tobytes()].append(subset)
    for subsets in groups.values():
        tested = subsets[0].test
        every = np.arange(count)
        yield subsets, every if tested is None else np.setdiff1d(every, tested)


def _coded(
    problem: ProbeProblem,
    subsets: Sequence[LabelSubset],
    rows: NDArray[np.int64],
    coding: Coding,
    sizes: Mapping[str, tuple[int, ...]],
) -> ProbeProblem:
    """The problem on coded features; a tap with several sizes is one tap per size."""
    codes: dict[str, Code] = {}

    def features(name: str, split: str) -> Features:
        tap, _, size = name.partition("@")
        if tap not in codes:
            codes.clear()  # taps come one after another, and components of one take megabytes
            codes[tap] = _fitted(problem.features(tap, problem.training)[rows], coding, tap)
        coded = codes[tap](problem.features(tap, split))
        return coded[:, : int(size)] if int(size) else coded

    names = [f"{tap}@{size}" for tap in problem.taps for size in sizes.get(tap, (0,))]
    return replace(problem, features=features, taps=tuple(names), subsets=tuple(subsets))


def _fitted(train: Features, coding: Coding, tap: str) -> Code:
    if coding == "int8":
        return _int8(train, tap)
    if coding == "bit":
        middle = train.mean(0, dtype=np.float64)
        return lambda x: np.where(x > middle, 1, -1).astype(np.float32)
    if coding == "pca":
        return _components(train)
    return lambda x: np.asarray(x, np.float32)


def _int8(train: Features, tap: str) -> Code:
    if len(train) >= FEWEST and max(len(np.unique(column)) for column in train.T) <= LEVELS:
        raise ContractError(
            f"features of {tap} have at most {LEVELS} values per dimension in {len(train):,} samples: their values are "
            "already quantised, so int8 would cost nothing by construction. Choose another coding"
        )
    low = train.min(0).astype(np.float64)
    step = (train.max(0).astype(np.float64) - low) / (LEVELS - 1)
    step[step == 0] = 1.0

    def code(x: Features) -> Features:
        levels = np.clip(np.rint((x - low) / step), 0, LEVELS - 1)
        return np.asarray(levels * step + low, np.float32)

    return code


def _components(train: Features) -> Code:
    exact = train.astype(np.float64)
    mean = exact.mean(0)
    # Eigenvectors of the covariance: in float64 as exact as needed, and small whatever the number of samples.
    _, vectors = np.linalg.eigh((exact - mean).T @ (exact - mean))
    components = vectors[:, ::-1]
    return lambda x: np.asarray((x - mean) @ components, np.float32)


def _chosen(rows: Mapping[int, SweepRow]) -> SweepRow:
    """The row of the number of dimensions with the lowest validation loss; of the largest without validation."""
    losses = {size: row.chosen_loss for size, row in rows.items()}
    known = {size: loss for size, loss in losses.items() if loss is not None}
    size = min(known, key=lambda one: (known[one], one)) if len(known) == len(rows) else max(rows)
    curve = {f"{AT_SIZE}{one}": row.test_score for one, row in sorted(rows.items())}
    return replace(rows[size], extra={**rows[size].extra, "dimensions": float(size), **curve})
