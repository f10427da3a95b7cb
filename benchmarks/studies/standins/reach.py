"""Small networks that differ only in receptive field; their score differences measure the value of context."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.studies.standins.dense import stacked
from benchmarks.studies.standins.pooled import tested
from benchmarks.studies.standins.score import StandinScore, from_counts, score_maps
from geofm_eval.data.split import ALL, Split
from geofm_eval.stats.confusion_counts import confusion
from geofm_eval.stats.scores import mean_interval, r2, r2_interval

REACHES = {1: (), 15: (1, 2, 4), 63: (1, 2, 4, 8, 16)}
"""Dilations by receptive field in pixels: one pixel, less than a patch of 16 pixels, a whole chip."""

WIDTH, LAYERS = 32, 5
BATCH, RATE = 8, 3e-3
STEPS = {"classification": 1600, "regression": 500, "segmentation": 600, "dense_regression": 600}
CHECKS = 10


class Reach(nn.Module):
    """Five layers of equal width; only the first few see neighbouring pixels."""

    def __init__(self, channels: int, outputs: int, reach: int, dense: bool) -> None:
        super().__init__()
        self.dense = dense
        self.first = nn.Conv2d(channels, WIDTH, 1)
        spread = REACHES[reach]
        layers = [
            nn.Conv2d(WIDTH, WIDTH, 3, padding=spread[i], dilation=spread[i])
            if i < len(spread)
            else nn.Conv2d(WIDTH, WIDTH, 1)
            for i in range(LAYERS)
        ]
        self.layers = nn.ModuleList(layers)
        # Batch statistics are fixed after training, so they pass no information between pixels.
        self.norms = nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in layers)
        self.last = nn.Linear(WIDTH, outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, C, H, W) to (B, H, W, K), or to their mean (B, K) for one label per sample."""
        x = self.first(pixels)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + functional.relu(norm(layer(x)))
        x = x.permute(0, 2, 3, 1)
        outputs: Tensor = self.last(x if self.dense else functional.relu(x).mean(dim=(1, 2)))
        return outputs


@dataclass
class Sets:
    """Standardised pixels (n, C, H, W) and targets by split; rows are positions in the tested split."""

    pixels: dict[str, Tensor]
    targets: dict[str, Tensor]
    split: Split
    rows: NDArray[np.int64]
    centre: float
    scale: float


def prepare(splits: dict[str, Split]) -> Sets:
    """Read a stand-in; with shuffle splits, use random 70, 10 and 20 % for training, validation and test."""
    split = tested(splits)
    if ALL in splits:
        order = np.random.default_rng(0).permutation(len(split))
        cut = np.split(order, [round(0.7 * len(order)), round(0.8 * len(order))])
        parts = {name: (split, rows) for name, rows in zip(("train", "val", "test"), cut, strict=True)}
    else:
        parts = {name: (splits[name], np.arange(len(splits[name]))) for name in ("train", "val", "test")}
    fill = np.zeros(split.read(0).pixels.reshape(-1, *split.read(0).pixels.shape[-2:]).shape[0], np.float32) * np.nan
    raw = {
        name: np.stack([np.moveaxis(stacked(s, int(i), fill), -1, 0) for i in rows])
        for name, (s, rows) in parts.items()
    }
    mean = np.nanmean(raw["train"], axis=(0, 2, 3), keepdims=True)
    sd = np.nanstd(raw["train"], axis=(0, 2, 3), keepdims=True) + 1e-6
    pixels = {name: torch.from_numpy(np.nan_to_num((values - mean) / sd)).float() for name, values in raw.items()}
    values = {name: _targets(s, rows) for name, (s, rows) in parts.items()}
    centre, scale = 0.0, 1.0
    if "regression" in split.task.kind:
        centre, scale = float(np.nanmean(values["train"])), float(np.nanstd(values["train"]))
        values = {name: (found - centre) / scale for name, found in values.items()}
    targets = {name: torch.from_numpy(found) for name, found in values.items()}
    return Sets(pixels, targets, split, parts["test"][1], centre, scale)


