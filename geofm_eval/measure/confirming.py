"""Confirmation of an advised cut: a truncated backbone must reproduce the recorded score, and is timed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from geofm_eval.advice.choosing import PROBES, Advice
from geofm_eval.advice.cut import Confirmation, Cut, Timed
from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.backbones.truncated import truncate
from geofm_eval.catalog import Catalog
from geofm_eval.data.cross_validation import draw_and_fold, merged
from geofm_eval.data.inputs import ModelInput
from geofm_eval.data.split import ALL, Split
from geofm_eval.dense.probe import DenseProbe
from geofm_eval.dense.tokens import TokenEncoder
from geofm_eval.dense.windows import Window, covering
from geofm_eval.dense.windows import cut as cut_window
from geofm_eval.devices import device_turn
from geofm_eval.errors import ContractError
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import FeatureBlock, extract
from geofm_eval.metric import METRICS
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import Sweep, solve_together
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.records import Choice, Record
from geofm_eval.results.run import PROBE, Run
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.scores import pooled_r2, r2_per_draw
from geofm_eval.workspace import Settings, Workspace

FEATURE_NOISE = 1e-5
"""Largest allowed difference of features relative to the largest one; allows for summation order."""

SCORE_NOISE = 0.002
"""Largest allowed difference of scores, because another CPU or BLAS rounds differently; one test sample is allowed."""

ROUNDS = 15
IMAGES = {"cpu": 8, "cuda": 64}
"""Images in the timed batch by kind of device."""

CHIPS = 8
"""Number of chips of a dense task whose tokens are compared."""


def confirm_first(
    advice: Advice, run: Run, catalog: Catalog, *, weights: Path | None = None, device: str = "cpu"
) -> Confirmation:
    """Carry out the first advised cut of a backbone: the one for all labels, if there is one.

    Raises:
        ContractError: no cut is advised, or as in :func:`confirm_cut`.
        GeofmError: as in :func:`confirm_cut`.
    """
    cut = next((one for one in advice.cuts if not one.at_end), None)
    if cut is None:
        reasons = dict.fromkeys(reason for topic, reason in advice.missing.items() if topic.startswith("cut"))
        why = "; ".join(reasons) or "nothing shallower than the last block is within one standard error of the best"
        raise ContractError(f"no cut of {advice.model} on {advice.task} to confirm: {why}")
    record = next(
        record
        for record in run.scored_of(PROBE)
        if (record.case.model, record.case.task, record.case.layer) == (advice.model, advice.task, cut.tap)
        and record.case.adaptation in PROBES
    )
    return confirm_cut(cut, record, catalog, weights=weights, device=device)


def confirm_cut(
    cut: Cut,
    record: Record,
    catalog: Catalog,
    *,
    weights: Path | None = None,
    device: str = "cpu",
    progress: StartProgress = LogProgress,
) -> Confirmation:
    """Carry out a cut and measure it.

    Args:
        cut: the advised cut.
        record: record of the probe at the tap of the cut.
        catalog: catalog with the model, the task and the recipe of the record.
        weights: file that replaces the catalog's weights.
        device: torch device.
        progress: starts to report the progress of long work.

    Raises:
        Unavailable: data, weights or a package are missing.
        ContractError: the model cannot be cut there, or weights, samples, labels or recipe differ from the record's.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    workspace = _workspace(record, catalog, Settings(device, torch.get_num_threads()), weights, progress)
    whole = workspace.backbone(record.case.model, record.case.task)
    _check_same(record, workspace, whole)
    batch = _batch(workspace, record)
    short = truncate(whole, cut.tap, batch)
    found = (_dense if catalog.task(record.case.task).dense else _pooled)(workspace, record, cut, short)
    return _confirmation(cut, record, found, short, whole, _timed(whole, short, batch))


def _workspace(
    record: Record, catalog: Catalog, settings: Settings, weights: Path | None, progress: StartProgress
) -> Workspace:
    """Workspace with the recipe of a record, and with weights that replace those of its model."""
    recipe = str((record.provenance.recipe or {}).get("slug"))
    own = {} if weights is None else {record.case.model: weights}
    return Workspace(catalog, replace(settings, recipe=recipe, weights=own), progress)


@dataclass(frozen=True)
class _Found:
    difference: float
    largest: float
    score: float
    penalties: tuple[int, int]


