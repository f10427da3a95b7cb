"""Records with planted per-item outcomes, for comparisons of two runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.records import (
    CaseInfo,
    Choice,
    Outcome,
    Provenance,
    Record,
    RunInfo,
    Score,
    SeedTraining,
    Selection,
    Training,
    write_record,
)
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.scores import pooled_r2, r2_per_draw

N = 1000


def probe(
    folder: Path, right: Mapping[str, NDArray[Any]], layer: str = "final", val: float | None = None, **how: Any
) -> Record:
    """A classification: ``right`` (draws, n) by label fraction; ``val`` is its validation score at all of them."""
    scores, arrays = {}, {"ids": _ids(next(iter(right.values())))}
    for fraction, outcomes in right.items():
        per_draw = np.atleast_2d(outcomes).mean(1)
        scores[fraction] = _score("accuracy", per_draw, arrays["ids"])
        arrays[f"correct_{fraction}"] = np.atleast_2d(outcomes).astype(np.uint8)
    if val is not None:
        choices = [Choice(fraction=float(one), draw=0, val_kind="split", val_score=val, val_loss=1 - val)
                   for one in right]  # fmt: skip
        how["selection"] = Selection(split="val", criterion="log loss", choices=tuple(choices))
    return _written(folder, scores, arrays, layer=layer, **how)


def regression(folder: Path, target: NDArray[Any], predicted: NDArray[Any], layer: str = "final", **how: Any) -> Record:
    """A regression at all labels: (draws, n) predictions, NaN where a shuffle did not test."""
    shuffled = bool(np.isnan(predicted).any())
    per_draw = r2_per_draw(predicted, target)
    score = _score("r2", per_draw, _ids(predicted))
    if shuffled:
        score = score.model_copy(update={"value": pooled_r2(predicted, target)})
    arrays = {"ids": _ids(predicted), "target": target, "prediction_1.0": predicted.astype(np.float32)}
    protocol = {"protocol": "shuffle_splits" if shuffled else "holdout"}
    return _written(folder, {"1.0": score}, arrays, layer=layer, source=protocol, **how)


def trained(folder: Path, counts: NDArray[Any], metric: str = "miou", layer: str = "multi", **how: Any) -> Record:
    """A trained decoder at all labels: (seeds, n, K, K) confusion counts or (seeds, n, 5) sums."""
    score = _score(metric, count_score(counts, metric), _ids(counts))
    seeds = how.pop("seeds", range(len(counts)))
    training = Training(
        decoder="lightms", tuning="frozen", taps=("block07",), recipe=how.pop("recipe", {"slug": "quick"}), window=64,
        chips={}, token_gsd_m=80.0, context_m=640.0,
        seeds=tuple(SeedTraining(seed=seed, rate=1e-3, epoch=1, val_score=0.8) for seed in seeds),
    )  # fmt: skip
    how = {"task": "sen1floods11_sim", "kind": "segment", "adaptation": "lightms_frozen_p100", **how}
    arrays = {"ids": _ids(counts), "counts_1.0": counts}
    return _written(folder, {"1.0": score}, arrays, layer=layer, training=training, **how)


def _written(folder: Path, scores: dict[str, Score], arrays: dict[str, NDArray[Any]], *, layer: str,
             model: str = "m_one",
             task: str = "eurosat_sim", adaptation: str = "linear", kind: str = "probe", weights: str = "a" * 64,
             version: int = 1, source: Mapping[str, Any] | None = None, training: Training | None = None,
             outcomes: bool = True, groups: NDArray[Any] | None = None, **fields: Any) -> Record:  # fmt: skip
    case = CaseInfo(
        kind=kind, model=model, task=task, adaptation=adaptation, layer=layer, task_version=version,
        id=f"{model}-{task}-{adaptation}-{layer}",
    )  # fmt: skip
    own = {"items_sha256": {"test": task * 4}, "labels_sha256": {"test": task}, "recipe": {"slug": "probing"}}
    record = Record(
        run=RunInfo(name=folder.name), case=case, outcome=Outcome(status="passed", verdict="no_range"), scores=scores,
        evidence="simulated", training=training,
        provenance=Provenance(weights_sha256=weights, seeds={"task": 3}, **{**own, **(source or {})}),
        **fields,
    )  # fmt: skip
    named = arrays if groups is None else {**arrays, "groups": groups}
    write_record(record, named if outcomes else None, folder)
    return record


def moved(right: NDArray[Any], lost: int, gained: int, seed: int = 0) -> NDArray[Any]:
    """Outcomes after so many right items became wrong, and so many wrong ones right."""
    rng, after = np.random.default_rng(seed), right.copy()
    after[rng.choice(np.flatnonzero(right), lost, replace=False)] = False
    after[rng.choice(np.flatnonzero(~right), gained, replace=False)] = True
    return after


def easy(n: int = N, share: float = 0.8, seed: int = 1) -> NDArray[Any]:
    """(n,) outcomes of which so many are right."""
    return np.random.default_rng(seed).permutation(n) < round(share * n)


def _ids(outcomes: NDArray[Any]) -> NDArray[Any]:
    rows = outcomes if outcomes.ndim == 1 else outcomes[0]
    return np.arange(len(rows)).astype(str)


def _score(metric: str, per_draw: NDArray[Any], ids: NDArray[Any]) -> Score:
    values = tuple(map(float, per_draw))
    direction = "lower" if metric == "rmse" else "higher"
    value = float(np.mean(per_draw))
    return Score(metric=metric, value=value, per_draw=values, n=len(ids), n_train=50, direction=direction)
