"""The input contract: from an image as a task stores it to the tensor that a model was trained on.

Bands are selected and put in order by name, gaps are filled in the task's physical unit, values are normalised exactly
once, images are resized, and an ``InputReport`` says what was done.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from geofm_eval.catalog import ModelSpec, Normalisation, Recipe, TaskSpec
from geofm_eval.catalog.bands import SENTINEL1, canonical, units_of
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import ContractError, DataError


@dataclass(frozen=True)
class ModelInput:
    """A batch as a backbone takes it.

    Args:
        pixels: (B, C, H, W) float32, channels in the model's order, normalised and resized; (B, T, C, H, W) for series
            of T dates.
        valid: (B, H, W) bool at the same size, or (B, T, H, W); False where the data have no value.
        present: one flag per channel; False for a band that is not read from the task (filled, or to be masked).
        dates: dates of every item, (B, T); None for images without a date.
    """

    pixels: Tensor
    valid: Tensor
    present: tuple[bool, ...]
    dates: tuple[tuple[date, ...], ...] | None = None

    def to(self, device: torch.device | str) -> "ModelInput":
        """Copy of the batch on another device."""
        return dataclasses.replace(self, pixels=self.pixels.to(device), valid=self.valid.to(device))

    @property
    def series(self) -> bool:
        """True when items are series of dates."""
        return self.pixels.ndim == 5

    def one_by_one(self) -> "ModelInput":
        """The images of a batch of series as a batch of single images (B * T), date after date of one item."""
        dates = None if self.dates is None else tuple((day,) for days in self.dates for day in days)
        return ModelInput(self.pixels.flatten(0, 1), self.valid.flatten(0, 1), self.present, dates)


@dataclass(frozen=True)
class InputReport:
    """What a model expects, what it really gets, and everything done in between.

    Args:
        expected_bands: the model's bands in the model's order.
        real_bands: those of them that the task has.
        filled_bands: absent bands that are filled with ``fill_values``.
        masked_bands: absent bands whose tokens the model never sees.
        product_expected: processing level that the model was trained on, of the sensors that it reads here: ``L2A``,
            ``GRD`` or ``L2A + GRD``.
        product_found: processing level of the task's data, of the same sensors.
        product_mismatch: True when the two differ and the model is not indifferent.
        temporal: ``single`` image, or what became of a series: ``native`` (all dates at once) or ``per_date``.
        dates: dates per item of a series; None for single images.
        unit: physical units of the bands read, after ``value * scale + offset``, such as ``DN`` or ``DN, dB``.
        gsd: ground sampling distance of the task's pixels in metres.
        normalisation: the one applied: the model's own as in the catalog, or the data set's where the recipe says so.
        fill: rule of the recipe for absent bands and invalid pixels.
        fill_values: value per channel that the rule gives, in ``unit``, before normalisation. Where the normalisation
            is per image, channels take 0.5 instead, which an image's own mean maps to.
        fill_source: where the values come from.
        size: (height, width) that the model gets; None when it takes the data's own.
        resize: how ``size`` is reached.
    """

    expected_bands: tuple[str, ...]
    real_bands: tuple[str, ...]
    filled_bands: tuple[str, ...]
    masked_bands: tuple[str, ...]
    product_expected: str
    product_found: str
    product_mismatch: bool
    temporal: str
    dates: int | None
    unit: str
    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...]
    gsd: float
    normalisation: dict[str, Any]
    fill: str
    fill_values: tuple[float, ...]
    fill_source: str
    size: tuple[int, int] | None
    resize: str

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, for records and cache keys."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


class InputAdapter:
    """Turns images of one task into batches for one model under one recipe.

    ``InputAdapter(galileo, eurosat_rgb, probing)([split.read(0)])`` gives pixels (1, 12, 64, 64): B02, B03, B04 put in
    order from the file's B04, B03, B02, and the nine bands that an RGB task lacks filled and flagged in ``present``.

    Raises:
        ContractError: a band that the task lacks and the model may not do without, no band in common, or a recipe that
            needs statistics which the task lacks.
    """

    def __init__(self, model: ModelSpec, task: TaskSpec, recipe: Recipe) -> None:
        self.model = model
        self.task = task
        self.recipe = recipe
        source = tuple(canonical(name) for name in task.bands)
        self.bands = source if model.bands == ("*",) else tuple(canonical(name) for name in model.bands)
        read = tuple(canonical(name) for name in model.reads) or self.bands
        self.present = tuple(band in source and band in read for band in self.bands)
        _check_bands(self, source)
        self._channels = [
            source.index(band) if present else None for band, present in zip(self.bands, self.present, strict=True)
        ]
        self.source = source
        self.native = task.dates is not None and model.temporal and recipe.temporal == "native"
        rule, count = _effective_rule(model, task, recipe, self._channels), len(self.bands)
        self._rule = rule
        self._low, self._high = _per_band(rule.low, count), _per_band(rule.high, count)
        self._mean, self._std = _per_band(rule.mean, count), _per_band(rule.std, count)
        if np.any(self._high == self._low) or np.any(self._std == 0):
            raise ContractError(f"{model.slug}: normalisation divides by zero: high must differ from low, std from 0")
        self._fill = self._fill_values()
        self.report = self._report()

    def __call__(self, images: Sequence[RawImage]) -> ModelInput:
        """Prepare a batch.

        Args:
            images: images or series of the task; one size unless the model has an ``image_size``.

        Raises:
            DataError: an image with another band count than the task, images of several sizes for a model that takes
                the data's own size, series of several lengths, or a value that is not finite at a valid pixel.
        """
        sizes = {image.pixels.shape[-2:] for image in images}
        lengths = {len(image.dates) for image in images}
        if len(lengths) > 1:
            raise DataError(f"{self.task.slug}: series of {sorted(lengths)} dates in one batch, expected one length")
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
        if self.task.dates is None:
            return ModelInput(pixels, valid, self.present, dates)
        pixels, valid = (tensor.reshape(len(images), -1, *tensor.shape[1:]) for tensor in (pixels, valid))
        return ModelInput(pixels, valid, self.present, dates)

    def _prepare(self, images: Sequence[RawImage]) -> tuple[Tensor, Tensor]:
        """Select, fill, normalise and resize images of one size; the dates of series one after another."""
        for image in images:
            if image.pixels.shape[-3] != len(self.task.bands):
                raise DataError(
                    f"{self.task.slug}: image has {image.pixels.shape[-3]} bands, expected {len(self.task.bands)} "
                    f"({', '.join(self.task.bands)})"
                )
        single = [each for image in images for each in image.single_images()]
        valid = np.stack([image.valid for image in single])
        pixels = torch.from_numpy(self._normalise(self._select(single, valid), valid))
        return _resize(pixels, torch.from_numpy(valid), self.model.image_size)

    def _select(self, images: Sequence[RawImage], valid: np.ndarray) -> np.ndarray:
        """Bands by name in the model's order, gaps filled in the task's unit: (B, C, H, W) float32."""
        selected = np.empty((len(images), len(self.bands), *valid.shape[1:]), np.float32)
        for channel, source in enumerate(self._channels):
            if source is None:
                selected[:, channel] = self._fill[channel]
                continue
            for item, image in enumerate(images):
                selected[item, channel] = np.where(image.valid, image.pixels[source], self._fill[channel])
        if not np.isfinite(selected).all():
            raise DataError(
                f"{self.task.slug}: values that are not finite at pixels declared valid: "
                "the reader must mark them invalid (check nodata and scale in the task entry)"
            )
        return selected

    def _normalise(self, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Normalise pixels (B, C, H, W) by the rule in force; in place where it can: they are ours."""
        if self._rule.kind == "none":
            return pixels
        if self._rule.kind == "image_clip":
            return _stretch(pixels, valid)
        pixels -= self._low[:, None, None]
        pixels /= (self._high - self._low)[:, None, None]
        if self._rule.clip:
            np.clip(pixels, 0.0, 1.0, out=pixels)
        pixels -= self._mean[:, None, None]
        pixels /= self._std[:, None, None]
        return pixels

    def _fill_values(self) -> np.ndarray:
        """Fill per channel in the task's unit.

        A model without ``fill_means`` fills invalid pixels alone: with what its rule maps to zero after the mean.
        """
        if self._fills_from_corpus:
            assert self.model.fill_means is not None
            return np.asarray(self.model.fill_means.mean, np.float32)
        if self._rule.kind != "affine":
            return np.zeros(len(self.bands), np.float32)
        declared: np.ndarray = self._low + self._mean * (self._high - self._low)
        return declared

    @property
    def _fills_from_corpus(self) -> bool:
        return self.recipe.normalisation == "native" and self.model.fill_means is not None

    @property
    def _fill_source(self) -> str:
        if self._fills_from_corpus:
            assert self.model.fill_means is not None
            return f"pretraining corpus: {self.model.fill_means.source}"
        return "the mean of the normalisation" if self._rule.kind == "affine" else "none"

    def _report(self) -> InputReport:
        absent = tuple(band for band, present in zip(self.bands, self.present, strict=True) if not present)
        masked, products = self.model.missing == "mask", self._products()
        side = self.model.image_size
        return InputReport(
            expected_bands=self.bands,
            real_bands=tuple(band for band in self.bands if band not in absent),
            filled_bands=() if masked else absent,
            masked_bands=absent if masked else (),
            product_expected=" + ".join(expected for expected, _ in products) or self.model.product,
            product_found=" + ".join(found for _, found in products) or self.task.product,
            product_mismatch=any("any" not in pair and pair[0] != pair[1] for pair in products),
            temporal=self._temporal,
            dates=self.task.dates,
            unit=units_of(band for band, read in zip(self.bands, self.present, strict=True) if read),
            scale=self.task.scale,
            offset=self.task.offset,
            gsd=self.task.gsd,
            normalisation=self._rule.model_dump(mode="json"),
            fill=self.recipe.fill,
            fill_values=tuple(float(value) for value in self._fill),
            fill_source=self._fill_source,
            size=None if side is None else (side, side),
            resize="none" if side is None else "bilinear, antialiased when shrinking",
        )

    def _products(self) -> list[tuple[str, str]]:
        """Product expected and found, of optical bands and of radar, where the model reads any of them here."""
        read = [band for band, present in zip(self.bands, self.present, strict=True) if present]
        radar = [band in SENTINEL1 for band in read]
        pairs: list[tuple[str, str]] = [] if all(radar) else [(self.model.product, self.task.product)]
        expected, found = self.model.radar_product, self.task.radar_product
        if any(radar) and expected is not None and found is not None:
            pairs.append((expected, found))
        return pairs

    @property
    def _temporal(self) -> str:
        if self.task.dates is None:
            return "single"
        return "native" if self.native else "per_date"


