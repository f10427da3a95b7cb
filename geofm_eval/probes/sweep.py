"""Solve one probe for every tap, label fraction and draw at once, and store the result as plain files."""

import functools
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.data.labels import Labels, LabelSubset, ValidationPlan
from geofm_eval.errors import ContractError, DataError
from geofm_eval.probes.knn import solve_knn
from geofm_eval.probes.linear import solve_linear
from geofm_eval.probes.neuco import solve_neuco
from geofm_eval.probes.problem import FeatureSource, ProbeProblem, SweepRow
from geofm_eval.probes.resampled import resampled_scores
from geofm_eval.probes.ridge import solve_ridge
from geofm_eval.stats.reselection import Stored

__all__ = [
    "PROBE_VERSION",
    "SWEEP_FORMAT",
    "OutcomeKind",
    "Probe",
    "Sweep",
    "SweepRow",
    "load_sweep",
    "save_sweep",
    "solve",
    "solve_together",
]

Probe = Literal["knn", "linear", "ridge", "adamw", "adamw_mended"]
OutcomeKind = Literal["correct", "prediction"]

PROBE_VERSION: dict[Probe, int] = {"knn": 2, "linear": 4, "ridge": 4, "adamw": 1, "adamw_mended": 1}
"""Part of every sweep's key; increase it with every change that moves a score."""

SWEEP_FORMAT = "v2"
"""Folder of the cache for sweeps of this layout, so that those of another layout are never misread."""

SWEEP_FILE = "sweep.json"
OUTCOMES_FILE = "outcomes.npz"
RESAMPLES = "resamples_"
"""Prefix of the arrays of resampled validation scores in the outcomes file."""


@dataclass(frozen=True)
class Sweep:
    """A probe solved for every tap, label fraction and draw of one set of feature blocks.

    Attributes:
        key: key of the sweep in the cache; empty until set by the caller that knows the blocks.
        probe: one of ``PROBE_VERSION``.
        kind: meaning of the outcomes: ``correct`` (1 if a class is right) or ``prediction`` (a regression value).
        taps: shallowest first.
        rows: ordered by tap, then fraction and draw as the label subsets were given.
        seconds: wall time of the solve, shared by all rows; divided equally between targets solved together.
        resamples: per label fraction (taps, B) float32, the mean validation score over the draws on resampled
        validation samples, see :mod:`geofm_eval.probes.resampled`; fractions without validation are omitted.
    """

    key: str
    probe: Probe
    kind: OutcomeKind
    pooling: str
    taps: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    seconds: float
    meta: dict[str, Any] = field(default_factory=dict)
    resamples: dict[float, Stored] = field(default_factory=dict)

    def row(self, tap: str, fraction: float, draw: int) -> SweepRow:
        """Return the row of one tap, fraction and draw; ContractError if the sweep has none."""
        for row in self.rows:
            if (row.tap, row.fraction, row.draw) == (tap, fraction, draw):
                return row
        solved = sorted({(row.fraction, row.draw) for row in self.rows})
        raise ContractError(
            f"no row for tap '{tap}', fraction {fraction}, draw {draw}; "
            f"the sweep has taps {', '.join(self.taps)} and (fraction, draw) {solved}"
        )

    def rows_for(self, tap: str) -> list[SweepRow]:
        """Return all rows of one tap; ContractError if the sweep has none."""
        rows = [row for row in self.rows if row.tap == tap]
        if not rows:
            raise ContractError(f"no rows for tap '{tap}'; the sweep has taps {', '.join(self.taps)}")
        return rows


_SOLVERS: dict[str, Callable[[ProbeProblem], Iterator[SweepRow]]] = {
    "knn": solve_knn,
    "linear": solve_linear,
    "adamw": functools.partial(solve_neuco, mended=False),
    "adamw_mended": functools.partial(solve_neuco, mended=True),
}


def solve(
    probe: Probe,
    features: FeatureSource,
    labels: Mapping[str, Labels],
    taps: Sequence[str],
    pooling: str,
    subsets: Sequence[LabelSubset],
    plans: Mapping[tuple[float, int], ValidationPlan],
    n_classes: int,
    device: str = "cpu",
    task: str = "the task",
) -> Sweep:
    """Solve ``probe`` for every tap and label subset of one target.

    The result is identical bit by bit on the same machine, device and number of threads. On a CPU a tap's rows do not
    depend on which other taps are solved with it.

    Args:
        probe: one of ``PROBE_VERSION``.
        features: (tap, split) -> (n, D) float32; the splits are ``train``, ``val`` and ``test``, or ``all`` alone.
        labels: per split, (n,) int64 classes or float64 targets.
        taps: shallowest first.
        pooling: pooling of the features, for the record.
        subsets: label subsets of the train split, or of all samples.
        plans: validation plan of each (fraction, draw).
        n_classes: number of classes of the task; 0 for a regression target.
        device: torch device to solve on.
        task: name of the task, for messages.

    Raises:
        ContractError: an unknown probe, or inconsistent inputs.
        DataError: a regression target is not finite, or is constant.
    """
    problem = ProbeProblem(features, labels, tuple(taps), tuple(subsets), plans, n_classes, torch.device(device), task)
    return solve_together(probe, [problem], pooling)[0]


