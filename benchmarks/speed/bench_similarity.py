"""Time of CKA of all pairs of layers relative to cubic-cost forms, and of submodule drift to forward passes."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from benchmarks.speed.common import anonymous_mib
from geofm_eval.similarity import cka, cka_matrix, procrustes_distance, relative_distance

ITEMS = 2048
LAYERS, WIDTH = 14, 768
BLOCKS, PARTS = 12, 8
WIDE = 3072
NAIVE_PAIRS = 3
"""Number of pairs for which the naive form is timed; all of them would take minutes."""
FASTER, SHARE = 20.0, 0.2


def _layers(count: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw features that change gradually from layer to layer, as in a residual stream."""
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
    """Song's estimator, with the trace of a product of Gram matrices for each of its three terms."""

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
    package = pytest.importorskip("cka_pytorch.hsic", reason="needs cka-pytorch: pip install cka-pytorch")
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
    """Compute all pairs with the package, one row per call, without its epsilon of 1e-4."""
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
    block, _ = _seconds(lambda: [1 - cka(own[name], tuned[name]).debiased for name in own])
    others = (procrustes_distance, relative_distance)
    rest, _ = _seconds(lambda: [measure(own[name], tuned[name]) for name in own for measure in others])
    share, more = BLOCKS * block / passes, BLOCKS * rest / passes
    print(
        f"\n{BLOCKS} x {PARTS} submodules, ViT-B, n = {ITEMS}: CKA {BLOCKS * block:.0f} s, Procrustes and relative "
        f"distance {BLOCKS * rest:.0f} s (one block timed), the two forward passes {passes:.0f} s ({len(images)} "
        f"images timed): proportions {share:.3f} and {more:.3f} (together at most {SHARE})"
    )
    assert share + more <= SHARE


def _peak(count: int, folder: str) -> float:
    """Return the peak memory in MiB of a process that compares two memory-mapped layers of ``count`` samples."""
    torch.set_num_threads(1)
    layers = {}
    for name in ("a", "b"):
        path = Path(folder) / f"{name}{count}.npy"
        values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, WIDTH))
        rng = np.random.default_rng(len(name))
        for start in range(0, count, ITEMS):
            values[start : start + ITEMS] = rng.normal(size=(ITEMS, WIDTH))
        values.flush()
        layers[name] = np.load(path, mmap_mode="r")
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], anonymous_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    cka_matrix(layers, form="features")
    done.set()
    watcher.join()
    return peak[0]


def test_memory_is_flat_in_the_number_of_items(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:  # a fresh process for each measurement
        few, many = (pool.apply(_peak, (count, str(tmp_path))) for count in (16 * ITEMS, 64 * ITEMS))
    print(f"\n2 layers, D = {WIDTH}: {few:.0f} MiB with n = {16 * ITEMS}, {many:.0f} MiB with n = {64 * ITEMS}")
    assert many <= 1.15 * few
