"""First check of a GPU: ``python -m benchmarks.gpu --out report.json``; see docs/gpu.md.

Images and chips are generated in memory and the backbone's weights are in the repository, so neither data nor a raster
reader is needed. Every check compares the device with the CPU of the same machine, or with itself.
"""

import argparse
import contextlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval import __version__
from geofm_eval.backbones import LoadedBackbone, load_backbone
from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.items import Item
from geofm_eval.data.labels import label_subsets, validation_plan
from geofm_eval.data.split import Split
from geofm_eval.dense.batches import Batch, RandomCrops
from geofm_eval.dense.inference import ChipPredictor, counts_of, predictions, quality
from geofm_eval.dense.model import DenseModel, TunableModel
from geofm_eval.dense.plan import TrainingPlan, TrainingState
from geofm_eval.dense.recipes import TrainingRecipe
from geofm_eval.dense.training import fresh_weights, train
from geofm_eval.extraction import Extraction, exact_float32
from geofm_eval.probes.sweep import Probe, solve
from geofm_eval.progress import LogProgress

CATALOG = load_catalog()
MODEL, ITEMS, CHIPS = "pocket_mae", "eurosat_sim", "sen1floods11_sim"
SIDE = 64

FEATURES_APART = 1e-3
"""Largest allowed difference of an image's features, in units of the tap's rms; the suite uses the same limit."""

SAMPLES_APART = 0.01
"""Proportion of test samples whose prediction may differ on another device: those on the decision boundary."""

RESUMED_APART = {"cpu": 0.0, "cuda": 1e-4}
"""Largest allowed weight difference after an interrupted training, in units of the largest weight. On a GPU, some
backward passes sum in no fixed order."""

Features = dict[str, NDArray[np.float32]]
Result = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Images per split for extraction and probes; chips and epochs for the training."""

    images: int = 2000
    chips: int = 64
    epochs: int = 12


TINY = Size(images=40, chips=4, epochs=4)
"""Sizes for a CPU."""


def drawn_items(name: str, count: int, seed: int) -> Split:
    """Images of ten classes that differ in brightness and in the direction of their stripes."""
    task = CATALOG.task(ITEMS)
    labels = np.random.default_rng(seed).permutation(np.arange(count) % len(task.classes))
    items = tuple(Item(f"{name}{i}", Path(f"{i}.tif"), int(label)) for i, label in enumerate(labels))

    def load(item: Item) -> NDArray[Any]:
        label, rng = int(item.label or 0), np.random.default_rng([seed, int(item.path.stem)])
        along = np.arange(SIDE)
        waves = np.sin(along * (1 + label % 5) / 4.0 + rng.uniform(0, 6))
        stripes = waves[:, None] if label < 5 else waves[None]
        bands = rng.uniform(0.9, 1.1, (len(task.bands), 1, 1)) * 1500 * (1 + 0.1 * (label % 3))
        return np.asarray(bands * (1 + 0.2 * stripes) + rng.normal(0, 300, (len(task.bands), SIDE, SIDE))).clip(1)

    return Split(_plain(task), name, items, "official", load)


def drawn_chips(name: str, count: int, seed: int) -> Split:
    """Chips of dark discs on bright ground; every pixel is labelled."""
    task = CATALOG.task(CHIPS)
    items = tuple(Item(f"{name}{i}", Path(f"{i}.tif"), None) for i in range(count))

    def target(item: Item) -> NDArray[Any]:
        rng = np.random.default_rng([seed, int(item.path.stem)])
        rows, columns = np.mgrid[:SIDE, :SIDE]
        top, left = rng.uniform(0, SIDE, 2)
        return np.asarray((rows - top) ** 2 + (columns - left) ** 2 < rng.uniform(12, 30) ** 2).astype(np.int64)

    def load(item: Item) -> NDArray[Any]:
        rng = np.random.default_rng([seed, int(item.path.stem), 1])
        shape = (len(task.bands), SIDE, SIDE)
        return np.asarray((2000.0 - 1200 * target(item)) * np.ones(shape) + rng.normal(0, 300, shape)).clip(1)

    return Split(_plain(task), name, items, "official", load, target)


def _plain(task: TaskSpec) -> TaskSpec:
    return task.model_copy(update={"nodata": None})


def loaded_on(task: str, device: str) -> tuple[LoadedBackbone, InputAdapter]:
    """Load the backbone and its input adapter."""
    spec = CATALOG.model(MODEL)
    adapter = InputAdapter(spec, CATALOG.task(task), CATALOG.recipe("probing"))
    return load_backbone(spec, adapter, device=device), adapter


def extracted(split: Split, device: str, batch: int) -> tuple[Features, float]:
    """Extract features of all taps as the suite does; also return images per second."""
    loaded, adapter = loaded_on(ITEMS, device)
    began = time.perf_counter()
    found = Extraction(loaded, adapter, split, torch.device(device), batch, LogProgress).pooled()
    return found, len(split) / (time.perf_counter() - began)


def apart(one: Features, other: Features) -> float:
    """Return the largest difference between two sets of features, in units of the tap's rms."""
    return max(
        float(np.abs(one[tap] - values).max() / np.sqrt(np.mean(np.square(values)))) for tap, values in other.items()
    )