def _confirmation(
    cut: Cut, record: Record, found: _Found, short: LoadedBackbone, whole: LoadedBackbone, timed: Timed
) -> Confirmation:
    return Confirmation(
        model=record.case.model,
        task=record.case.task,
        tap=cut.tap,
        kept=short.spec.depth,
        fraction=cut.fraction,
        parameters=short.parameters,
        whole_parameters=whole.parameters,
        timed=timed,
        difference=found.difference,
        largest=found.largest,
        metric=cut.test.metric,
        score=found.score,
        recorded=cut.test.value,
        penalties=found.penalties,
        problems=tuple(_problems(found, cut)),
    )


def _problems(found: _Found, cut: Cut) -> list[str]:
    problems = []
    if not found.difference <= FEATURE_NOISE * found.largest:
        problems.append(f"features differ by {found.difference:.3g}, the largest is {found.largest:.3g}")
    noise = max(SCORE_NOISE, 1.001 / cut.test.n if METRICS[cut.test.metric].mean_of_samples else 0.0)
    if not abs(found.score - cut.test.value) <= noise:
        problems.append(f"the score is {found.score:.4f}, the record has {cut.test.value:.4f}")
    return problems


def _check_same(record: Record, workspace: Workspace, whole: LoadedBackbone) -> None:
    """Check that weights, data and recipe are those of the record."""
    source, splits = record.provenance, workspace.splits(record.case.task)
    here = {
        "weights": whole.weights_sha256,
        "samples": {name: split.items_sha256 for name, split in splits.items()},
        "labels": {name: split.labels_sha256 for name, split in splits.items()},
        "recipe": workspace.recipe.model_dump(mode="json"),
        "task version": workspace.catalog.task(record.case.task).version,
    }
    there = {
        "weights": source.weights_sha256,
        "samples": source.items_sha256,
        "labels": source.labels_sha256,
        "recipe": source.recipe,
        "task version": record.case.task_version,
    }
    differ = [name for name in here if here[name] != there[name]]
    if differ:
        raise ContractError(
            f"{record.case.id} was measured with different {' and '.join(differ)}; pass the weights with "
            "--weights and the catalog with --catalog, or measure the case again"
        )