def _check_bands(adapter: InputAdapter, source: tuple[str, ...]) -> None:
    model, task = adapter.model, adapter.task
    absent = [band for band, present in zip(adapter.bands, adapter.present, strict=True) if not present]
    if len(absent) == len(adapter.bands):
        raise ContractError(
            f"{model.slug} and {task.slug} have no band in common: the model takes {', '.join(adapter.bands)}, "
            f"the task has {', '.join(source)}"
        )
    if absent and model.missing == "refuse":
        raise ContractError(
            f"{task.slug} lacks {', '.join(absent)}, which {model.slug} needs: choose a task that has them, or set "
            "missing = 'fill' in the model's entry (the fill is then in every record and table)"
        )


def _effective_rule(model: ModelSpec, task: TaskSpec, recipe: Recipe, channels: Sequence[int | None]) -> Normalisation:
    """The model's own normalisation, or the z-score of the task's statistics where the recipe asks for it.

    Args:
        model: entry of the model; a control that takes the task's unit (``kind = "none"``) keeps it.
        task: entry of the task.
        recipe: the recipe in force.
        channels: index of the task's band for each of the model's channels; None where the task lacks it. There zero
            stands for the unknown mean, which is zero after the z-score as well.
    """
    if recipe.normalisation == "native":
        return model.normalisation
    statistics = task.statistics
    if statistics is None:
        raise ContractError(
            f"recipe {recipe.slug} normalises by the data set and {task.slug} has no statistics: give mean, std and "
            "source per band under statistics in the task's entry, or use a recipe with normalisation = 'native'"
        )
    if model.normalisation.kind == "none":
        return model.normalisation
    return Normalisation(
        mean=tuple(0.0 if channel is None else statistics.mean[channel] for channel in channels),
        std=tuple(1.0 if channel is None else statistics.std[channel] for channel in channels),
        source=f"data set: {statistics.source}",
    )


