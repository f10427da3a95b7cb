"""Linear probes of dense features on stand-ins with one label per pixel."""

import itertools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.studies.standins.pixelwise import PixelFit, PixelMoments
from benchmarks.studies.standins.score import StandinScore, from_counts, score_maps
from geofm_eval.backbones.controls import RandomConvolutions
from geofm_eval.backbones.series import encode
from geofm_eval.data.inspection import labelled
from geofm_eval.data.split import Split
from geofm_eval.stats.confusion_counts import confusion
from geofm_eval.workspace import Workspace

Features = NDArray[np.float32]
"""(height, width, D) float32."""

PENALTIES = tuple(float(c) for c in np.logspace(1, -6, 8))
BALANCES = (0.0, 0.5, 1.0)


def measure_dense(workspace: Workspace, model: str, task: str) -> StandinScore:
    """Score the dense linear probe of a model; tap, penalty and class balance are chosen on validation.

    Args:
        workspace: workspace with the default recipe.
        model: ``band_stats`` uses the bands of each pixel on all dates, ``rcf`` random filters around it, every other
            backbone its tokens resized to pixels; the last two are averaged over dates.
        task: a stand-in with one label per pixel.
    """
    splits = workspace.splits(task)
    sources = _sources(workspace, model, task, splits["train"])
    found = [(*_choose(splits, features), features) for features in sources]
    _, fit, index, features = max(found, key=lambda entry: entry[0])
    return score_maps(splits["test"], lambda item: _predict(fit, features(splits["test"], item), index, splits["test"]))


def _sources(workspace: Workspace, model: str, task: str, train: Split) -> list[Callable[[Split, int], Features]]:
    if model == "band_stats":
        mean = np.nanmean(np.stack([_mean(train, i) for i in range(len(train))]), axis=0)
        return [lambda split, item: stacked(split, item, mean)]
    backbone = workspace.backbone(model, task).backbone
    adapter = workspace.adapter(model, task)

    def responses(split: Split, item: int) -> Features:
        batch = adapter([split.read(item)])
        pixels = batch.one_by_one().pixels if batch.series else batch.pixels
        weights: torch.Tensor = backbone.get_buffer("weights")
        with torch.inference_mode():
            # Edge pixels are repeated, so that there is one response per pixel, also for even kernel sizes.
            margin = weights.shape[-1] // 2
            wide = functional.pad(pixels, (margin,) * 4, mode="replicate")
            answer = functional.conv2d(wide, weights)
            both = torch.cat([answer.clamp_min(0), -answer.clamp_max(0)], dim=1).mean(0)
        return np.ascontiguousarray(both.permute(1, 2, 0).numpy())

    if isinstance(backbone, RandomConvolutions):
        return [responses]
    taps = workspace.catalog.model(model).taps

    def tokens(tap: str) -> Callable[[Split, int], Features]:
        def features(split: Split, item: int) -> Features:
            image = split.read(item)
            batch = adapter([image])
            with torch.inference_mode():
                encoded = encode(backbone, batch, adapter.native)
                height, width = encoded.layout.grid
                patches = encoded.tokens[tap][:, encoded.layout.prefix :]
                grid = patches.reshape(len(patches), -1, height, width, patches.shape[-1]).mean(dim=(0, 1))
                sized = functional.interpolate(grid.permute(2, 0, 1)[None], image.pixels.shape[-2:], mode="bilinear")
            return np.ascontiguousarray(sized[0].permute(1, 2, 0).numpy())

        return features

    return [tokens(tap) for tap in (taps[1], taps[len(taps) // 2], taps[-1])]


def stacked(split: Split, item: int, fill: NDArray[np.float32]) -> Features:
    """Stack all dates of a sample as channels, (height, width, T * C); gaps get ``fill``, (T * C,)."""
    pixels = split.read(item).pixels
    flat = pixels.reshape(-1, *pixels.shape[-2:])
    return np.moveaxis(np.where(np.isfinite(flat), flat, fill[:, None, None]), 0, -1).astype(np.float32)


def _mean(split: Split, item: int) -> NDArray[np.float32]:
    pixels = split.read(item).pixels
    flat = pixels.reshape(-1, pixels.shape[-2] * pixels.shape[-1])
    known = np.isfinite(flat)
    sums = np.where(known, flat, 0).sum(1)
    mean = np.full(len(flat), np.nan, np.float32)
    return np.asarray(np.divide(sums, known.sum(1), out=mean, where=known.any(1)))


def _choose(splits: dict[str, Split], features: Callable[[Split, int], Features]) -> tuple[float, PixelFit, int]:
    """Fit on train and choose on validation; return the score (higher is better), the fit and the penalty's index."""
    train, val = splits["train"], splits["val"]
    classes = len(train.task.classes)
    moments = None
    for item in range(len(train)):
        target = train.read_target(item)
        chosen, own = labelled(target, train.task), features(train, item)
        moments = moments or PixelMoments(own.shape[-1], classes)
        moments.add(own[chosen], target[chosen])
    assert moments is not None
    fits = [moments.fit(balance, PENALTIES) for balance in (BALANCES if classes else (0.0,))]
    known = [features(val, item) for item in range(len(val))]
    best: tuple[float, PixelFit, int] | None = None
    for fit, index in itertools.product(fits, range(len(PENALTIES))):
        maps = [_predict(fit, each, index, val) for each in known]
        score = _quick(val, maps)
        if best is None or score > best[0]:
            best = (score, fit, index)
    assert best is not None
    return best


def _quick(split: Split, maps: list[NDArray[np.generic]]) -> float:
    targets = [split.read_target(item) for item in range(len(split))]
    if split.task.kind == "dense_regression":
        known = [np.isfinite(target) for target in targets]
        errors = [np.square(m[k] - t[k]) for m, t, k in zip(maps, targets, known, strict=True)]
        return -float(np.concatenate(errors).mean())
    classes, ignore = len(split.task.classes), split.task.ignore
    total = sum(confusion(t, m, classes, ignore) for t, m in zip(targets, maps, strict=True))
    return from_counts(np.asarray(total), split.task.metric)


def _predict(fit: PixelFit, features: Features, index: int, split: Split) -> NDArray[np.generic]:
    values = fit.predict(features.reshape(-1, features.shape[-1]), index).reshape(*features.shape[:2], -1)
    return values.argmax(-1) if split.task.classes else values[..., 0]
