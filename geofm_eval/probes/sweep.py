"""Solve one probe for every tap, label fraction and draw at once, and keep the result as plain files."""

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
"""Part of every sweep's key: a change that moves any score raises it."""

SWEEP_FORMAT = "v2"
"""Folder of the cache that holds sweeps of this layout, so that those of another layout are never misread."""

SWEEP_FILE = "sweep.json"
OUTCOMES_FILE = "outcomes.npz"
RESAMPLES = "resamples_"
"""Prefix of the arrays of resampled validation scores in that file."""


@dataclass(frozen=True)
class Sweep:
    """A probe solved for every tap, label fraction and draw of one set of feature blocks.

    Attributes:
        key: what the sweep is found by; empty until the caller that knows the blocks gives it one.
        probe: one of ``PROBE_VERSION``.
        kind: what the outcomes of its rows are: ``correct`` (1 where a class is right) or ``prediction`` (a number).
        pooling: pooling of the features.
        taps: shallowest first.
        rows: ordered by tap, then fraction and draw as the label subsets were given.
        seconds: wall time of the solve, shared by all rows; an equal share of it where targets were solved together.
        meta: what else is worth recording.
        resamples: per label fraction (taps, B) float32, the mean validation score over the draws on resampled
            validation items, see :mod:`geofm_eval.probes.resampled`; a fraction without validation is absent.
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
        """The row of one tap, fraction and draw; ContractError when the sweep has none."""
        for row in self.rows:
            if (row.tap, row.fraction, row.draw) == (tap, fraction, draw):
                return row
        solved = sorted({(row.fraction, row.draw) for row in self.rows})
        raise ContractError(
            f"no row for tap '{tap}', fraction {fraction}, draw {draw}: "
            f"this sweep has taps {', '.join(self.taps)} and (fraction, draw) {solved}"
        )

    def rows_for(self, tap: str) -> list[SweepRow]:
        """All rows of one tap; ContractError when the sweep has none."""
        rows = [row for row in self.rows if row.tap == tap]
        if not rows:
            raise ContractError(f"no rows for tap '{tap}': this sweep has taps {', '.join(self.taps)}")
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

    The result is the same bit by bit whenever it is repeated on the same machine, device and number of threads; on a
    CPU a tap's rows do not depend on which other taps are solved with it.

    Args:
        probe: one of ``PROBE_VERSION``.
        features: (tap, split) -> (n, D) float32; the splits are ``train``, ``val`` and ``test``, or ``all`` alone.
        labels: per split, (n,) int64 classes or float64 targets.
        taps: shallowest first.
        pooling: pooling of the features, for the record.
        subsets: label subsets of the train split, or of all items.
        plans: how each (fraction, draw) is validated.
        n_classes: classes of the task; 0 for a regression target.
        device: torch device to solve on.
        task: name of the task, for messages.

    Raises:
        ContractError: an unknown probe, or inputs that do not fit together.
        DataError: a regression target that is not finite, or constant.
    """
    problem = ProbeProblem(features, labels, tuple(taps), tuple(subsets), plans, n_classes, torch.device(device), task)
    return solve_together(probe, [problem], pooling)[0]


def solve_together(probe: Probe, problems: Sequence[ProbeProblem], pooling: str) -> list[Sweep]:
    """Solve ``probe`` for several targets of the same features: ridge decomposes what they have in common once.

    Args:
        probe: one of ``PROBE_VERSION``.
        problems: one per target, all with the same features, taps and device.
        pooling: pooling of the features, for the record.

    Returns:
        One sweep per problem, the same bit by bit whichever others are solved with it.

    Raises:
        ContractError: an unknown probe, or one that does not serve a problem.
    """
    if probe not in PROBE_VERSION:
        raise ContractError(f"probe '{probe}' is unknown; known probes: {', '.join(PROBE_VERSION)}")
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
        wanted, found = ("a number", "classes") if of_numbers else ("a class", "a number to be predicted")
        raise ContractError(f"probe '{probe}' predicts {wanted}, and {problem.task} has {found}: choose another probe")
    if not problem.regression and problem.training != "train":
        raise ContractError(f"probe '{probe}' needs train, val and test, and {problem.task} has shuffle splits")
    if probe.startswith("adamw") and problem.training == "train":
        raise ContractError(
            f"probe '{probe}' is NeuCo-Bench's protocol of shuffle splits, and {problem.task} has a split of its own: "
            "choose ridge"
        )


def save_sweep(sweep: Sweep, directory: Path) -> None:
    """Write ``sweep.json`` (everything but arrays) and ``outcomes.npz`` (rows x items) into ``directory``."""
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
    """Read what `save_sweep` wrote.

    Raises:
        DataError: a file is absent, truncated or does not match the other one.
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
        raise DataError(f"{directory}: not a readable sweep ({error}): delete the folder, it is solved anew") from error


def _read_row(content: dict[str, Any], outcomes: NDArray[Any]) -> SweepRow:
    tuples = {name: tuple(content[name]) for name in ("candidates", "val_loss")}
    return SweepRow(**{**content, **tuples, "outcomes": outcomes})
