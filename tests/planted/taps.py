"""Records of one model's taps whose right validation and test items are planted."""

from collections.abc import Sequence
from pathlib import Path

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
    Selection,
    read_record,
    write_record,
)
from geofm_eval.results.comparison import Subject
from geofm_eval.stats.reselection import as_stored, resample_weights, weighted_mean

Right = NDArray[np.float64]


def names(count: int) -> tuple[str, ...]:
    """Tap names: ``embed``, blocks, ``final``."""
    return ("embed", *(f"block{number:02d}" for number in range(count - 2)), "final")


def right_items(rng: np.random.Generator, levels: Sequence[float], n: int, own: float = 0.3) -> Right:
    """(taps, n) 1 where an item is right: taps share what is difficult, but for a part ``own``."""
    difficulty = (1 - own) * rng.random(n) + own * rng.random((len(levels), n))
    return (difficulty < np.array(levels)[:, None]).astype(np.float64)


def planted_taps(
    run: Path,
    val: Right,
    test: Right,
    *,
    model: str = "pocket_mae",
    task: str = "eurosat_sim",
    losses: Sequence[float | None] | None = None,
    resampled: bool = True,
    items: str = "",
) -> Subject:
    """Write the records of a linear probe at every tap, and read them again.

    Args:
        run: folder.
        val: (taps, n) right validation items.
        test: (taps, m) right test items.
        model: slug.
        task: slug.
        losses: mean validation losses; None for unknown.
        resampled: keep validation scores on resampled items.
        items: identity of the items; by default the task's own.
    """
    weights = resample_weights(val.shape[1], 7, f"{task} val")
    taps = {}
    for number, tap in enumerate(names(len(val))):
        loss = None if losses is None else losses[number]
        record = _record(run, model, task, tap, (float(val[number].mean()), loss), test[number], items or task)
        arrays: dict[str, NDArray[np.generic]] = {
            "ids": np.array([f"{task}_{item}" for item in range(test.shape[1])]),
            "correct_1.0": test[number][None].astype(np.uint8),
        }
        if resampled:
            arrays["val_1.0"] = as_stored(weighted_mean(val[number][None], weights)[0])
        taps[tap] = read_record(write_record(record, arrays, run))
    return Subject(model, taps, {})


def _record(
    run: Path, model: str, task: str, tap: str, chosen: tuple[float, float | None], right: Right, items: str
) -> Record:
    choice = Choice(fraction=1.0, draw=0, val_kind="split", n_val=100, val_score=chosen[0], val_loss=chosen[1])
    value = float(right.mean())
    return Record(
        run=RunInfo(name=run.name),
        case=CaseInfo(
            kind="probe", model=model, task=task, adaptation="linear", layer=tap,
            id=f"{model}-{task}-linear-{tap}", task_version=1, markers=("sim", "closed"),
        ),
        outcome=Outcome(status="passed", verdict="no_range"),
        scores={"1.0": Score(metric="accuracy", value=value, per_draw=(value,), n=len(right), n_train=200)},
        selection=Selection(split="val", criterion="log_loss", choices=(choice,)),
        evidence="simulated",
        provenance=Provenance(
            pooling="mean", recipe={"slug": "probing"}, items_sha256={"test": items}, seeds={"task": 7},
            weights_sha256="a" * 64,
        ),
    )  # fmt: skip