def _targets(split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
    found = np.stack([split.read_target(int(i)) for i in rows]) if split.task.dense else split.labels[rows]
    return found.astype(np.float32 if "regression" in split.task.kind else np.int64)


def measure_reach(sets: Sets, reach: int, seed: int = 0) -> StandinScore:
    """Train one network, keep the state with the best validation score, and test it once."""
    task = sets.split.task
    torch.manual_seed(seed)
    outputs = max(len(task.classes), 1)
    network = Reach(sets.pixels["train"].shape[1], outputs, reach, task.dense)
    _train(network, sets, np.random.default_rng(seed))
    predicted = _predict(network, sets, "test")
    if task.dense:
        return score_maps(sets.split, lambda item: predicted[item])
    truth, rows = sets.split.labels[sets.rows], sets.rows
    groups = None if sets.split.groups is None else sets.split.groups[rows]
    if task.kind == "regression":
        value, interval = r2(truth, predicted), r2_interval(predicted, truth, groups)
    else:
        correct = predicted == truth
        value, interval = float(correct.mean()), mean_interval(correct, groups)
    return StandinScore(value, *((None, None) if interval is None else (interval.low, interval.high)))


def _train(network: Reach, sets: Sets, rng: np.random.Generator) -> None:
    pixels, targets = sets.pixels["train"], sets.targets["train"]
    weights = _weights(sets)
    steps = STEPS[sets.split.task.kind]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    best, kept = -np.inf, None
    for step in range(steps):
        network.train()
        rows = rng.choice(len(pixels), min(BATCH, len(pixels)), replace=False)
        x, y = _turned(pixels[rows], targets[rows], int(rng.integers(8)), sets.split.task.dense)
        loss = _loss(network(x), y, sets, weights)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        if (step + 1) % (steps // CHECKS) == 0:
            score = _validate(network, sets)
            if score > best:
                best, kept = score, {name: value.clone() for name, value in network.state_dict().items()}
    assert kept is not None
    network.load_state_dict(kept)
    network.eval()


def _weights(sets: Sets) -> Tensor | None:
    """Class weights: inverse square roots of the numbers of pixels or samples."""
    task = sets.split.task
    if not task.classes:
        return None
    labels = sets.targets["train"]
    counts = torch.bincount(labels[labels != task.ignore].flatten(), minlength=len(task.classes)).clamp_min(1)
    root = counts.double().rsqrt()
    return (root / root.mean()).float()


def _turned(pixels: Tensor, targets: Tensor, way: int, dense: bool) -> tuple[Tensor, Tensor]:
    """Apply one of the eight symmetries of a square."""

    def turn(values: Tensor) -> Tensor:
        turned = torch.rot90(values, way % 4, (-2, -1))
        return turned.flip(-1) if way >= 4 else turned

    return turn(pixels), turn(targets) if dense else targets


def _loss(outputs: Tensor, target: Tensor, sets: Sets, weights: Tensor | None) -> Tensor:
    if weights is not None:
        ignore = sets.split.task.ignore
        return functional.cross_entropy(outputs.flatten(0, -2), target.flatten(), weights, ignore_index=ignore)
    known = torch.isfinite(target)
    return functional.mse_loss(outputs[..., 0][known], target[known])


@torch.inference_mode()
def _predict(network: Reach, sets: Sets, name: str) -> NDArray[np.generic]:
    network.eval()
    outputs = torch.cat([network(part) for part in torch.split(sets.pixels[name], BATCH)])
    if sets.split.task.classes:
        classes: NDArray[np.generic] = outputs.argmax(-1).numpy()
        return classes
    numbers: NDArray[np.generic] = outputs[..., 0].double().numpy() * sets.scale + sets.centre
    return numbers


def _validate(network: Reach, sets: Sets) -> float:
    task, predicted, target = sets.split.task, _predict(network, sets, "val"), sets.targets["val"].numpy()
    if not task.classes:
        known = np.isfinite(target)
        return -float(np.square(predicted[known] - (target[known] * sets.scale + sets.centre)).mean())
    if not task.dense:
        return float((predicted == target).mean())
    return from_counts(confusion(target, predicted, len(task.classes), task.ignore), task.metric)
