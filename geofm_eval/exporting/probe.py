"""Fit the probe of a finished sweep again at its chosen penalty, and write it for use outside the suite."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.catalog import Case
from geofm_eval.data.labels import LabelSubset
from geofm_eval.errors import ContractError, DataError
from geofm_eval.extraction import exact_float32
from geofm_eval.measure.provenance import tested_split
from geofm_eval.measure.scores import score_fractions
from geofm_eval.probes.heads import HeadJob, fit_heads
from geofm_eval.probes.problem import ProbeProblem, SweepRow
from geofm_eval.probes.ridge import decompose
from geofm_eval.probes.saved import SavedProbe, save_probe
from geofm_eval.probes.standardise import Standardiser
from geofm_eval.probes.sweep import Sweep
from geofm_eval.records import Score, fraction_key
from geofm_eval.results.run import PROBE
from geofm_eval.stats.scores import prediction_dtype
from geofm_eval.version import __version__
from geofm_eval.workspace import Workspace, probe_job

Array = NDArray[np.float64]


def export_probe(workspace: Workspace, model: str, task: str, adaptation: str, tap: str, folder: Path) -> Path:
    """Write the probe of one tap with all labels, at the penalty that validation chose.

    The weights are those that the test score was measured with: the first draw where a task has several draws, shuffles
    or folds. They are applied to raw pooled features, see `SavedProbe`.

    Args:
        workspace: splits, feature blocks and the sweep; what the cache lacks is computed.
        model: model of the catalog.
        task: task of the catalog.
        adaptation: ``linear``, ``ridge`` or a variant of them with another pooling.
        tap: name of the tap.
        folder: target; the file is ``<model>-<task>-<adaptation>-<tap>.safetensors``.

    Raises:
        ContractError: the adaptation has no weights to save, or the tap is unknown.
        DataError: the fit does not repeat the outcomes of the sweep.
        Unavailable: data or weights are missing.
        StoreError: the folder cannot be written, or the disk is full.
    """
    _check_savable(workspace, task, adaptation)
    sweep = workspace.sweep(model, task, adaptation)
    job = probe_job(workspace, model, task, adaptation)
    problem, fit = job.problem, _FITS[job.adaptation.probe]
    row = max(sweep.rows_for(tap), key=lambda one: one.fraction)  # the first draw of several
    subset = next(one for one in problem.subsets if (one.fraction, one.draw) == (row.fraction, row.draw))
    with torch.inference_mode(), exact_float32():
        weight, bias = fit(problem, tap, subset, row).folded()
    spec = workspace.catalog.task(task)
    case = Case(PROBE, model, task, adaptation, tap)
    score = _score(workspace, case, sweep, row.fraction)
    probe = SavedProbe(
        case=case.id, model=model, task=task, adaptation=adaptation, tap=tap, pooling=job.adaptation.pooling,
        recipe=workspace.recipe.slug, bands=tuple(spec.bands), inputs=workspace.adapter(model, task).report.as_dict(),
        classes=tuple(spec.classes) if not problem.regression else (),
        weight=weight, bias=bias, penalty=float(row.chosen or 0.0), n_train=row.n_train, n_test=row.n_test,
        metric="r2" if problem.regression else "accuracy", test_score=row.test_score, score=score.value,
        interval=None if score.interval is None else (score.interval.low, score.interval.high),
        weights_sha256=workspace.backbone(model, task).weights_sha256, version=__version__,
    )  # fmt: skip
    _check_same(probe, problem, subset, row)
    path = folder / f"{case.id}.safetensors"
    save_probe(probe, path)
    return path


def _score(workspace: Workspace, case: Case, sweep: Sweep, fraction: float) -> Score:
    """Score of a case over all of its draws, as its record has it."""
    rows = [row for row in sorted(sweep.rows_for(case.layer), key=lambda row: row.draw) if row.fraction == fraction]
    tested = tested_split(workspace.splits(case.task))
    return score_fractions(workspace.catalog.task(case.task).metric, rows, tested)[fraction_key(fraction)]


@dataclass(frozen=True)
class _Fitted:
    """Weights (K, D') and bias (K,) for the standardised channels that were kept."""

    standardiser: Standardiser
    weights: torch.Tensor
    bias: torch.Tensor

    def folded(self) -> tuple[Array, Array]:
        """Weights (K, D) and bias (K,) for raw features."""
        own = self.standardiser
        scaled = self.weights / own.scale
        whole = torch.zeros(len(scaled), len(own.kept), dtype=torch.float64, device=scaled.device)
        whole[:, own.kept] = scaled
        return whole.cpu().numpy(), (self.bias - scaled @ own.mean).cpu().numpy()


def _linear(problem: ProbeProblem, tap: str, subset: LabelSubset, row: SweepRow) -> _Fitted:
    index = _index(row)
    job = HeadJob(tap, subset.indices, problem.labels[problem.training][subset.indices])
    train = {tap: problem.features(tap, problem.training)}
    ((_, head),) = fit_heads([job], train, problem.n_classes, problem.device, refined=lambda *_: (index,))
    return _Fitted(head.standardiser, *head.at(index))


def _ridge(problem: ProbeProblem, tap: str, subset: LabelSubset, row: SweepRow) -> _Fitted:
    made = decompose(problem.features(tap, problem.training)[subset.indices], problem.device)
    path = made.fit(problem.labels[problem.training][subset.indices])
    centre = torch.tensor([path.centre], dtype=torch.float64, device=path.weights.device)
    return _Fitted(path.standardiser, path.weights[:, _index(row)][None], centre)


_FITS: dict[str, Callable[[ProbeProblem, str, LabelSubset, SweepRow], _Fitted]] = {"linear": _linear, "ridge": _ridge}


def _index(row: SweepRow) -> int:
    if row.chosen_index is None:
        raise ContractError(f"the sweep has no penalty at tap {row.tap}; measure the case again")
    return row.chosen_index


def _check_savable(workspace: Workspace, task: str, adaptation: str) -> None:
    chosen, spec = workspace.catalog.adaptation(adaptation), workspace.catalog.task(task)
    known = "linear (classes) or ridge (numbers)"
    if spec.dense:
        raise ContractError(
            f"{task} has a label per pixel, and dense probes are not saved; train a decoder, or choose a task with one "
            "label per sample"
        )
    if chosen.probe not in _FITS or chosen.coding != "float32":
        raise ContractError(f"{adaptation} has no weights for raw features that could be saved; choose {known}")
    if spec.kind not in chosen.kinds:
        raise ContractError(f"{adaptation} does not fit {task}, whose kind is {spec.kind}; choose {known}")


def _check_same(probe: SavedProbe, problem: ProbeProblem, subset: LabelSubset, row: SweepRow) -> None:
    """Compare predictions on the test samples with the outcomes of the sweep."""
    features, labels = problem.test_samples(probe.tap, subset)
    scores = probe.scores(features)
    if problem.regression:
        held_out = problem.tested(subset).held_out
        stored = row.outcomes[held_out].astype(np.float64)
        tolerance = np.finfo(prediction_dtype(labels)).eps * 8 * max(float(np.abs(stored).max()), 1e-300)
        differ = int((np.abs(scores[:, 0] - stored) > tolerance).sum())
    else:
        correct = (scores.argmax(1) == labels).astype(np.uint8)
        differ = int((problem.outcomes_of(subset, correct) != row.outcomes).sum())
    if differ:
        raise DataError(
            f"{probe.model} on {probe.task}, {probe.tap}: {differ} of {row.n_test} test samples are not predicted as "
            "when the score was measured; delete the solved probe (geofm-eval cache) and measure the case again"
        )