def solve_together(probe: Probe, problems: Sequence[ProbeProblem], pooling: str) -> list[Sweep]:
    """Solve ``probe`` for several targets of the same features; ridge computes their common decompositions once.

    Args:
        probe: one of ``PROBE_VERSION``.
        problems: one per target, all with the same features, taps and device.
        pooling: pooling of the features, for the record.

    Returns:
        One sweep per problem, identical bit by bit whichever others are solved with it.

    Raises:
        ContractError: an unknown probe, or one that does not support a problem.
    """
    if probe not in PROBE_VERSION:
        raise ContractError(f"probe '{probe}' is unknown; expected one of {', '.join(PROBE_VERSION)}")
    for problem in problems:
        _check_served(probe, problem)
    started = time.perf_counter()
    solved: list[dict[tuple[str, float, int], SweepRow]] = [{} for _ in problems]
    with torch.inference_mode():
        for number, row in _rows(probe, problems):
            solved[number][row.tap, row.fraction, row.draw] = row
    seconds = (time.perf_counter() - started) / len(problems)
    return [_sweep(probe, pooling, problem, rows, seconds) for problem, rows in zip(problems, solved, strict=True)]


def _rows(probe: Probe, problems: Sequence[ProbeProblem]) -> Iterator[tuple[int, SweepRow]]:
    if probe == "ridge":
        yield from solve_ridge(problems)
        return
    for number, problem in enumerate(problems):
        for row in _SOLVERS[probe](problem):
            yield number, row


def _sweep(
    probe: Probe,
    pooling: str,
    problem: ProbeProblem,
    solved: Mapping[tuple[str, float, int], SweepRow],
    seconds: float,
) -> Sweep:
    taps = tuple(problem.taps)
    rows = tuple(solved[tap, subset.fraction, subset.draw] for tap in taps for subset in problem.subsets)
    meta = {"probe_version": PROBE_VERSION[probe], "n_classes": problem.n_classes, "threads": torch.get_num_threads()}
    kind: OutcomeKind = "prediction" if problem.regression else "correct"
    return Sweep("", probe, kind, pooling, taps, rows, seconds, meta, resampled_scores(problem, solved))


def _check_served(probe: Probe, problem: ProbeProblem) -> None:
    of_numbers = probe not in ("knn", "linear")
    if problem.regression != of_numbers:
        wanted, found = ("regression", "classification") if of_numbers else ("classification", "regression")
        raise ContractError(
            f"probe '{probe}' is for {wanted} tasks, but {problem.task} is a {found} task. Choose another probe"
        )
    if not problem.regression and problem.training != "train" and not problem.folds:
        raise ContractError(
            f"probe '{probe}' needs the splits train, val and test, but {problem.task} has shuffle splits. Give the "
            "task a fixed split"
        )
    if probe.startswith("adamw") and (problem.training == "train" or problem.folds):
        found = "folds" if problem.folds else "a fixed split"
        raise ContractError(
            f"probe '{probe}' needs NeuCo-Bench's shuffle splits, but {problem.task} has {found}. Choose ridge"
        )


def save_sweep(sweep: Sweep, directory: Path) -> None:
    """Write ``sweep.json`` (everything but arrays) and ``outcomes.npz`` (rows x samples) into ``directory``."""
    content = asdict(sweep)
    del content["resamples"]
    for row in content["rows"]:
        for name in ("outcomes", "validation", "explored"):
            del row[name]
    text = json.dumps(content, indent=1, allow_nan=False)
    (directory / SWEEP_FILE).write_text(text + "\n", encoding="utf-8")
    arrays = {f"{RESAMPLES}{fraction}": values for fraction, values in sweep.resamples.items()}
    outcomes = np.stack([row.outcomes for row in sweep.rows])
    np.savez_compressed(directory / OUTCOMES_FILE, allow_pickle=False, outcomes=outcomes, **arrays)


def load_sweep(directory: Path) -> Sweep:
    """Read a sweep written by `save_sweep`.

    Raises:
        DataError: a file is missing or truncated, or the files do not match.
    """
    try:
        content = json.loads((directory / SWEEP_FILE).read_text(encoding="utf-8"))
        with np.load(directory / OUTCOMES_FILE, allow_pickle=False) as file:
            outcomes = file["outcomes"]
            kept = {name: file[name] for name in file.files if name.startswith(RESAMPLES)}
        rows = tuple(_read_row(row, own) for row, own in zip(content.pop("rows"), outcomes, strict=True))
        resamples = {float(name.removeprefix(RESAMPLES)): array for name, array in kept.items()}
        return Sweep(**{**content, "taps": tuple(content["taps"]), "rows": rows, "resamples": resamples})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{directory}: not a readable sweep ({error}). Delete the folder to solve the probe again"
        ) from error


def _read_row(content: dict[str, Any], outcomes: NDArray[Any]) -> SweepRow:
    tuples = {name: tuple(content[name]) for name in ("candidates", "val_loss")}
    return SweepRow(**{**content, **tuples, "outcomes": outcomes})