def check_extraction(device: str, size: Size) -> Result:
    """Compare features on the device with those on the CPU."""
    split = drawn_items("train", size.images, 1)
    some = replace(split, items=split.items[: min(64, size.images)])
    extracted(some, device, 16)  # warm-up: loading kernels is not timed
    found, rate = extracted(split, device, 256 if device != "cpu" else 16)
    expected, _ = extracted(some, "cpu", 16)
    difference = apart({tap: values[: len(some)] for tap, values in found.items()}, expected)
    return {"passed": difference <= FEATURES_APART, "difference_rms": difference, "images_per_second": rate}


def check_batches(device: str, size: Size) -> Result:
    """Check that features do not depend on the batch size."""
    split = drawn_items("train", min(size.images, 200), 1)
    whole, _ = extracted(split, device, len(split))
    found = {batch: apart(extracted(split, device, batch)[0], whole) for batch in (1, 7, 64)}
    return {"passed": max(found.values()) <= FEATURES_APART, "difference_rms": found}


def check_probes(device: str, size: Size) -> Result:
    """Compare predictions and convergence of probes on the device with those on the CPU."""
    splits = {name: drawn_items(name, size.images, seed) for seed, name in enumerate(("train", "val", "test"), 1)}
    features = {name: extracted(split, device, 64)[0] for name, split in splits.items()}
    taps = ("embed", "block05", "final")
    found: Result = {}
    for probe in ("knn", "linear", "ridge"):
        labels = {name: split.labels for name, split in splits.items()}
        classes = len(CATALOG.task(ITEMS).classes)
        if probe == "ridge":
            rng = np.random.default_rng(0)
            labels = {name: own + rng.normal(0, 0.3, len(own)) for name, own in labels.items()}
            classes = 0
        found[probe] = _compared(probe, features, labels, taps, classes, device)
    return {"passed": all(one["passed"] for one in found.values()), **found}


def _compared(
    probe: Probe,
    features: Mapping[str, Features],
    labels: Mapping[str, Any],
    taps: tuple[str, ...],
    classes: int,
    device: str,
) -> Result:
    subsets = label_subsets(labels["train"], (0.1, 1.0), 2, seed=0)
    plans = {
        (s.fraction, s.draw): validation_plan(
            labels["train"][s.indices], labels["val"], s.fraction, s.draw, "matched", seed=0
        )
        for s in subsets
    }
    both, seconds = [], []
    for where in ("cpu", device):
        sweep = solve(
            probe, lambda tap, name: features[name][tap], labels, taps, "mean", subsets, plans, classes, where
        )
        both.append(sweep.rows)
        seconds.append(sweep.seconds)
    pairs = list(zip(*both, strict=True))
    if classes:
        far = [float(np.mean(a.outcomes != b.outcomes)) for a, b in pairs]
    else:
        far = [float(np.abs(a.outcomes - b.outcomes).max() / np.std(a.outcomes)) for a, b in pairs]
    others = sum(a.chosen != b.chosen for a, b in pairs)
    return {
        "passed": max(far) <= SAMPLES_APART and all(row.converged for _, row in pairs),
        "samples_apart" if classes else "predictions_apart_sd": max(far),
        "other_penalties": f"{others} of {len(pairs)}",
        "seconds": {"cpu": seconds[0], device: seconds[1]},
    }


class Stopped(Exception):
    """Simulates a session that ends in the middle of a training."""


@dataclass
class StoppingSamples:
    """Training samples that interrupt the training at a given batch."""

    samples: RandomCrops
    left: int

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def batch(self, chosen: NDArray[np.int64], epoch: int) -> Batch:
        """Return a batch, or raise ``Stopped``."""
        self.left -= 1
        if self.left < 0:
            raise Stopped
        return self.samples.batch(chosen, epoch)


