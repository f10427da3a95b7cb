"""Float32 rounding of features: ``python -m benchmarks.studies.trust.rounding eurosat_sim pocket_mae rcf``.

Every backbone encodes the same test images in float32 and float64, from the same float32 inputs. Two standard
deviations over images are measured per tap: of the difference (rounding) and of the features (signal). The unit is a
float32 step (2^-23) of the channel's largest value, or of the median of all channels' largest values if that is larger.
`geofm_eval.probes.standardise.ROUNDING_STEPS` must be between the two. Prints one row per backbone: its largest
rounding, and the smallest sd of a channel that probes keep.
"""

import argparse
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.backbones.series import encode
from geofm_eval.catalog import load_catalog
from geofm_eval.probes.standardise import ROUNDING_STEPS, STEP, fit_standardiser
from geofm_eval.workspace import Settings, Workspace

Features = dict[str, NDArray[np.float64]]


def features(workspace: Workspace, model: str, task: str, images: int, dtype: torch.dtype) -> Features:
    """Return mean-pooled features (n, D) by tap of the first test images, computed in ``dtype``."""
    splits, adapter = workspace.splits(task), workspace.adapter(model, task)
    split = splits.get("test") or splits["all"]
    batch = adapter([split.read(index) for index in range(min(images, len(split)))])
    backbone = copy.deepcopy(workspace.backbone(model, task).backbone).to(dtype)
    tensors: dict[str, Any] = {
        name: value.to(dtype)
        for name, value in vars(batch).items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    with torch.inference_mode():
        encoded = encode(backbone, replace(batch, **tensors), adapter.native)
        taps = workspace.catalog.model(model).taps
        return {tap: encoded.pooled(tap, "mean").double().numpy() for tap in taps}


def rows(workspace: Workspace, task: str, models: Sequence[str], images: int) -> Iterator[tuple[str, ...]]:
    """Yield one row of the table per backbone."""
    for model in models:
        single, double = (features(workspace, model, task, images, kind) for kind in (torch.float32, torch.float64))
        noise, signal, dropped = {}, {}, 0
        for tap, values in single.items():
            kept = fit_standardiser(torch.from_numpy(values.astype(np.float32))).kept.numpy()
            dropped += int((~kept).sum())
            largest = np.abs(values).max(0)
            steps = STEP * np.maximum(largest, np.median(largest))
            noise[tap] = float(((values - double[tap]).std(0) / steps).max())
            signal[tap] = float((values.std(0) / steps)[kept].min(initial=np.inf))
        loud, quiet = max(noise, key=noise.__getitem__), min(signal, key=signal.__getitem__)
        yield model, f"{noise[loud]:.2g} ({loud})", f"{signal[quiet]:,.0f} ({quiet})", str(dropped)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure float32 rounding of features relative to their spread.")
    parser.add_argument("task")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--catalog", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    print(f"{chosen.task}, {chosen.images} images; probes drop channels of at most {ROUNDING_STEPS} steps")
    print("| backbone | largest rounding (tap) | smallest sd of a kept channel (tap) | channels dropped, all taps |")
    print("|---|---|---|---|")
    for row in rows(Workspace(load_catalog(chosen.catalog), Settings()), chosen.task, chosen.models, chosen.images):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
