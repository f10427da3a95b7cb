"""Records of probe cases, from solved sweeps."""

from typing import Any, Literal

from geofm_eval.catalog import Case, TaskSpec
from geofm_eval.data.cross_validation import draw_and_fold
from geofm_eval.data.split import ALL, Split
from geofm_eval.dense.probe import DENSE_PROBE_VERSION
from geofm_eval.dense.sweep import DenseRow, DenseSweep
from geofm_eval.feature_blocks import FeatureBlock, block_key
from geofm_eval.measure.case import Built, Context, Measurement, measured
from geofm_eval.measure.provenance import described, evidence, tested_split
from geofm_eval.measure.scores import (
    dense_outcomes,
    near_taps,
    outcome_arrays,
    resample_arrays,
    score_dense,
    score_fractions,
    validated,
)
from geofm_eval.probes.codings import CODING_VERSION, bytes_per_sample
from geofm_eval.probes.sweep import PROBE_VERSION, Sweep, SweepRow
from geofm_eval.records import Choice, Cost, Selection
from geofm_eval.store import content_hash
from geofm_eval.workspace import Workspace

RECORD_VERSION = 3
"""Raised whenever the same sweep would give other scores, intervals or selections.

2: intervals from jackknife variances and score intervals instead of percentile bootstraps.
3: validation scores on resampled validation samples, and validation losses, which break ties.
"""

CRITERIA = {"linear": "log_loss", "ridge": "squared_error"}
"""Validation criterion for the hyperparameter of a probe; other probes have none."""


