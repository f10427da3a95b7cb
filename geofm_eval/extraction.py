"""Extract the features of a split: one frozen pass that pools every tap and writes batch by batch."""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import torch
from torch import Tensor

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.backbones.contract import check_frozen, encode_checked
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.data.split import Split
from geofm_eval.errors import ContractError, DataError
from geofm_eval.progress import StartProgress

DTYPE = "float32"


@dataclass(frozen=True)
class Extraction:
    """One pass over a split, written to a folder provided by the store."""

    loaded: LoadedBackbone
    adapter: InputAdapter
    split: Split
    device: torch.device
    batch_size: int
    start_progress: StartProgress

    def write(self, folder: Path) -> dict[str, Any]:
        """Write all arrays and the ids; return the content of ``block.json`` except the checksums."""
        check_frozen(self.loaded)
        spec = self.loaded.spec
        progress = self.start_progress(f"{spec.slug} on {self.split.task.slug}/{self.split.name}", len(self.split))
        statistics = InputStatistics(self.adapter.bands)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        names = [f"{tap}.{pooling}" for tap in spec.taps for pooling in spec.poolings]
        started = time.perf_counter()
        try:
            with torch.inference_mode(), exact_float32(), ArrayFiles(folder, names, len(self.split)) as files:
                for features in self._batches(statistics, checked=True):
                    files.append(features)
                    progress.update(features.shape[1])
        finally:
            progress.done()
        (folder / "ids.json").write_text(json.dumps(self.split.ids), encoding="utf-8")
        meta = {**self._meta(time.perf_counter() - started), **statistics.as_dict()}
        self.split.check_unchanged()
        return {"taps": spec.taps, "poolings": spec.poolings, "meta": meta}

    def pooled(self, *, checked: bool = True) -> dict[str, np.ndarray]:
        """Features of a few samples by tap, (n, D) float32, averaged over patches; nothing is stored.

        Args:
            checked: verify on the first batch that features depend only on their own image; False for a caller that
                measures this dependence.
        """
        check_frozen(self.loaded)
        with torch.inference_mode(), exact_float32():
            whole = np.concatenate(list(self._batches(InputStatistics(self.adapter.bands), checked=checked)), axis=1)
        self.split.check_unchanged()
        spec = self.loaded.spec
        return dict(zip(spec.taps, whole[:: len(spec.poolings)], strict=True))

    def _batches(self, statistics: "InputStatistics", *, checked: bool = False) -> Iterator[np.ndarray]:
        """Yield pooled features (taps x poolings, B, D) batch by batch, in the order of the split.

        Args:
            statistics: accumulates the pixels of every batch.
            checked: verify on the first batch that features depend only on their own image.
        """
        ids = self.split.ids
        for start in range(0, len(ids), self.batch_size):
            indices = range(start, min(start + self.batch_size, len(ids)))
            done = start
            for images in self._of_one_size([self.split.read(index) for index in indices]):
                batch = self.adapter(images).to(self.device)
                statistics.add(batch)
                chosen = ids[done : done + len(images)]
                first = checked and done == 0
                features = pooled_features(self.loaded, batch, chosen, self.adapter.native, first=first)
                yield features.cpu().numpy()
                done += len(images)

    def _of_one_size(self, images: list[RawImage]) -> Iterator[list[RawImage]]:
        """Split images at changes of size for models that take images at their own size."""
        if self.adapter.model.image_size is not None:
            yield images
            return
        for _, run in itertools.groupby(images, key=lambda image: image.pixels.shape[-2:]):
            yield list(run)

    def _meta(self, seconds: float) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        return {
            "items": len(self.split),
            "seconds": seconds,
            "images_per_second": len(self.split) / seconds,
            "batch_size": self.batch_size,
            "device": self.device.type,
            "dtype": DTYPE,
            "peak_memory_bytes": torch.cuda.max_memory_allocated(self.device) if on_gpu else None,
            "model": self.loaded.spec.slug,
            "data": f"{self.split.task.slug}/{self.split.name}",
            "weights_sha256": self.loaded.weights_sha256,
            "items_sha256": self.split.items_sha256,
            "inputs": self.adapter.report.as_dict(),
        }