def _stretch(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Scale each band of each image so that its mean - 2 sd becomes 0 and mean + 2 sd becomes 1, clipped to 0..1.

    A constant band, such as an absent one, is at its mean and becomes 0.5 (there is no spread to divide by); invalid
    pixels become 0.5 too.

    Args:
        pixels: (B, C, H, W) float32 in the task's unit.
        valid: (B, H, W) bool; statistics are over these pixels only.
    """
    seen = valid[:, None]
    count = np.maximum(seen.sum(axis=(2, 3), keepdims=True), 1)
    mean = np.sum(pixels, axis=(2, 3), keepdims=True, where=seen, dtype=np.float64) / count
    variance = np.sum((pixels - mean) ** 2, axis=(2, 3), keepdims=True, where=seen) / count
    spread = 4 * np.sqrt(variance)
    constant = spread <= 1e-6 * np.abs(mean)
    scaled = np.clip((pixels - mean) / np.where(constant, np.inf, spread) + 0.5, 0.0, 1.0)
    return np.where(seen, scaled, 0.5).astype(np.float32)


def _per_band(value: float | tuple[float, ...], count: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.float32), (count,)).copy()


def _resize(pixels: Tensor, valid: Tensor, side: int | None) -> tuple[Tensor, Tensor]:
    """Resize pixels (B, C, H, W) bilinearly and valid (B, H, W) to the nearest pixel; ``side`` None keeps the size."""
    if side is None or pixels.shape[-2:] == (side, side):
        return pixels, valid
    resized = functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False, antialias=True)
    nearest = functional.interpolate(valid[:, None].float(), (side, side), mode="nearest-exact")
    return resized, nearest[:, 0] > 0
