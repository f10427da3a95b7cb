"""A run folder as the suite would leave it, with made-up but realistic numbers: no torch, no data, milliseconds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geofm_eval.records import (
    CaseInfo,
    Choice,
    Cost,
    Inputs,
    IntervalInfo,
    Outcome,
    Provenance,
    Record,
    RunInfo,
    RunManifest,
    Score,
    Selection,
    fraction_key,
    write_manifest,
    write_record,
)

FRACTIONS = ((0.01, 5, 20), (0.1, 5, 200), (1.0, 1, 2000))
"""Label fraction, draws, labelled training items."""

N_TEST = 400
BANDS = tuple(f"B{number:02d}" for number in range(1, 11))


@dataclass(frozen=True)
class Synthetic:
    """A made-up model: test accuracy per tap at all labels."""

    slug: str
    profile: Sequence[float]
    control: bool = False
    real_bands: int = 10
    product: str = "L1C"

    @property
    def taps(self) -> tuple[str, ...]:
        """Tap names: ``final`` alone for a control without blocks."""
        if len(self.profile) == 1:
            return ("final",)
        return ("embed", *(f"block{number:02d}" for number in range(len(self.profile) - 2)), "final")


def _rise(low: float, top: float, end: float, blocks: int) -> tuple[float, ...]:
    """Rises until two thirds of the depth, then falls to the end."""
    depth = np.linspace(0, 1, blocks + 2)
    return tuple(
        np.where(depth < 0.66, low + (top - low) * (depth / 0.66) ** 0.6, top + (end - top) * (depth - 0.66) / 0.34)
    )


MODELS = (
    Synthetic("dino_vits16", _rise(0.48, 0.90, 0.86, 12)),
    Synthetic("mae_vits16", _rise(0.47, 0.87, 0.80, 12)),
    Synthetic("mae_vits16_random", _rise(0.47, 0.55, 0.52, 12), control=True),
    Synthetic("galileo_nano", _rise(0.46, 0.84, 0.83, 4), real_bands=3, product="L2A"),
    Synthetic("galileo_nano_random", _rise(0.44, 0.50, 0.49, 4), control=True, real_bands=3, product="L2A"),
    Synthetic("band_stats", (0.61,), control=True),
)
TASKS = ("eurosat_sim", "eurosat_rgb")
ADAPTATIONS = ("knn", "linear")


def make_record(
    model: Synthetic, task: str, adaptation: str, tap: str, run: str = "synthetic"
) -> tuple[Record, dict[str, np.ndarray]]:
    """The record of one case and its per-item outcomes; item difficulty is shared by all models, as on real data."""
    seed = int(hashlib.sha256(f"{model.slug}{task}{adaptation}{tap}".encode()).hexdigest()[:8], 16)
    difficulty = np.random.default_rng(len(task)).random(N_TEST)
    rng = np.random.default_rng(seed)
    reached = model.profile[model.taps.index(tap)] - (0.05 if adaptation == "knn" else 0.0)
    scores, choices, outcomes = {}, [], {"ids": np.array([f"Forest_{i}" for i in range(N_TEST)])}
    for fraction, draws, n_train in FRACTIONS:
        level = 0.1 + (reached - 0.1) * (1 + 0.17 * np.log10(fraction))
        noise = rng.normal(0, 0.12, (draws, N_TEST)) + rng.normal(0, 0.03, (draws, 1))
        correct = (difficulty + noise < level).astype(np.uint8)
        key = fraction_key(fraction)
        outcomes[f"correct_{key}"] = correct
        scores[key] = _score(correct, n_train)
        choices += [_choice(fraction, draw, n_train, level + rng.normal(0, 0.01), adaptation) for draw in range(draws)]
    record = Record(
        run=RunInfo(name=run),
        case=_case(model, task, adaptation, tap),
        outcome=Outcome(status="passed", verdict="no_range"),
        scores=scores,
        selection=Selection(split="val", criterion="log_loss", candidates=(0.01, 0.1, 1.0), choices=tuple(choices)),
        cost=Cost(seconds={"extract": 12.5, "solve": 1.25}, shared_by=len(model.taps), parameters=1_000_000),
        evidence="simulated" if task.endswith("_sim") else "sample",
        provenance=_provenance(model, task),
        content_key="0" * 64,
    )
    return record, outcomes


def write_run(
    folder: Path,
    models: Sequence[Synthetic] = MODELS,
    tasks: Sequence[str] = TASKS,
    adaptations: Sequence[str] = ADAPTATIONS,
) -> Path:
    """Write the records of all combinations, with the list of planned cases."""
    cases = []
    for model in models:
        for task in tasks:
            for adaptation in adaptations:
                for tap in model.taps:
                    record, outcomes = make_record(model, task, adaptation, tap, folder.name)
                    write_record(record, outcomes, folder)
                    cases.append(f"test_probe[{record.case.id}]")
    write_manifest(folder, RunManifest(name=folder.name, cases=tuple(cases)))
    return folder


def _case(model: Synthetic, task: str, adaptation: str, tap: str) -> CaseInfo:
    return CaseInfo(
        kind="probe",
        model=model.slug,
        task=task,
        adaptation=adaptation,
        layer=tap,
        id=f"{model.slug}-{task}-{adaptation}-{tap}",
        task_version=1,
        markers=("sim" if task.endswith("_sim") else "real", "closed", *(("control",) if model.control else ())),
    )


def _score(correct: np.ndarray, n_train: int) -> Score:
    value = float(correct.mean())
    half = 2 * (value * (1 - value) / correct.shape[1]) ** 0.5
    return Score(
        metric="accuracy",
        value=value,
        per_draw=tuple(correct.mean(axis=1).tolist()),
        interval=IntervalInfo(low=value - half, high=min(1.0, value + half), method="normal", covers="items"),
        n=correct.shape[1],
        n_train=n_train,
    )


def _choice(fraction: float, draw: int, n_train: int, val_score: float, adaptation: str) -> Choice:
    return Choice(
        fraction=fraction,
        draw=draw,
        val_kind="split" if fraction == 1.0 else "inner_cv",
        n_val=n_train // 4,
        chosen=0.1 if adaptation == "linear" else None,
        at_edge=False if adaptation == "linear" else None,
        val_score=val_score,
        converged=True,
        iterations=17,
        dropped_channels=0,
    )


def _provenance(model: Synthetic, task: str) -> Provenance:
    masked = BANDS[model.real_bands :]
    simulated = task.endswith("_sim")
    return Provenance(
        weights_sha256=hashlib.sha256(model.slug.encode()).hexdigest(),
        weights_source=f"file:{model.slug}.pth",
        items_sha256=dict.fromkeys(("train", "val", "test"), hashlib.sha256(task.encode()).hexdigest()),
        labels_sha256=dict.fromkeys(("train", "val", "test"), hashlib.sha256(f"{task}/labels".encode()).hexdigest()),
        split_definition="official" if simulated else "custom",
        recipe={"slug": "probing", "title": "Frozen probing", "fill": "raw_zero", "pooling": "mean"},
        inputs=Inputs(
            expected_bands=BANDS,
            real_bands=BANDS[: model.real_bands],
            masked_bands=masked,
            product_expected=model.product,
            product_found="L1C",
            product_mismatch=model.product != "L1C",
        ),
        pooling="mean",
        dtype="float32",
        seeds={"task": 7, "model": None},
        threads=1,
    )
