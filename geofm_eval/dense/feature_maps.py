"""Feature maps of a frozen backbone over every window of a split, encoded once and stored for many trainings."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.backbones.contract import encode_checked
from geofm_eval.catalog.dense import FOUR_BLOCKS, block_taps
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import Split
from geofm_eval.dense.maps import feature_map
from geofm_eval.dense.windows import Window, covering, cut, cut_target
from geofm_eval.errors import ContractError
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import StartProgress
from geofm_eval.store import content_hash, publish_directory

MAPS_VERSION = 2
"""Part of every key; increase it with every change of results."""

MANIFEST = "maps.json"
TARGETS = "targets.npy"
WINDOWS = "windows.json"


@dataclass(frozen=True)
class FeatureMapBlock:
    """Feature maps of every window of a split, chip by chip.

    Args:
        path: folder with one file per tap.
        windows: position of the chip, and the window in it.
        shapes: (height, width) of every chip.
        seconds: time of encoding.
    """

    path: Path
    windows: tuple[tuple[int, Window], ...]
    shapes: tuple[tuple[int, int], ...]
    seconds: float

    def maps(self, tap: str) -> NDArray[np.float32]:
        """Return memory-mapped, read-only maps (n, T, D, h, w) float32.

        Raises:
            ContractError: the block has no such tap.
        """
        path = self.path / f"{tap}.npy"
        if not path.exists():
            known = sorted(file.stem for file in self.path.glob("*.npy") if file.name != TARGETS)
            raise ContractError(f"{self.path} has no maps of tap '{tap}'; taps: {', '.join(known)}")
        found: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    @property
    def targets(self) -> NDArray[Any]:
        """Memory-mapped, read-only (n, size, size) targets."""
        found: NDArray[Any] = np.load(self.path / TARGETS, mmap_mode="r", allow_pickle=False)
        return found


@dataclass(frozen=True)
class FeatureMapEncoding:
    """One pass of a frozen backbone over a split, window by window.

    Args:
        split: chips with one label per pixel.
        taps: taps whose maps are stored.
        size: pixels per side of a window.
        device: device of the backbone.
        progress: starts the progress display of the pass.
        batch_size: windows per forward pass.
    """

    loaded: LoadedBackbone
    adapter: InputAdapter
    split: Split
    taps: tuple[str, ...]
    size: int
    device: torch.device
    progress: StartProgress
    batch_size: int = 16

    @property
    def key(self) -> str:
        """Hash of everything that determines the maps: that of pooled features, taps, labels and windows."""
        block = block_key(self.loaded, self.adapter, self.split)
        parts = {"taps": self.taps, "size": self.size, "labels": self.split.labels_sha256, "version": MAPS_VERSION}
        return content_hash({"block": block, **parts})

    def stored(self) -> FeatureMapBlock:
        """Return the maps; encode them first if the cache lacks them.

        Raises:
            GeofmError: a data, contract or store error of the step that failed.
        """
        path = geofm_cache() / "maps" / "v1" / self.key
        content = publish_directory(path, self._write, MANIFEST)
        listed = json.loads((path / WINDOWS).read_text(encoding="utf-8"))
        windows = tuple((item, Window(top, left, self.size)) for item, top, left in listed["windows"])
        shapes = tuple((height, width) for height, width in listed["shapes"])
        return FeatureMapBlock(path, windows, shapes, float(content["seconds"]))

    def _write(self, folder: Path) -> dict[str, Any]:
        shapes = self.split.shapes
        windows = [(item, window) for item, shape in enumerate(shapes) for window in covering(*shape, self.size)]
        name = f"{self.loaded.spec.slug} on {self.split.task.slug}/{self.split.name}, feature maps"
        progress, started = self.progress(name, len(windows)), time.perf_counter()
        files: dict[str, Any] = {}
        with torch.inference_mode(), exact_float32():
            for start in range(0, len(windows), self.batch_size):
                chosen = windows[start : start + self.batch_size]
                rows = slice(start, start + len(chosen))
                for name, values in self._encoded(chosen, first=start == 0).items():
                    if name not in files:
                        shape = (len(windows), *values.shape[1:])
                        files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", values.dtype, shape)
                    files[name][rows] = values
                progress.update(len(chosen))
        for file in files.values():
            file.flush()
        progress.done()
        self.split.check_unchanged()
        listed = {"windows": [(item, window.top, window.left) for item, window in windows], "shapes": shapes}
        (folder / WINDOWS).write_text(json.dumps(listed), encoding="utf-8")
        return {"seconds": time.perf_counter() - started}

    def _encoded(self, chosen: Sequence[tuple[int, Window]], *, first: bool) -> dict[str, NDArray[Any]]:
        task = self.split.task
        read = {item: self.split.read_pair(item) for item in dict.fromkeys(item for item, _ in chosen)}
        images = [cut(read[item][0], window) for item, window in chosen]
        targets = [cut_target(read[item][1], window, task) for item, window in chosen]
        batch = self.adapter(images).to(self.device)
        encoded = encode_checked(self.loaded, batch, self.adapter.native, first=first)
        maps = {tap: feature_map(encoded, tap).cpu().numpy() for tap in self.taps}
        for tap, values in maps.items():
            if not np.isfinite(values).all():
                bad = sorted({self.split.items[chosen[i][0]].id for i in np.argwhere(~np.isfinite(values))[:, 0]})
                raise ContractError(
                    f"{self.loaded.spec.slug}: features of '{tap}' are not finite for {', '.join(bad)[:200]}; check "
                    "the weights, and the input with 'geofm-eval check MODEL TASK'"
                )
        return {**maps, "targets": np.stack(targets)}


def shared_taps(taps: Sequence[str], depth: int) -> tuple[str, ...]:
    """Return the taps to encode for a decoder: if possible all four usual blocks, so that decoders share them."""
    usual = block_taps(FOUR_BLOCKS, depth) if depth >= len(FOUR_BLOCKS) else ()
    asked = tuple(dict.fromkeys(taps))
    return usual if set(asked) <= set(usual) else asked
