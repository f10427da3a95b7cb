"""A small run, a cache and range files to damage, made of random numbers so that creating them is fast."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.expected import Basis, Data, Key, Origin, Range, Ranges, write_ranges
from geofm_eval.records import (
    CaseInfo,
    Choice,
    IntervalInfo,
    Outcome,
    Provenance,
    Record,
    RunInfo,
    RunManifest,
    Score,
    Selection,
    append_skip,
    fraction_key,
    write_manifest,
    write_record,
)
from geofm_eval.seals import seal_bytes
from geofm_eval.store import publish_directory, remember, write_bytes

TAPS = ("block00", "block01", "final")
ITEMS, DRAWS = 60, 3
MANIFEST = "training.json"


def write_run(folder: Path) -> Path:
    """Write records of a classification and a regression at three taps, with outcomes, the plan and a skip."""
    names = []
    for number, (task, metric) in enumerate((("colours", "accuracy"), ("heights", "r2"))):
        for tap in TAPS:
            record, arrays = planted(task, metric, tap, np.random.default_rng([number, TAPS.index(tap)]))
            write_record(record, arrays, folder)
            names.append(f"test_probe[{record.case.id}]")
    write_manifest(folder, RunManifest(name=folder.name, cases=tuple(names)))
    append_skip(folder, "main", "oak-colours-linear-embed", "weights", "oak.pth", "Fetch it.")
    return folder


def planted(task: str, metric: str, tap: str, rng: np.random.Generator) -> tuple[Record, dict[str, Any]]:
    """Make one record and its outcomes."""
    key = fraction_key(1.0)
    arrays: dict[str, Any] = {"ids": np.array([str(item) for item in range(ITEMS)])}
    if metric == "accuracy":
        arrays[f"correct_{key}"] = rng.random((DRAWS, ITEMS)) < 0.7
        per_draw = arrays[f"correct_{key}"].mean(1)
    else:
        target = rng.normal(size=ITEMS)
        predicted = (target + 0.4 * rng.normal(size=(DRAWS, ITEMS))).astype(np.float32)
        per_draw = 1 - np.square(predicted - target).sum(1) / np.square(target - target.mean()).sum()
        arrays |= {"target": target, f"prediction_{key}": predicted}
    arrays[f"val_{key}"] = rng.random(50)
    value = float(per_draw.mean())
    interval = IntervalInfo(low=value - 0.1, high=min(1.0, value + 0.1), method="planted", covers="items")
    score = Score(
        metric=metric, value=value, per_draw=tuple(per_draw.tolist()), interval=interval, n=ITEMS, n_train=120
    )
    choices = tuple(Choice(fraction=1.0, draw=d, val_kind="split", n_val=30, val_score=0.5) for d in range(DRAWS))
    adaptation = "linear" if metric == "accuracy" else "ridge"
    case = CaseInfo(
        kind="probe", model="oak", task=task, adaptation=adaptation, layer=tap, task_version=1,
        id=f"oak-{task}-{adaptation}-{tap}", markers=("sim", "closed"),
    )  # fmt: skip
    record = Record(
        run=RunInfo(name="run"),
        case=case,
        outcome=Outcome(status="passed", verdict="no_range"),
        scores={key: score},
        selection=Selection(split="val", criterion="log_loss", choices=choices),
        evidence="simulated",
        provenance=Provenance(items_sha256={"test": "1" * 64}, weights_sha256="2" * 64, threads=1),
    )
    return record, arrays


def write_expected(path: Path) -> Path:
    """Write ranges of ten cases."""
    data = Data(1, "official", "holdout", {"test": "a" * 64}, {"test": "b" * 64})
    basis = Basis("c" * 64, data, {"metric": "accuracy", "recipe": {"slug": "probing"}})
    origin = Origin(("first",), "planted", "0.1.0", "2026-01-31")
    ranges = {
        Key("probe", f"oak-linear-block{n:02d}", "1.0", "cpu", "float32"): Range(
            0.5 + n / 100, 0.6 + n / 100, 0.55 + n / 100, 10, "numeric", basis, origin, choices="21", gap=0.001
        )
        for n in range(10)
    }
    write_ranges(Ranges(path.stem, ranges), path)
    return path


def stored(folder: Path) -> dict[str, Any]:
    """Create or read a cache directory; return its manifest."""
    return publish_directory(folder, _write_result, MANIFEST)


def _write_result(folder: Path) -> dict[str, Any]:
    np.save(folder / "features.npy", np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    (folder / "ids.json").write_text(json.dumps([str(item) for item in range(40)]), encoding="utf-8")
    return {"result": {"val_score": 0.731, "rate": 0.001, "losses": [1.2, 0.7, 0.4], "seconds": {"train": 12.5}}}


def remembered(path: Path) -> Any:
    """Read or create a file of cached hashes."""
    return remember(path, lambda: {"darkest": [101.5, 88.25], "items": {"a": ["b"]}})


def write_checkpoint(path: Path) -> bytes:
    """Write a checkpoint as a training does; return its content."""
    content = np.random.default_rng(1).bytes(4000)
    write_bytes(path, seal_bytes(content))
    return content
