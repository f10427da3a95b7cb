"""CKA of all pairs of layers against forms of cubic cost in one run, and drift of submodules against forward passes."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from geofm_eval.similarity import cka, cka_matrix

ITEMS = 2048
LAYERS, WIDTH = 14, 768
BLOCKS, PARTS = 12, 8
WIDE = 3072
NAIVE_PAIRS = 3
"""Pairs that the naive form is timed on: all of them would take minutes."""
FASTER, SHARE = 20.0, 0.2


def _layers(count: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Features that change from layer to layer, as those of a residual stream do."""
    rng = np.random.default_rng(seed)
    found, values = {}, rng.normal(size=(ITEMS, width))
    for number in range(count):
        values = values + 0.5 * rng.normal(size=(ITEMS, width))
        found[f"block{number:02d}"] = values.astype(np.float32)
    return found


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def _naive(x: np.ndarray, y: np.ndarray) -> float:
    """Song's estimator with a trace of a product of Gram matrices for each of its three terms."""

    def hsic(k: Tensor, m: Tensor) -> Tensor:
        n, ones = len(k), torch.ones(len(k), 1)
        k, m = (gram - torch.diag(torch.diagonal(gram)) for gram in (k, m))
        middle = (ones.T @ k @ ones) * (ones.T @ m @ ones) / ((n - 1) * (n - 2))
        return (torch.trace(k @ m) + middle - 2 / (n - 2) * (ones.T @ k @ m @ ones)) / (n * (n - 3))

    k, m = (values @ values.T for values in (torch.from_numpy(part - part.mean(0)) for part in (x, y)))
    return float(hsic(k, m) / (hsic(k, k) * hsic(m, m)).sqrt())


def test_all_pairs_are_faster_than_pair_by_pair() -> None:
    torch.set_num_threads(1)
    layers = _layers(LAYERS, WIDTH)
    ours, found = _seconds(lambda: cka_matrix(layers))
    names = list(layers)
    compared = [(names[0], names[k]) for k in range(1, NAIVE_PAIRS + 1)]
    naive, values = _seconds(lambda: [_naive(layers[a], layers[b]) for a, b in compared])
    pairs = LAYERS * (LAYERS + 1) / 2
    ratio = naive / NAIVE_PAIRS * pairs / ours
    difference = max(abs(found.pair(a, b).debiased - value) for (a, b), value in zip(compared, values, strict=True))
    print(
        f"\n{LAYERS} layers, n = {ITEMS}, D = {WIDTH}: all {pairs:.0f} pairs in {ours:.1f} s; pair by pair "
        f"{naive / NAIVE_PAIRS:.1f} s each ({NAIVE_PAIRS} timed): {ratio:.0f} times faster (at least {FASTER:.0f}); "
        f"largest difference {difference:.1g}"
    )
    assert difference < 1e-3
    assert ratio >= FASTER


def test_all_pairs_against_a_published_package() -> None:
    package = pytest.importorskip("cka_pytorch.hsic", reason="pip install cka-pytorch compares with it")
    torch.set_num_threads(1)
    layers = _layers(LAYERS, WIDTH)
    ours, found = _seconds(lambda: cka_matrix(layers))
    centred = [torch.from_numpy(values - values.mean(0)) for values in layers.values()]
    theirs, table = _seconds(lambda: _published(package.hsic1, centred))
    difference = float(np.abs(found.debiased - table).max())
    print(
        f"\n{LAYERS} layers, n = {ITEMS}, D = {WIDTH}: {ours:.1f} s, cka-pytorch's estimator on the same centred "
        f"features {theirs:.1f} s: {theirs / ours:.0f} times; largest difference {difference:.1g}"
    )
    assert difference < 1e-3


def _published(hsic: Callable[[Tensor, Tensor], Tensor], layers: list[Tensor]) -> np.ndarray:
    """All pairs as the package computes them, a row of pairs per call; its epsilon of 1e-4 is left out."""
    grams = torch.stack([values @ values.T for values in layers])
    rows = torch.stack([hsic(grams[k : k + 1].expand_as(grams).contiguous(), grams) for k in range(len(grams))])
    own = torch.diagonal(rows)
    return (rows / torch.outer(own, own).sqrt()).numpy()


def test_drift_of_all_submodules_is_cheap_against_the_passes_that_it_needs() -> None:
    torch.set_num_threads(1)
    backbone = timm.create_model("vit_base_patch16_224", num_classes=0).eval()
    with torch.inference_mode():
        images = torch.randn(4, 3, 224, 224)
        backbone(images)
        passing, _ = _seconds(lambda: backbone(images))
    passes = 2 * passing / len(images) * ITEMS
    own = {**_layers(PARTS - 1, WIDTH), **{"fc1": _layers(1, WIDE)["block00"]}}
    tuned = {**_layers(PARTS - 1, WIDTH, 1), **{"fc1": _layers(1, WIDE, 1)["block00"]}}
    block, _ = _seconds(lambda: _drift(own, tuned))
    share = BLOCKS * block / passes
    print(
        f"\n{BLOCKS} x {PARTS} submodules, ViT-B, n = {ITEMS}: similarity {BLOCKS * block:.0f} s (one block timed), "
        f"the two forward passes {passes:.0f} s ({len(images)} images timed): share {share:.3f} (at most {SHARE})"
    )
    assert share <= SHARE


def _drift(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> list[float]:
    return [1 - cka(before[name], after[name]).debiased for name in before]
