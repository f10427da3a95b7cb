"""The input contract: from an image as a task stores it to the tensor that a model was trained on.

Bands are selected and ordered by name, gaps are filled in the task's physical unit, values are normalised exactly once,
and images are resized. An ``InputReport`` describes these steps.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.catalog import ModelSpec, Recipe, TaskSpec
from geofm_eval.data.channels import channels_of
from geofm_eval.data.input_report import report_of, takes_series
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import DataError
from geofm_eval.plurals import counted


@dataclass(frozen=True)
class ModelInput:
    """A batch of input for a backbone.

    Args:
        pixels: (B, C, H, W) float32, channels in the model's order, normalised and resized; (B, T, C, H, W) for series
            of T dates.
        valid: (B, H, W) bool, or (B, T, H, W); False where the data have no value.
        present: one flag per channel; False for a band that is not read from the task (filled, or to be masked).
        dates: (B, T) dates of every sample; None for images without a date.
    """

    pixels: Tensor
    valid: Tensor
    present: tuple[bool, ...]
    dates: tuple[tuple[date, ...], ...] | None = None

    def to(self, device: torch.device | str) -> "ModelInput":
        """Copy the batch to another device."""
        return dataclasses.replace(self, pixels=self.pixels.to(device), valid=self.valid.to(device))

    @property
    def series(self) -> bool:
        """True if samples are series of dates."""
        return self.pixels.ndim == 5

    def one_by_one(self) -> "ModelInput":
        """Turn a batch of series into a batch of B * T single images, in the order of samples, then dates."""
        dates = None if self.dates is None else tuple((day,) for days in self.dates for day in days)
        return ModelInput(self.pixels.flatten(0, 1), self.valid.flatten(0, 1), self.present, dates)


class InputAdapter:
    """Turns images of one task into batches for one model under one recipe.

    ``InputAdapter(galileo, eurosat_rgb, probing)([split.read(0)])`` gives pixels (1, 12, 64, 64): B02, B03, B04,
    reordered from the file's B04, B03, B02, and nine filled bands that an RGB task lacks, flagged in ``present``.

    Raises:
        ContractError: see :func:`geofm_eval.data.channels.channels_of`.
    """

    def __init__(self, model: ModelSpec, task: TaskSpec, recipe: Recipe) -> None:
        self.model = model
        self.task = task
        self.recipe = recipe
        self._channels = channels_of(model, task, recipe)
        self.bands, self.source, self.present = self._channels.bands, self._channels.source, self._channels.present
        self.native = takes_series(model, task, recipe)
        self.report = report_of(model, task, recipe, self._channels)

    def __call__(self, images: Sequence[RawImage]) -> ModelInput:
        """Prepare a batch.

        Args:
            images: images or series of the task; of one size unless the model has an ``image_size``.

        Raises:
            DataError: an image has another number of bands than the task, images differ in size although the model
                takes the data's own size, series differ in length, or a valid pixel is not finite.
        """
        sizes = {image.pixels.shape[-2:] for image in images}
        lengths = {len(image.dates) for image in images}
        if len(lengths) > 1:
            raise DataError(
                f"{self.task.slug}: series of {sorted(lengths)} dates in one batch, expected one length. Set dates in "
                "the task's catalog entry"
            )
        if len(sizes) == 1:
            pixels, valid = self._prepare(images)
        elif self.model.image_size is None:
            raise DataError(
                f"{self.task.slug}: images of several sizes in one batch ({sorted(sizes)}) for {self.model.slug}, "
                "which takes the data's own size: set image_size for the model, or use one image per batch"
            )
        else:
            parts = [self._prepare([image]) for image in images]
            pixels, valid = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        dates = tuple(image.dates for image in images) if images[0].dates else None
        if self.task.dates is not None:
            pixels, valid = (tensor.reshape(len(images), -1, *tensor.shape[1:]) for tensor in (pixels, valid))
        return ModelInput(pixels, valid, self.present, dates)

    def _prepare(self, images: Sequence[RawImage]) -> tuple[Tensor, Tensor]:
        """Select, fill, normalise and resize images of one size; series become consecutive single images."""
        for image in images:
            if image.pixels.shape[-3] != len(self.task.bands):
                raise DataError(
                    f"{self.task.slug}: image has {counted(image.pixels.shape[-3], 'band')}, expected "
                    f"{len(self.task.bands)} ({', '.join(self.task.bands)}). Give the bands of the task"
                )
        single = [each for image in images for each in image.single_images()]
        valid = np.stack([image.valid for image in single])
        pixels = torch.from_numpy(self._channels.normalised(self._select(single, valid), valid))
        return _resize(pixels, torch.from_numpy(valid), self.model.image_size)

    def _select(self, images: Sequence[RawImage], valid: np.ndarray) -> np.ndarray:
        """Select bands in the model's order and fill gaps in the task's unit: (B, C, H, W) float32."""
        selected = np.empty((len(images), len(self.bands), *valid.shape[1:]), np.float32)
        for channel, source in enumerate(self._channels.indices):
            fill = self._channels.fill[channel]
            for item, image in enumerate(images):
                selected[item, channel] = fill if source is None else np.where(image.valid, image.pixels[source], fill)
        if not np.isfinite(selected).all():
            raise DataError(
                f"{self.task.slug}: values that are not finite at pixels declared valid: "
                "the reader must mark them invalid (check nodata and scale in the task entry)"
            )
        return selected


def _resize(pixels: Tensor, valid: Tensor, side: int | None) -> tuple[Tensor, Tensor]:
    """Resize pixels (B, C, H, W) bilinearly and valid (B, H, W) to the nearest pixel; ``side`` None keeps the size."""
    if side is None or pixels.shape[-2:] == (side, side):
        return pixels, valid
    resized = functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False, antialias=True)
    nearest = functional.interpolate(valid[:, None].float(), (side, side), mode="nearest-exact")
    return resized, nearest[:, 0] > 0