def _batch(workspace: Workspace, record: Record) -> ModelInput:
    """Some samples of the task as input of the backbone: windows of chips, and a similar number of dates of series."""
    case, device = record.case, workspace.settings.device
    adapter = workspace.adapter(case.model, case.task)
    split = next(iter(workspace.splits(case.task).values()))
    dates = max(len(split.read(0).dates), 1)
    images = [split.read(index % len(split)) for index in range(max(IMAGES[_kind(device)] // dates, 1))]
    if split.task.dense:
        window = Window(0, 0, workspace.dense_probe(case.model, case.task).encoder.size)
        images = [cut_window(image, window) for image in images]
    batch = adapter([image for image in images if image.pixels.shape == images[0].pixels.shape]).to(device)
    return batch.one_by_one() if batch.series and not adapter.native else batch


def _kind(device: str) -> str:
    return torch.device(device).type


def _timed(whole: LoadedBackbone, short: LoadedBackbone, batch: ModelInput) -> Timed:
    """Time both alternately, so that other work of the machine slows both."""
    depth = len(whole.backbone.taps) - 2
    passes = ((short.backbone, short.spec.depth), (whole.backbone, depth))
    seconds = np.empty((ROUNDS + 2, 2))
    with torch.inference_mode(), exact_float32():
        for number in range(len(seconds)):
            for column, (backbone, blocks) in enumerate(passes):
                began = time.perf_counter()
                tokens = backbone.forward_to(batch, blocks)
                if tokens.is_cuda:
                    torch.cuda.synchronize(tokens.device)
                seconds[number, column] = time.perf_counter() - began
    kept = seconds[2:]  # the first rounds of a process are slower
    ratios = kept[:, 0] / kept[:, 1]
    low, high = np.quantile(ratios, [0.25, 0.75])
    cut, all_of_it = np.median(kept, axis=0)
    return Timed(
        len(batch.pixels), float(cut), float(all_of_it), float(np.median(ratios)), (float(low), float(high)), ROUNDS
    )


def _pooled(workspace: Workspace, record: Record, cut: Cut, short: LoadedBackbone) -> _Found:
    """Encode every split with the cut backbone, and solve the probe."""
    case, device = record.case, workspace.settings.device
    splits, adapter = workspace.splits(case.task), workspace.adapter(case.model, case.task)
    stored = workspace.blocks(case.model, case.task)
    with device_turn(device):
        made = {
            name: extract(short, adapter, split, device=device, progress=workspace.progress)
            for name, split in splits.items()
        }
    adaptation, budget = workspace.catalog.adaptation(case.adaptation), workspace.budget(case.task)
    errors = [_difference(made[name], stored[name], cut.tap, adaptation.pooling) for name in splits]
    problem = ProbeProblem(
        features=lambda tap, split: made[split].features(tap, adaptation.pooling),
        labels={name: split.labels for name, split in splits.items()},
        taps=(cut.tap,),
        subsets=[subset for subset in budget.subsets if subset.fraction == cut.fraction],
        plans=budget.plans,
        n_classes=len(workspace.catalog.task(case.task).classes),
        device=torch.device(device),
        task=case.task,
        folds=splits[ALL].fold_count if ALL in splits else 0,
    )
    with exact_float32(), device_turn(device):
        (sweep,) = solve_together(adaptation.probe, [problem], adaptation.pooling)
    difference, largest = (max(values) for values in zip(*errors, strict=True))
    folds = splits[ALL].fold_count if ALL in splits else 0
    chosen: dict[tuple[int, int | None], float | None] = {
        (draw_and_fold(row.draw, folds) if folds else (row.draw, None)): row.chosen for row in sweep.rows
    }
    return _Found(difference, largest, _score(sweep, splits), _same_penalties(record, cut.fraction, chosen))


def _difference(made: FeatureBlock, stored: FeatureBlock, tap: str, pooling: str) -> tuple[float, float]:
    """Largest absolute difference between two blocks' features of a tap, and the largest feature."""
    one, other = made.features(tap, pooling), stored.features(tap, pooling)
    return float(np.abs(one - other).max()), float(np.abs(other).max())


def _score(sweep: Sweep, splits: Mapping[str, Split]) -> float:
    """Test score as in records: the mean over draws; with shuffle splits, the pooled R2; of folds, out of fold."""
    if ALL in splits and splits[ALL].folds:
        outcomes, target = merged([row.outcomes for row in sweep.rows], np.array(splits[ALL].folds)), splits[ALL].labels
        return float(outcomes.mean() if sweep.kind == "correct" else r2_per_draw(outcomes, target).mean())
    if ALL in splits:
        return pooled_r2(np.stack([row.outcomes for row in sweep.rows]), splits[ALL].labels)
    return float(np.mean([row.test_score for row in sweep.rows]))


def _same_penalties(
    record: Record, fraction: float, chosen: Mapping[tuple[int, int | None], float | None]
) -> tuple[int, int]:
    """Number of equal penalties, by draw and fold, and of all."""
    choices: Sequence[Choice] = record.selection.choices if record.selection else ()
    own = {(choice.draw, choice.fold): choice.chosen for choice in choices if choice.fraction == fraction}
    return sum(own.get(draw) == penalty for draw, penalty in chosen.items()), len(chosen)


def _dense(workspace: Workspace, record: Record, cut: Cut, short: LoadedBackbone) -> _Found:
    """The dense probe on the cut backbone; the whole one encodes some chips again, because tokens are not stored."""
    case = record.case
    whole = workspace.dense_probe(case.model, case.task)
    encoder = TokenEncoder(short, whole.encoder.adapter, whole.encoder.size, whole.encoder.device)
    test = whole.splits["test"]
    with torch.inference_mode(), exact_float32():
        errors = [_chip_difference(encoder, whole.encoder, test, i, cut.tap) for i in range(min(CHIPS, len(test)))]
    budgets = {subset: budget for subset, budget in whole.budgets.items() if subset[0] == cut.fraction}
    probe = DenseProbe(encoder, whole.splits, budgets, whole.seed, workspace.progress)
    with device_turn(workspace.settings.device):
        sweep = probe.stored()
    rows = sweep.rows_for(cut.tap, cut.fraction)
    counts = np.stack([counted for _, counted in rows])
    difference, largest = (max(values) for values in zip(*errors, strict=True))
    same = _same_penalties(record, cut.fraction, {(row.draw, None): row.chosen for row, _ in rows})
    return _Found(difference, largest, float(count_score(counts, cut.test.metric).mean()), same)


def _chip_difference(one: TokenEncoder, other: TokenEncoder, split: Split, item: int, tap: str) -> tuple[float, float]:
    image = split.read(item)
    height, width = image.valid.shape[-2:]
    windows = covering(int(height), int(width), one.size)
    difference = largest = 0.0
    for made, stored in zip(one.maps(image, windows), other.maps(image, windows), strict=True):
        difference = max(difference, float((made.taps[tap] - stored.taps[tap]).abs().max()))
        largest = max(largest, float(stored.taps[tap].abs().max()))
    return difference, largest