def check_training(device: str, size: Size) -> Result:
    """Check that full tuning learns, and that an interrupted and resumed training ends with the same weights."""
    with tempfile.TemporaryDirectory() as folder:
        whole, done, seconds = _trained(device, size, Path(folder) / "whole")
        steps = done.step
        with contextlib.suppress(Stopped):
            _trained(device, size, Path(folder) / "pieces", stop_at=steps // 2 + 1)
        resumed, again, _ = _trained(device, size, Path(folder) / "pieces")
    largest = max(float(value.abs().max()) for value in whole.values() if value.is_floating_point())
    far = max(float((value.double() - resumed[name].double()).abs().max()) for name, value in whole.items()) / largest
    learnt = done.losses[-1] < 0.7 * done.losses[0]
    return {
        "passed": learnt and far <= RESUMED_APART[torch.device(device).type] and again.step == steps,
        "losses": [done.losses[0], done.losses[-1]],
        "validation_miou": done.chosen.score,
        "resumed_apart": far,
        "steps_per_second": steps / seconds,
    }


def _trained(
    device: str, size: Size, folder: Path, stop_at: int | None = None
) -> tuple[dict[str, torch.Tensor], TrainingState, float]:
    recipe = TrainingRecipe("gpu", epochs=size.epochs, validate_every=max(size.epochs // 2, 1), rate=1e-3, flips=True)
    training, held = drawn_chips("train", size.chips, 1), drawn_chips("val", max(size.chips // 4, 2), 2)
    loaded, adapter = loaded_on(CHIPS, device)
    samples = RandomCrops(training, np.arange(size.chips), adapter, seed=0, size=SIDE)
    predictor = ChipPredictor(adapter, SIDE, torch.device(device))

    def validate(model: TunableModel, epoch: int) -> float:
        assert isinstance(model, DenseModel)
        pairs = predictions(model, predictor, held.task, held.read_pair, range(len(held)))
        return quality(held.task, np.stack([counts_of(held.task, target, found) for target, found in pairs]))

    with torch.random.fork_rng(), exact_float32():
        fresh_weights(0)
        taps = tuple(f"block{block:02d}" for block in (3, 5, 7, 11))
        model = DenseModel(loaded.backbone, "full", taps, "lightms", len(held.task.classes)).to(device)
        given = samples if stop_at is None else StoppingSamples(samples, stop_at)
        began = time.perf_counter()
        done = train(
            model, given, held.task, TrainingPlan(recipe, recipe.rate, 0), validate, folder, device=device, every=0.0
        )
    return model.trained_state(), done, time.perf_counter() - began


CHECKS: Mapping[str, Callable[[str, Size], Result]] = {
    "extraction": check_extraction,
    "batches": check_batches,
    "probes": check_probes,
    "training": check_training,
}


def report(device: str, size: Size) -> Result:
    """Run all checks; an exception fails its own check only."""
    found: Result = {"device": device, "machine": _machine(device), "size": size.__dict__, "checks": {}}
    for name, check in CHECKS.items():
        began = time.perf_counter()
        try:
            result = check(device, size)
        except Exception as error:  # reported: finding failures is the purpose of this script
            result = {"passed": False, "error": f"{type(error).__name__}: {error}"}
        found["checks"][name] = {**result, "wall_seconds": time.perf_counter() - began}
        print(f"{name}: {'passed' if result['passed'] else 'FAILED'} {json.dumps(result, default=str)}", flush=True)
    found["passed"] = all(result["passed"] for result in found["checks"].values())
    return found


def _machine(device: str) -> Result:
    on_gpu = torch.device(device).type == "cuda"
    return {
        "geofm_eval": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the checks and write the report; return 0 if all passed."""
    parser = argparse.ArgumentParser(description="First check of a GPU; takes a few minutes.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu. Default: cuda.")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE", help="Default: gpu.json.")
    parser.add_argument("--tiny", action="store_true", help="Small sizes for a CPU; about a minute.")
    asked = parser.parse_args(arguments)
    if torch.device(asked.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU here; install a CUDA build of torch, or use --device cpu")
    found = report(asked.device, TINY if asked.tiny else Size())
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    print(f"{'all checks passed' if found['passed'] else 'A CHECK FAILED'}: {asked.out}")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
