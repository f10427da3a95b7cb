"""Scores of stand-ins with one label per sample, computed by the suite's pipeline."""

import numpy as np

from benchmarks.studies.standins.score import StandinScore
from geofm_eval.data.split import ALL, Split
from geofm_eval.measure.scores import score_fractions
from geofm_eval.probes.sweep import SweepRow
from geofm_eval.records import fraction_key
from geofm_eval.simulation.standins.oracle import oracle_labels
from geofm_eval.stats.reselection import choose
from geofm_eval.stats.scores import mean_interval, r2, r2_interval
from geofm_eval.workspace import Workspace


def measure_pooled(workspace: Workspace, model: str, task: str) -> StandinScore:
    """Score a model at its chosen tap with all labels, with the linear or the ridge probe.

    Args:
        workspace: workspace with the default recipe.
        model: a control, or the random twin of a model.
        task: a stand-in with one label per sample.
    """
    spec = workspace.catalog.task(task)
    splits = workspace.splits(task)
    sweep = workspace.sweep(model, task, "ridge" if spec.kind == "regression" else "linear")
    whole = {tap: [row for row in sweep.rows_for(tap) if row.fraction == 1.0] for tap in sweep.taps}
    best = list(whole)[choose(*zip(*map(_validated, whole.values()), strict=True))]
    score = score_fractions(spec.metric, whole[best], tested(splits))[fraction_key(1.0)]
    ends = (None, None) if score.interval is None else (score.interval.low, score.interval.high)
    return StandinScore(score.value, *ends)


def _validated(rows: list[SweepRow]) -> tuple[float, float]:
    """Mean validation score and loss of a tap."""
    losses = [np.nan if row.chosen_loss is None else row.chosen_loss for row in rows]
    return float(np.mean([row.val_score or 0.0 for row in rows])), float(np.mean(losses))


def oracle_pooled(workspace: Workspace, task: str) -> StandinScore:
    """Score the noise-free labels against the noisy ones, on the test samples."""
    split = tested(workspace.splits(task))
    known = oracle_labels(split)
    if split.task.kind == "regression":
        interval = r2_interval(known, split.labels, split.groups)
        value = r2(split.labels, known)
    else:
        correct = known == split.labels
        interval = mean_interval(correct, split.groups)
        value = float(correct.mean())
    return StandinScore(value, *((None, None) if interval is None else (interval.low, interval.high)))


def tested(splits: dict[str, Split]) -> Split:
    """Return the split whose samples are tested."""
    return splits.get("test") or splits[ALL]