def pooled_features(
    loaded: LoadedBackbone, batch: ModelInput, ids: Sequence[str], native: bool = False, *, first: bool = False
) -> Tensor:
    """Run the backbone once and pool every tap with each of the model's poolings.

    Args:
        loaded: the frozen backbone.
        batch: images or series.
        ids: ids of the samples, for messages.
        native: True to pass all dates of a series to the backbone at once.
        first: True for the first batch of a new block, see :func:`geofm_eval.backbones.contract.encode_checked`.

    Returns:
        (taps x poolings, B, D) float32 on the batch's device, poolings innermost.

    Raises:
        ContractError: the tokens do not match the model's entry and layout, depend on other images, or are not finite.
        DataError: a sample has no valid patch.
    """
    spec = loaded.spec
    encoded = encode_checked(loaded, batch, native, first=first)
    empty = encoded.empty_items()
    if empty:
        raise DataError(f"sample {ids[empty[0]]} has no valid patch for {spec.slug}; remove it from the split")
    pooled = torch.stack([encoded.pooled(tap, pooling) for tap in spec.taps for pooling in spec.poolings])
    if not bool(pooled.isfinite().all()):
        _refuse_not_finite(spec, pooled, ids)
    return pooled


def features_at(
    loaded: LoadedBackbone, batch: ModelInput, tap: str, pooling: str = "mean", native: bool = False
) -> np.ndarray:
    """Return the pooled features (B, D) float32 of images or series at one tap, as probes read them.

    Args:
        loaded: a whole or truncated backbone.
        batch: input that an adapter made.
        tap: name of the tap.
        pooling: ``mean`` or ``cls``, if the model has it.
        native: True to pass all dates of a series to the backbone at once; ``native`` of the adapter.

    Raises:
        ContractError: the tokens do not match the model's entry and layout.
        DataError: a sample has no valid patch.
    """
    device = next((one.device for one in loaded.backbone.parameters()), torch.device("cpu"))
    with torch.inference_mode(), exact_float32():
        return encode_checked(loaded, batch.to(device), native).pooled(tap, pooling).cpu().numpy()


def _refuse_not_finite(spec: ModelSpec, pooled: Tensor, ids: Sequence[str]) -> NoReturn:
    row, item = (int(where[0]) for where in torch.nonzero(~pooled.isfinite().all(dim=2), as_tuple=True))
    tap, pooling = spec.taps[row // len(spec.poolings)], spec.poolings[row % len(spec.poolings)]
    raise ContractError(
        f"{spec.slug}: features of tap {tap} ({pooling}) are not finite for sample {ids[item]}. "
        "Check the weights, and the input with 'geofm-eval check'"
    )


@contextmanager
def exact_float32() -> Iterator[None]:
    """Disable TF32 on GPUs within the context, so that float32 products are exact; restore the settings afterwards."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


class ArrayFiles:
    """Several ``.npy`` files of (n, D) float32 that grow batch by batch.

    The files are written instead of memory-mapped: on a full disk, a write raises an error that can be explained, while
    a store to a mapped page kills the process.

    Args:
        folder: destination of the files.
        names: file names without ``.npy``.
        n: final number of rows of each file.
    """

    def __init__(self, folder: Path, names: Sequence[str], n: int) -> None:
        self._stack = ExitStack()
        self._files = [self._stack.enter_context((folder / f"{name}.npy").open("wb")) for name in names]
        self._n = n
        self._width: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def append(self, features: np.ndarray) -> None:
        """Append one batch, (files, B, D) float32."""
        if self._width is None:
            self._width = features.shape[2]
            header = {"descr": "<f4", "fortran_order": False, "shape": (self._n, self._width)}
            for file in self._files:
                np.lib.format.write_array_header_1_0(file, header)
        for file, rows in zip(self._files, features, strict=True):
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)


class InputStatistics:
    """Proportion of valid pixels, and mean and standard deviation of every channel over them, as seen by the model.

    Args:
        bands: band of every channel.
    """

    def __init__(self, bands: Sequence[str]) -> None:
        self._bands = bands
        self._pixels = 0
        self._valid = 0
        self._sums = np.zeros((2, len(bands)))

    def add(self, batch: ModelInput) -> None:
        """Add the pixels of one batch, over all dates of a series."""
        if batch.series:
            batch = batch.one_by_one()
        # Both reductions run without a temporary copy of the batch, unless it has invalid pixels.
        whole = bool(batch.valid.all())
        values = batch.pixels if whole else torch.where(batch.valid[:, None], batch.pixels, 0.0)
        self._pixels += batch.valid.numel()
        self._valid += int(batch.valid.sum())
        squares = torch.linalg.vector_norm(values, dim=(0, 2, 3)).double().square()
        self._sums += torch.stack([values.sum(dim=(0, 2, 3)).double(), squares]).cpu().numpy()

    def as_dict(self) -> dict[str, Any]:
        """Return ``valid_share`` and ``channels`` ({band, mean, std} each); needs at least one valid pixel."""
        mean, square = self._sums / self._valid
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        return {
            "valid_share": self._valid / self._pixels,
            "channels": [
                {"band": band, "mean": float(m), "std": float(s)}
                for band, m, s in zip(self._bands, mean, std, strict=True)
            ],
        }
