"""Compare probes with independent float64 solvers: ``python -m benchmarks.studies.trust.exact reports/runs/RUN``.

For every label subset of every probe of a run, three solutions are compared: the penalty path alone (the rule until
probe version 3); the current probe; and an independent float64 optimum, from scikit-learn's Newton solver (linear and
dense), numpy's singular values (ridge) or sorting (kNN). scikit-learn's scaler standardises the channels that hold more
than rounding. Differences are counted in chosen penalties and in test samples (pixels for the dense probe). Resumable:
results are kept in ``RUN-exact/``. The features must be in the cache. Suite ``bench`` takes about half an hour.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.studies.trust import exact_dense
from geofm_eval.catalog import load_catalog
from geofm_eval.data.labels import LabelSubset
from geofm_eval.extraction import exact_float32
from geofm_eval.measure.noise import job_of
from geofm_eval.probes import heads
from geofm_eval.probes.knn import GRID, NEIGHBOURS, TEMPERATURE
from geofm_eval.probes.logistic import PathSolution
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow
from geofm_eval.probes.ridge import RIDGE_PENALTIES
from geofm_eval.probes.selection import NEAR_LOWEST
from geofm_eval.probes.standardise import fit_standardiser
from geofm_eval.probes.sweep import Sweep, solve_together
from geofm_eval.records import Record, read_records
from geofm_eval.workspace import Settings, Workspace

CLOSE = 2e-3
"""At least two penalties, and all within this many nats of the best validation loss, are solved independently."""

NEWTON_SIZE = 1500
"""Number of parameters up to which the Hessian is factorised; larger problems use L-BFGS with a tight tolerance."""

Result = dict[str, Any]


@contextmanager
def path_alone() -> Iterator[None]:
    """Leave the penalties near the best as the path has solved them."""

    def unrefined(design: Any, penalties: torch.Tensor, weights: torch.Tensor) -> PathSolution:
        done, steps = torch.ones_like(penalties, dtype=torch.bool), torch.zeros_like(penalties, dtype=torch.int64)
        return PathSolution(weights, torch.zeros_like(penalties), done, steps)

    with patch.object(heads, "refine", unrefined):
        yield


def scaled(problem: ProbeProblem, tap: str, holdout: Holdout) -> tuple[NDArray[Any], ...]:
    """Return standardised float64 training and held-out rows of the channels that hold more than rounding."""
    train = problem.features(tap, problem.training)[holdout.rows]
    kept = fit_standardiser(torch.from_numpy(train)).kept.numpy()
    scaler = StandardScaler().fit(train[:, kept].astype(np.float64))
    held_out = problem.features(tap, holdout.split)[holdout.held_out]
    return tuple(scaler.transform(part[:, kept].astype(np.float64)) for part in (train, held_out))


def logistic(problem: ProbeProblem, row: SweepRow, holdout: Holdout, index: int) -> NDArray[np.float64]:
    """Return log probabilities (m, K) of held-out samples; -inf for a class without training samples."""
    x, held_out = scaled(problem, row.tap, holdout)
    y = problem.labels["train"][holdout.rows]
    classes = np.unique(y)
    strength = (2 if len(classes) == 2 else 1) / (row.candidates[index] * len(y))
    small = len(classes) * (x.shape[1] + 1) <= NEWTON_SIZE
    model = LogisticRegression(
        C=strength, solver="newton-cholesky" if small else "lbfgs", tol=1e-12 if small else 1e-9, max_iter=100_000
    ).fit(x, y)
    found = np.full((len(held_out), problem.n_classes), -np.inf)
    found[:, classes] = model.predict_log_proba(held_out)
    return found


def subset_of(problem: ProbeProblem, row: SweepRow) -> LabelSubset:
    """Return the label subset of a row."""
    return next(s for s in problem.subsets if (s.fraction, s.draw) == (row.fraction, row.draw))


def linear_row(problem: ProbeProblem, row: SweepRow) -> tuple[int | None, NDArray[np.uint8], dict[int, float]]:
    """Return choice, outcomes and validation losses of the independent optimum."""
    subset = subset_of(problem, row)
    holdouts = list(problem.holdouts(subset))
    index, losses = row.chosen_index, {}
    if holdouts:
        order = np.argsort(row.val_loss)
        near = [int(i) for n, i in enumerate(order) if n < 2 or row.val_loss[i] <= min(row.val_loss) + CLOSE]
        for i in near:
            parts = [(logistic(problem, row, one, i), problem.labels[one.split][one.held_out]) for one in holdouts]
            losses[i] = -float(np.concatenate([p[np.arange(len(y)), y] for p, y in parts]).mean())
        index = min(losses, key=losses.__getitem__)
    assert index is not None
    tested = problem.tested(subset)
    right = logistic(problem, row, tested, index).argmax(1) == problem.labels[tested.split][tested.held_out]
    return index, right.astype(np.uint8), losses


def ridge_row(problem: ProbeProblem, row: SweepRow) -> tuple[int | None, NDArray[np.float64], dict[int, float]]:
    """The same for ridge; outcomes are predictions of the tested samples."""
    subset = subset_of(problem, row)
    holdouts = list(problem.holdouts(subset))

    def predicted(holdout: Holdout) -> NDArray[np.float64]:
        x, held_out = scaled(problem, row.tap, holdout)
        y = problem.labels[problem.training][holdout.rows]
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        levels = np.array(RIDGE_PENALTIES) * np.square(s).sum() / max(x.shape[1], 1)
        shrunk = s[:, None] / (np.square(s)[:, None] + levels) * (u.T @ (y - y.mean()))[:, None]
        return np.asarray(held_out @ vt.T @ shrunk + y.mean())

    index = row.chosen_index
    if holdouts:
        errors = [np.square(predicted(h) - problem.labels[h.split][h.held_out][:, None]).sum(0) for h in holdouts]
        index = int(np.argmin(np.sum(errors, axis=0)))
    assert index is not None
    return index, predicted(problem.tested(subset))[:, index], {}


def knn_row(problem: ProbeProblem, row: SweepRow) -> tuple[int | None, NDArray[np.uint8], dict[int, float]]:
    """The same for kNN, which has no penalty."""
    subset = subset_of(problem, row)
    tested = problem.tested(subset)
    train = problem.features(row.tap, "train")[tested.rows].astype(np.float64)
    queries = problem.features(row.tap, "test")[tested.held_out].astype(np.float64) - train.mean(0)
    train = train - train.mean(0)
    similar = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        train / np.maximum(np.linalg.norm(train, axis=1, keepdims=True), 1e-300)
    ).T
    nearest = np.argsort(-np.round(similar * GRID), axis=1, kind="stable")[:, : NEIGHBOURS[0]]
    weights = np.exp(np.take_along_axis(similar, nearest, 1) / TEMPERATURE)
    labels = problem.labels["train"][tested.rows][nearest]
    votes = np.stack([(weights * (labels == k)).sum(1) for k in range(problem.n_classes)], axis=1)
    return None, (votes.argmax(1) == problem.labels["test"][tested.held_out]).astype(np.uint8), {}


ORACLES = {"linear": linear_row, "ridge": ridge_row, "knn": knn_row}


def compared(problem: ProbeProblem, probe: str, sweep: Sweep, before: Sweep) -> Iterator[Result]:
    """Yield one result per row of a sweep."""
    for row, old in zip(sweep.rows, before.rows, strict=True):
        index, outcomes, losses = ORACLES[probe](problem, row)
        subset = subset_of(problem, row)
        known = problem.tested(subset).held_out if probe == "ridge" else slice(None)
        spread = float(problem.labels[problem.splits[0]].std()) if probe == "ridge" else 0.5
        apart = [float(np.abs(own.outcomes[known].astype(float) - outcomes).max()) / spread for own in (old, row)]
        moved = [
            int((np.abs(own.outcomes[known].astype(float) - outcomes) > 0.01 * spread).sum()) for own in (old, row)
        ]
        near = [i for i, loss in losses.items() if loss <= min(losses.values()) + NEAR_LOWEST]
        error = [max((abs(own.val_loss[i] - losses[i]) for i in near), default=0.0) for own in (old, row)]
        yield {
            "tap": row.tap, "fraction": row.fraction, "draw": row.draw, "gap": row.runner_up_gap,
            "chosen": [old.chosen_index, row.chosen_index, index], "moved": moved, "apart": apart, "loss_error": error,
        }  # fmt: skip


def measured(workspace: Workspace, record: Record) -> list[Result]:
    """Return the results of one model, task and adaptation."""
    if workspace.catalog.task(record.case.task).dense:
        return measured_dense(workspace, record)
    job = job_of(workspace, record)
    probe = job.adaptation.probe
    with exact_float32():
        started = time.perf_counter()
        with path_alone():
            before = solve_together(probe, [job.problem], job.adaptation.pooling)[0]
        middle = time.perf_counter()
        sweep = solve_together(probe, [job.problem], job.adaptation.pooling)[0]
        ended = time.perf_counter()
    seconds = {"probe": probe, "seconds": [middle - started, ended - middle]}
    return [{**seconds, **row} for row in compared(job.problem, probe, sweep, before)]


def measured_dense(workspace: Workspace, record: Record) -> list[Result]:
    """The same for the dense probe, whose tokens are encoded again."""
    probe = workspace.dense_probe(record.case.model, record.case.task)
    with torch.inference_mode(), exact_float32():
        samples = probe.sampled()
        started = time.perf_counter()
        with path_alone():
            before = probe.problem.solved(samples)
        middle = time.perf_counter()
        now = probe.problem.solved(samples)
        seconds = {"probe": "dense", "seconds": [middle - started, time.perf_counter() - middle]}
        return [{**seconds, **row} for row in exact_dense.compared(probe, samples, before, now, CLOSE)]


def table(results: Sequence[list[Result]]) -> Iterator[str]:
    """Yield Markdown rows by probe and label fraction."""
    yield (
        "| probe | labels | fits | choices that differ: path, probe | test samples that differ: path, probe | "
        "largest error of a loss: path, probe | two best within 1e-4, 5e-4 |"
    )
    yield "|---|---|---|---|---|---|---|"
    groups: dict[tuple[str, float], list[Result]] = defaultdict(list)
    for row in (row for own in results for row in own):
        groups[row["probe"], row["fraction"]].append(row)
    for (probe, fraction), rows in sorted(groups.items()):
        choices = [sum(row["chosen"][i] != row["chosen"][2] for row in rows) for i in (0, 1)]
        moved = [sum(row["moved"][i] for row in rows) for i in (0, 1)]
        errors = [max(row["loss_error"][i] for row in rows) for i in (0, 1)]
        ties = [sum((row["gap"] or np.inf) < limit for row in rows) for limit in (1e-4, 5e-4)]
        cells = (f"{a}, {b}" for a, b in (choices, moved))
        has_path = probe in ("linear", "dense")
        loss = f"{errors[0]:.1e}, {errors[1]:.1e}" if has_path else "-"
        near = f"{ties[0]}, {ties[1]}" if has_path else "-"
        yield f"| {probe} | {fraction:g} | {len(rows)} | {' | '.join(cells)} | {loss} | {near} |"
    yield ""
    for probe in ("linear", "dense"):
        seconds = [sum(own[0]["seconds"][i] for own in results if own[0]["probe"] == probe) for i in (0, 1)]
        yield f"{probe} probes: {seconds[0]:.0f} s for the path alone, {seconds[1]:.0f} s for the probe"


def main() -> None:
    """Run the remaining comparisons and print the table."""
    parser = argparse.ArgumentParser(description="Compare probes with independent float64 solvers.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--models", default="", help="comma-separated; default: all of the run")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    workspace, results = Workspace(load_catalog(), Settings()), []
    folder = chosen.run.with_name(f"{chosen.run.name}-exact")
    folder.mkdir(exist_ok=True)
    records = [record for record in read_records(chosen.run)[0] if record.case.kind == "probe"]
    groups = {(r.case.model, r.case.task, r.case.adaptation): r for r in records}
    for name, record in groups.items():
        if chosen.models and record.case.model not in chosen.models.split(","):
            continue
        path = folder / f"{'-'.join(name)}.json"
        if not path.exists():
            path.write_text(json.dumps(measured(workspace, record)), encoding="utf-8")
        own = json.loads(path.read_text(encoding="utf-8"))
        results.append(own)
        for row in own:
            if row["chosen"][1] != row["chosen"][2] or row["moved"][1]:
                print(
                    "-".join(name),
                    {key: row[key] for key in ("tap", "fraction", "draw", "gap", "chosen", "moved")},
                    flush=True,
                )
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