def measure_probe(context: Context, case: Case) -> Measurement:
    """Measure one probe case, or reuse its record from an earlier run.

    Raises:
        Unavailable: data, weights or a package are missing.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    workspace = context.workspace
    task = workspace.catalog.task(case.task)
    if task.dense:
        return _measure_dense(context, case)
    tested = tested_split(workspace.splits(case.task))

    def build() -> Built:
        sweep = workspace.sweep(case.model, case.task, case.adaptation)
        blocks, loaded = workspace.blocks(case.model, case.task), workspace.backbone(case.model, case.task)
        rows = sorted(sweep.rows_for(case.layer), key=lambda row: (row.fraction, row.draw))
        sections = {
            "scores": score_fractions(task.metric, rows, tested),
            "selection": Selection(
                split=ALL if tested.name == ALL else "val",
                criterion=CRITERIA.get(sweep.probe, "none"),
                candidates=rows[0].candidates,
                choices=tuple(_choice(row, row.val_kind, tested.fold_count) for row in rows),
                near=near_taps(sweep.taps, validated(sweep), sweep.resamples),
            ),
            "cost": _cost(blocks, sweep, loaded.parameters, _bytes(workspace, case, rows, blocks)),
            "evidence": evidence(task, tested),
            "provenance": described(
                workspace,
                case,
                loaded,
                pooling=sweep.pooling,
                feature_keys={name: block.key for name, block in blocks.items()},
                sweep_key=sweep.key,
                grid=_counted_rows(blocks, case.layer),
            ),
        }
        arrays = outcome_arrays(task, rows, tested)
        return Built(sections, arrays | resample_arrays(sweep.resamples, sweep.taps.index(case.layer)))

    probe = workspace.catalog.adaptation(case.adaptation).probe
    methods = {probe: PROBE_VERSION[probe], "record": RECORD_VERSION}
    coding = workspace.catalog.adaptation(case.adaptation).coding
    if coding != "float32":
        methods[coding] = CODING_VERSION
    content, items = content_hash(_content(workspace, case)), _declared_items(workspace, task, tested)
    return measured(context, case, content, methods, items, build)


def _measure_dense(context: Context, case: Case) -> Measurement:
    """Measure one case of the dense probe; see :func:`measure_probe`."""
    workspace = context.workspace
    task, splits = workspace.catalog.task(case.task), workspace.splits(case.task)
    probe = workspace.dense_probe(case.model, case.task)
    methods = {"dense_probe": DENSE_PROBE_VERSION, "record": RECORD_VERSION}

    def build() -> Built:
        sweep = workspace.dense_sweep(case.model, case.task)
        loaded = workspace.backbone(case.model, case.task)
        blocks = {name: block_key(loaded, probe.encoder.adapter, split) for name, split in splits.items()}
        sections = {
            "scores": score_dense(task, sweep, case.layer, splits["test"]),
            "selection": _dense_selection(sweep, case.layer),
            "cost": Cost(
                seconds=dict(sweep.seconds),
                shared_by=len(workspace.catalog.model(case.model).taps),
                images_per_second=sum(map(len, splits.values())) / sweep.seconds["extract"],
                parameters=loaded.parameters,
            ),
            "evidence": evidence(task, splits["test"]),
            "provenance": described(
                workspace,
                case,
                loaded,
                pooling="tokens",
                feature_keys=blocks,
                sweep_key=sweep.key,
                grid=_grid(workspace, case, sweep),
            ),
        }
        arrays = dense_outcomes(sweep, case.layer, splits["test"])
        return Built(sections, arrays | resample_arrays(sweep.resamples, sweep.taps.index(case.layer)))

    return measured(context, case, probe.key, methods, len(splits["test"]), build)


def _grid(workspace: Workspace, case: Case, sweep: DenseSweep) -> dict[str, float]:
    """Confounders of comparisons on a dense task: metres per token and window, and the grid ceiling."""
    metres = sweep.window * workspace.catalog.task(case.task).gsd
    return {
        "token_gsd_m": metres / sweep.grid[0],
        "context_m": metres,
        "grid_ceiling": workspace.ceiling(case.task, sweep.window, sweep.grid),
    }


def _dense_selection(sweep: DenseSweep, tap: str) -> Selection:
    rows = [row for fraction in sweep.fractions for row, _ in sweep.rows_for(tap, fraction)]
    validated = {
        fraction: [[(row.val_score, row.chosen_loss) for row, _ in sweep.rows_for(one, fraction)] for one in sweep.taps]
        for fraction in sweep.fractions
    }
    return Selection(
        split="val",
        criterion="squared_error" if rows[0].converged is None else "log_loss",
        candidates=sweep.candidates,
        choices=tuple(_choice(row, "inner_cv" if row.cross_validated else "split") for row in rows),
        near=near_taps(sweep.taps, validated, sweep.resamples),
    )


def _content(workspace: Workspace, case: Case) -> dict[str, Any]:
    """Everything that determines the result, known before anything is extracted or solved."""
    task, splits = workspace.catalog.task(case.task), workspace.splits(case.task)
    loaded, adapter = workspace.backbone(case.model, case.task), workspace.adapter(case.model, case.task)
    solved: dict[str, Any] = {
        "features": {name: block_key(loaded, adapter, split) for name, split in splits.items()},
        "labels": {name: split.labels_sha256 for name, split in splits.items()},
        "fractions": task.label_fractions,
        "draws": task.draws,
        "seed": task.seed,
        "val_budget": workspace.recipe.val_budget,
        "device": workspace.settings.device.partition(":")[0],
    }
    if ALL in splits:
        solved["shuffles"] = workspace.budget(case.task).identity
    if task.own:
        # Groups of the same splits would give other intervals.
        solved["groups"] = {name: content_hash([item.group for item in split.items]) for name, split in splits.items()}
    return solved


def _declared_items(workspace: Workspace, task: TaskSpec, tested: Split) -> int:
    if tested.name == ALL:
        return workspace.budget(task.slug).shuffled_items
    if task.sizes is None:
        return len(tested)
    return task.sizes[2] - sum(len(ids) for ids in tested.dropped.values())


def _digits(value: float | None, digits: int) -> float | None:
    """Round to few digits: a record has up to 120 choices, and random digits compress badly."""
    return None if value is None else float(f"{value:.{digits}g}")


def _choice(row: SweepRow | DenseRow, val_kind: Literal["split", "inner_cv", "none"], folds: int = 0) -> Choice:
    draw, fold = draw_and_fold(row.draw, folds) if folds else (row.draw, None)
    return Choice(
        fraction=row.fraction,
        draw=draw,
        fold=fold,
        val_kind=val_kind,
        n_val=row.n_val,
        chosen=row.chosen,
        at_edge=row.at_edge,
        val_score=row.val_score,
        val_loss=_digits(row.chosen_loss, 9),
        runner_up_gap=_digits(row.runner_up_gap, 4),
        converged=row.converged,
        iterations=row.iterations,
        dropped_channels=row.dropped_channels,
    )


def _bytes(workspace: Workspace, case: Case, rows: list[SweepRow], blocks: dict[str, FeatureBlock]) -> float:
    """Size of one feature vector as it is coded; with the number of dimensions chosen with the most labels."""
    chosen = workspace.catalog.adaptation(case.adaptation)
    width = next(iter(blocks.values())).features(case.layer, chosen.pooling).shape[1]
    kept = [row.extra["dimensions"] for row in rows if row.fraction == rows[-1].fraction and "dimensions" in row.extra]
    return bytes_per_sample(width, chosen.coding, sum(kept) / len(kept) if kept else None)


def _counted_rows(blocks: dict[str, FeatureBlock], tap: str) -> dict[str, float]:
    """Rows of the file of a tap, and those without sample and samples without row; empty for computed features."""
    meta = next(iter(blocks.values())).meta
    return {name: meta[name][tap] for name in ("rows", "surplus", "missing") if name in meta}


def _cost(blocks: dict[str, FeatureBlock], sweep: Sweep, parameters: int, size: float) -> Cost:
    if any("rows" in block.meta for block in blocks.values()):
        # Reading a file says nothing about the model that computed it.
        return Cost(seconds={"solve": sweep.seconds}, shared_by=len(sweep.taps), bytes_per_sample=size)
    items, seconds = (sum(float(block.meta[name]) for block in blocks.values()) for name in ("items", "seconds"))
    peaks = [peak for block in blocks.values() if (peak := block.meta["peak_memory_bytes"]) is not None]
    return Cost(
        seconds={"extract": seconds, "solve": sweep.seconds},
        shared_by=len(sweep.taps),
        images_per_second=items / seconds,
        parameters=parameters,
        peak_memory_bytes=max(peaks, default=None),
        bytes_per_sample=size,
    )
