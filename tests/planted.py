"""Runs with planted answers to the claims that findings are about."""

from pathlib import Path

import numpy as np

from geofm_eval.crossed import count_score
from geofm_eval.records import (
    CaseInfo,
    Choice,
    Cost,
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

TAPS = ("block00", "block01", "block02", "final")
CHOSEN = "block01"
"""The tap that validation chooses in every planted probe."""

DRAWS, IMAGES, PIXELS = 5, 24, 4000


def case(kind, model, task, adaptation, layer, control=False):
    markers = ("control",) if control else ()
    name = f"{model}-{task}-{adaptation}-{layer}"
    return CaseInfo(
        kind=kind, model=model, task=task, adaptation=adaptation, layer=layer, id=name, task_version=1, markers=markers
    )


def probe(folder, model, task, gain, *, n=2000, flips=0.002, adaptation="linear", pooling="mean", evidence="simulated",
          control=False, outcomes=True, profile=(0.0, 0.0, 0.0), noise=0.002, draws=DRAWS):  # fmt: skip
    """One model on one task, all taps: ``gain`` is what the chosen tap has over all others with all labels.

    Args:
        flips: share of the items that any two taps disagree on by chance.
        profile: of the blocks, added to what ``draws`` of a tenth of the labels reach.
    """
    rng = np.random.default_rng([len(folder.name), *model.encode(), *task.encode(), *adaptation.encode()])
    easy = rng.permutation(n) < 0.6 * n
    shared = rng.normal(0, 0.01, draws)
    for number, tap in enumerate(TAPS):
        right = easy ^ (rng.random(n) < flips)
        if tap == CHOSEN:
            right[rng.choice(np.flatnonzero(~easy), round(gain * n), replace=False)] = True
        tenth = 0.5 + shared + rng.normal(0, noise, draws) + (profile[number] if number < len(profile) else 0.0)
        scores = {
            "0.1": Score(metric="accuracy", value=float(tenth.mean()), per_draw=tuple(tenth), n=n, n_train=20),
            "1.0": Score(
                metric="accuracy", value=float(right.mean()), per_draw=(float(right.mean()),), n=n, n_train=200
            ),
        }
        choice = Choice(fraction=1.0, draw=0, val_kind="split", n_val=50, val_score=0.7 + 0.1 * (tap == CHOSEN))
        record = Record(
            run=RunInfo(name=folder.name),
            case=case("probe", model, task, adaptation, tap, control),
            outcome=Outcome(status="passed", verdict="no_range"),
            scores=scores,
            selection=Selection(split="val", criterion="log_loss", choices=(choice,)),
            evidence=evidence,
            provenance=Provenance(pooling=pooling, items_sha256={"test": task}, seeds={"task": 3}),
        )
        arrays = {"ids": np.arange(n).astype(str), "correct_1.0": right[None].astype(np.uint8)}
        arrays["correct_0.1"] = np.broadcast_to(arrays["correct_1.0"], (draws, n)).copy()
        write_record(record, arrays if outcomes else None, folder)


def probes(folder: Path, gains: dict[tuple[str, str], float], **how: object) -> Path:
    """Probes of several models and tasks."""
    for (model, task), gain in gains.items():
        probe(folder, model, task, gain, **how)
    return folder


def everywhere(gain: float, models=("m_one", "m_two"), tasks=("t_one", "t_two")) -> dict[tuple[str, str], float]:
    """The same gain for all models on all tasks."""
    return {(model, task): gain for model in models for task in tasks}


def trained(folder, model, adaptation, layer, shift, *, task="floods_sim", noise=0.0005, metric="miou",
            evidence="simulated", outcomes=True):  # fmt: skip
    """A decoder trained with three seeds; ``shift`` is added to the share of right pixels."""
    rng = np.random.default_rng([*model.encode(), *adaptation.encode(), *layer.encode()])
    difficulty = np.random.default_rng(0).normal(0, 0.05, IMAGES)
    share = np.clip(0.75 + shift + difficulty + rng.normal(0, noise, (3, 1)), 0, 1)
    hits = np.rint(share * PIXELS).astype(np.int64)
    row = np.stack([hits, PIXELS - hits], -1)
    counts = np.stack([row, row[..., ::-1]], -2)
    values = count_score(counts, metric)
    fraction = 0.1 if "_p010" in adaptation else 1.0
    training = Training(
        decoder=adaptation, tuning="full" if "_full" in adaptation else "frozen",
        taps=("block07",) if layer == "chosen" else (layer,), taps_by="validation" if layer == "chosen" else "usual",
        recipe={"slug": "quick"}, window=64, chips={"train": 48, "val": 16, "test": IMAGES}, token_gsd_m=80.0,
        context_m=640.0, seeds=tuple(SeedTraining(seed=i, rate=1e-3, epoch=1, val_score=0.8) for i in range(3)),
    )  # fmt: skip
    score = Score(metric=metric, value=float(values.mean()), per_draw=tuple(map(float, values)), n=IMAGES, n_train=48)
    record = Record(
        run=RunInfo(name=folder.name), case=case("segment", model, task, adaptation, layer),
        outcome=Outcome(status="passed", verdict="no_range"), scores={repr(fraction): score}, training=training,
        evidence=evidence, provenance=Provenance(seeds={"task": 3}, items_sha256={"test": task}),
        cost=Cost(seconds={"train": 1.0}),
    )  # fmt: skip
    arrays = {"ids": np.arange(IMAGES).astype(str), f"counts_{fraction!r}": counts}
    write_record(record, arrays if outcomes else None, folder)


def singles(folder: Path, shifts: dict[str, float], models=("m_one", "m_two"), **how: object) -> Path:
    """Single-level decoders of every model, tuning and label fraction on the blocks of ``shifts``."""
    for model in models:
        for adaptation in (f"single_w064_{t}_{p}" for t in ("frozen", "full") for p in ("p010", "p100")):
            for layer, shift in shifts.items():
                trained(folder, model, adaptation, layer, shift, **how)
    return folder
