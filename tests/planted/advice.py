"""Runs with planted evidence for advice: probes, trainings, drift and timings whose advice is known beforehand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.records import (
    CaseInfo,
    Choice,
    Cost,
    Drift,
    Outcome,
    Provenance,
    Record,
    Reverted,
    RunInfo,
    Score,
    SeedTraining,
    Selection,
    Training,
    fraction_key,
    write_record,
)
from geofm_eval.stats.counts import count_score

MODEL, TASK, N = "pocket_mae", "eurosat_sim", 500
TAPS = ("embed", "block00", "block01", "block02", "final")
PASSED = Outcome(status="passed", verdict="no_range")
RECIPE = {"slug": "probing", "title": "Frozen probing", "val_budget": "matched"}


def case_of(kind: str, layer: str, adaptation: str, model: str = MODEL, task: str = TASK) -> CaseInfo:
    marks = ("sim", *(("control",) if model.endswith(("_random", "_stats")) else ()))
    name = f"{model}-{task}-{adaptation}-{layer}"
    return CaseInfo(
        kind=kind, model=model, task=task, adaptation=adaptation, layer=layer, id=name, task_version=1, markers=marks
    )


def source(**changes: Any) -> Provenance:
    fields = {"recipe": RECIPE, "seeds": {"task": 7}, "weights_sha256": "a" * 64, "device": {"model": "one CPU"}}
    return Provenance(**{**fields, **changes})


def probe(
    run: Path,
    tap: str,
    val: Sequence[float],
    test: float,
    *,
    fraction: float = 1.0,
    n_val: int | None = 400,
    metric: str = "accuracy",
    noise: float = 0.0,
    model: str = MODEL,
    outcomes: bool = True,
    kept: Record | None = None,
    **changes: Any,
) -> Record:
    """Write a probe's record at one label fraction, next to what ``kept`` holds of others.

    A share ``test`` of the items is right, the easiest ones; a share ``noise`` of all changes places with others.
    """
    correct = np.repeat(_right(tap, test, noise)[None].astype(np.uint8), len(val), 0)
    key = fraction_key(fraction)
    per_draw = tuple(correct.mean(1).tolist()) if metric == "accuracy" else (test,) * len(val)
    value = float(correct.mean()) if metric == "accuracy" else test
    score = Score(metric=metric, value=value, per_draw=per_draw, n=N, n_train=round(2000 * fraction))
    choices = _choices(fraction, val, n_val)
    arrays = {"ids": np.array([str(i) for i in range(N)]), f"correct_{key}": correct}
    scores = {key: score}
    if kept is not None:
        scores, choices = {**scores, **kept.scores}, [*choices, *kept.selection.choices]
        # The file is one for all fractions; of the earlier ones only the number of right items is read again.
        arrays |= {
            f"correct_{k}": np.arange(N) < np.rint(np.array(s.per_draw) * N)[:, None] for k, s in kept.scores.items()
        }
    record = Record(
        run=RunInfo(name=run.name),
        case=case_of("probe", tap, "ridge" if metric == "r2" else "linear", model),
        outcome=PASSED,
        scores=scores,
        selection=Selection(split="val", criterion="log_loss", choices=tuple(choices)),
        cost=Cost(parameters=1_000_000),
        evidence="simulated",
        provenance=source(**changes),
    )
    write_record(record, arrays if outcomes and metric == "accuracy" else None, run)
    return record


def _right(tap: str, test: float, noise: float) -> NDArray[np.bool_]:
    right = np.arange(N) < round(test * N)
    rng = np.random.default_rng(TAPS.index(tap))
    moved = [rng.choice(np.flatnonzero(side), round(noise * N / 2), replace=False) for side in (right, ~right)]
    right[np.concatenate(moved)] ^= True
    return right


def _choices(fraction: float, val: Sequence[float], n_val: int | None) -> list[Choice]:
    kind = "split" if n_val else "inner_cv"
    return [
        Choice(fraction=fraction, draw=d, val_kind=kind, n_val=n_val, val_score=v, chosen=0.1)
        for d, v in enumerate(val)
    ]


def probes(run: Path, vals: Sequence[float], tests: Sequence[float], **more: Any) -> Path:
    """A probe at every tap, one draw with all labels."""
    for tap, val, test in zip(TAPS, vals, tests, strict=True):
        probe(run, tap, [val], test, **more)
    return run


def timing(
    run: Path, layer: str, milliseconds: float, parameters: int | None, *, task: str = TASK, device: str = "one CPU"
) -> None:
    record = Record(
        run=RunInfo(name=run.name),
        case=case_of("throughput", layer, "frozen", task=task),
        outcome=PASSED,
        cost=Cost(
            seconds={"forward": milliseconds / 1000},
            images_per_second=8000 / milliseconds,
            parameters=parameters,
        ),
        provenance=source(device={"model": device}),
    )
    write_record(record, None, run)


IMAGES, PIXELS = 24, 1000


def trained(
    run: Path,
    adaptation: str,
    layer: str,
    right: float,
    val: float,
    *,
    kind: str = "segment",
    spread: float = 0.002,
    size: int = 200_000,
    outcomes: bool = True,
    schedule: str = "quick",
) -> Record:
    """Write a training of three seeds that classifies a share of the pixels, or items, rightly."""
    fraction = 0.1 if "_p010" in adaptation else 1.0
    difficulty = np.random.default_rng(0).normal(0, 0.03, IMAGES)
    seeds = np.random.default_rng(len(adaptation)).normal(0, spread, (3, 1))
    hits = np.rint(np.clip(right + difficulty + seeds, 0, 1) * PIXELS).astype(np.int64)
    row = np.stack([hits, PIXELS - hits], -1)
    counts = np.stack([row, row[..., ::-1]], -2)
    values = count_score(counts, "accuracy")
    key = fraction_key(fraction)
    training = Training(
        decoder=adaptation.partition("_")[0], tuning=adaptation.split("_")[-2], taps=("block02",),
        recipe={"slug": schedule}, window=64, chips={"train": 48, "val": 16, "test": IMAGES}, token_gsd_m=80.0,
        context_m=640.0, seeds=tuple(SeedTraining(seed=i, rate=1e-3, epoch=5, val_score=val) for i in range(3)),
    )  # fmt: skip
    score = Score(
        metric="accuracy", value=float(values.mean()), per_draw=tuple(map(float, values)), n=IMAGES, n_train=48
    )
    record = Record(
        run=RunInfo(name=run.name), case=case_of(kind, layer, adaptation), outcome=PASSED, scores={key: score},
        training=training, evidence="simulated", cost=Cost(seconds={"train": 60.0}, trained_parameters=size),
        provenance=source(),
    )  # fmt: skip
    arrays = {"ids": np.array([str(i) for i in range(IMAGES)]), f"counts_{key}": counts}
    write_record(record, arrays if outcomes else None, run)
    return record


def drift(run: Path, adaptation: str, lost: Mapping[str, tuple[Sequence[float], float | None]]) -> None:
    """Write a record of drift that says what reverting each part costs, per seed and with its error over items."""
    record = Record(
        run=RunInfo(name=run.name),
        case=case_of("drift", "multi", adaptation),
        outcome=PASSED,
        drift=Drift(
            n=24, scored=24, taps=("block00",), rate=1e-3, values={}, score=0.8, frozen_score=0.7,
            reverted={name: Reverted(per_seed=tuple(own), error=error) for name, (own, error) in lost.items()},
        ),
        evidence="simulated",
        provenance=source(),
    )  # fmt: skip
    write_record(record, None, run)
