"""Feature changes of a backbone between two runs: 1 - CKA of old and new features, tap by tap."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError
from geofm_eval.paths import geofm_cache
from geofm_eval.records import Provenance, Record
from geofm_eval.results.comparison import tap_order
from geofm_eval.results.run import PROBE

TESTED = ("test", "all")
"""Splits whose features are compared: test, or all samples with shuffle splits."""

POOLING = "mean"


@dataclass(frozen=True)
class Moved:
    """Feature changes of one backbone on ``n`` samples, which some tasks share.

    ``taps`` are 1 - debiased CKA of old and new features by tap, shallow to deep (None for a constant tap): near 0
    after only a rotation or scaling, about 1 if they have nothing in common. ``absent`` gives the reason for missing
    values and how to obtain them.
    """

    model: str
    tasks: tuple[str, ...]
    n: int
    taps: dict[str, float | None]
    absent: str = ""

    @property
    def most(self) -> str | None:
        """The tap that changed most; None without values."""
        known = {tap: value for tap, value in self.taps.items() if value is not None}
        return max(known, key=known.__getitem__, default=None)


def moved(pairs: Iterable[tuple[Record, Record]]) -> list[Moved]:
    """Compare the pooled features of every probed backbone whose weights differ, on the test samples of each data set.

    Features that the cache no longer has are reported as absent.
    """
    shared: dict[tuple[str, str, str], dict[str, None]] = {}
    for old, new in pairs:
        before, after = _key(old.provenance), _key(new.provenance)
        same = old.provenance.weights_sha256 == new.provenance.weights_sha256
        # Trainings and dense probes do not keep pooled features of test samples.
        if same or before is None or after is None or new.case.kind != PROBE or new.provenance.pooling == "tokens":
            continue
        shared.setdefault((new.case.model, before, after), {})[new.case.task] = None
    return [_compared(model, list(tasks), before, after) for (model, before, after), tasks in sorted(shared.items())]


def _compared(model: str, tasks: list[str], before: str, after: str) -> Moved:
    folder = geofm_cache() / "features" / "v1"
    for word, key in (("old", before), ("new", after)):
        if not (folder / key / "block.json").is_file():
            cure = f"run the {word} weights on {tasks[0]} again with the same GEOFM_CACHE"
            return Moved(model, tuple(tasks), 0, {}, f"its {word} features are not in the cache {folder}: {cure}")
    old, new = folder / before, folder / after
    taps = sorted(_taps(old) & _taps(new), key=tap_order)
    try:
        from geofm_eval.similarity import cka
    except ImportError:
        return Moved(model, tuple(tasks), 0, {}, "comparing them requires torch, which is not installed")
    try:
        ids = _ids(new)
        if _ids(old) != ids:
            return Moved(model, tuple(tasks), 0, {}, "its old and new features are from different samples")
        values = {tap: cka(_features(old, tap), _features(new, tap)).debiased for tap in taps}
    except (OSError, ValueError, ContractError) as error:
        return Moved(model, tuple(tasks), 0, {}, f"its features cannot be compared: {error}")
    changes = {tap: None if np.isnan(value) else 1 - value for tap, value in values.items()}
    return Moved(model, tuple(tasks), len(ids), changes)


def _key(source: Provenance) -> str | None:
    return next((source.feature_keys[split] for split in TESTED if split in source.feature_keys), None)


def _ids(block: Path) -> list[str]:
    ids: list[str] = json.loads((block / "ids.json").read_text(encoding="utf-8"))
    return ids


def _taps(block: Path) -> set[str]:
    return {path.name.split(".")[0] for path in block.glob(f"*.{POOLING}.npy")}


def _features(block: Path, tap: str) -> NDArray[Any]:
    # Read without `FeatureBlock`, whose module loads torch.
    features: NDArray[Any] = np.load(block / f"{tap}.{POOLING}.npy", mmap_mode="r", allow_pickle=False)
    return features
