"""Channels of a model for a task: the band of each channel, its normalisation, and its fill value."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import ModelSpec, Normalisation, Recipe, TaskSpec
from geofm_eval.catalog.bands import canonical
from geofm_eval.catalog.reasons import spelling
from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted, some_of


@dataclass(frozen=True)
class ModelChannels:
    """The channels of a model for one task under one recipe.

    Args:
        bands: the model's bands in its order.
        source: the task's bands in the order of its files.
        indices: position in ``source`` of each of the model's bands; None for a band that is not read from the task.
        rule: the normalisation that is applied.
        low: (C,) float32, like ``high``, ``mean`` and ``std``.
        fill: (C,) float32 in the task's unit, for missing bands and invalid pixels.
        fill_source: source of the fill values.
    """

    bands: tuple[str, ...]
    source: tuple[str, ...]
    indices: tuple[int | None, ...]
    rule: Normalisation
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    fill: np.ndarray
    fill_source: str

    @property
    def present(self) -> tuple[bool, ...]:
        """One flag per band of the model; True if it is read from the task."""
        return tuple(index is not None for index in self.indices)

    def named(self, present: bool) -> tuple[str, ...]:
        """Return the model's bands that are read from the task, or those that are not."""
        return tuple(band for band, flag in zip(self.bands, self.present, strict=True) if flag == present)

    def normalised(self, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Normalise pixels (B, C, H, W); the array may be modified in place."""
        if self.rule.kind == "none":
            return pixels
        if self.rule.kind == "image_clip":
            return _stretch(pixels, valid)
        pixels -= self.low[:, None, None]
        pixels /= (self.high - self.low)[:, None, None]
        if self.rule.clip:
            np.clip(pixels, 0.0, 1.0, out=pixels)
        pixels -= self.mean[:, None, None]
        pixels /= self.std[:, None, None]
        return pixels


def channels_of(model: ModelSpec, task: TaskSpec, recipe: Recipe) -> ModelChannels:
    """Assign a band, a normalisation and a fill value to every channel of a model.

    Raises:
        ContractError: the task lacks a band that the model needs, or has none of its bands; the recipe needs statistics
            that the task lacks; the normalisation divides by zero; or it or ``fill_means`` has another number of bands.
    """
    source = tuple(canonical(name) for name in task.bands)
    bands = source if model.bands == ("*",) else tuple(canonical(name) for name in model.bands)
    wanted = tuple(canonical(name) for name in model.reads) or bands
    indices = tuple(source.index(band) if band in source and band in wanted else None for band in bands)
    _check_bands(model, task, source, bands, indices)
    _check_counts(model)
    rule = _effective_rule(model, task, recipe, indices)
    numbers = (rule.low, rule.high, rule.mean, rule.std)
    low, high, mean, std = (np.broadcast_to(np.asarray(value, np.float32), (len(bands),)).copy() for value in numbers)
    if np.any(high == low) or np.any(std == 0):
        raise ContractError(f"{model.slug}: normalisation divides by zero: high must differ from low, std from 0")
    # Without fill_means only invalid pixels are filled, with the value that the normalisation maps to zero.
    fill, fill_source = np.zeros(len(bands), np.float32), "none"
    if recipe.normalisation == "native" and model.fill_means is not None:
        fill = np.asarray(model.fill_means.mean, np.float32)
        fill_source = f"pretraining corpus: {model.fill_means.source}"
    elif rule.kind == "affine":
        fill, fill_source = low + mean * (high - low), "the mean of the normalisation"
    return ModelChannels(bands, source, indices, rule, low, high, mean, std, fill, fill_source)


def _check_bands(
    model: ModelSpec, task: TaskSpec, source: tuple[str, ...], bands: tuple[str, ...], indices: tuple[int | None, ...]
) -> None:
    absent = [band for band, index in zip(bands, indices, strict=True) if index is None]
    if model.precomputed:
        return
    if len(absent) == len(bands):
        raise ContractError(
            f"{model.slug} and {task.slug} have no band in common: the model takes {some_of(bands)}, "
            f"the task has {', '.join(source)}{spelling(task.bands)}"
        )
    if absent and model.missing == "refuse":
        raise ContractError(
            f"{task.slug} lacks {', '.join(absent)}, which {model.slug} needs{spelling(task.bands)}: choose a task "
            "with them, or set missing = 'fill' in the model's entry (the fill is then in every record and table)"
        )


def _check_counts(model: ModelSpec) -> None:
    """Check that there is one value per band: ``ModelSpec`` checks it when it is made, but not when it is copied."""
    found = {name: getattr(model.normalisation, name) for name in ("low", "high", "mean", "std")}
    numbers = {f"normalisation.{name}": value for name, value in found.items() if isinstance(value, tuple)}
    if model.fill_means is not None:
        numbers["fill_means.mean"] = model.fill_means.mean
    for name, value in numbers.items():
        if len(value) != len(model.bands):
            raise ContractError(
                f"{model.slug}: {name} has {counted(len(value), 'value')}, expected {len(model.bands)}, one per band: "
                "they belong to the bands by position, so change both together"
            )


def _effective_rule(model: ModelSpec, task: TaskSpec, recipe: Recipe, channels: Sequence[int | None]) -> Normalisation:
    """The model's own normalisation, or the z-score of the task's statistics if the recipe asks for it.

    Controls that read the task's unit (``kind = "none"``) keep it. Missing bands get mean 0, so that they are 0 after
    the z-score as well.
    """
    if recipe.normalisation == "native" or model.precomputed:
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
    """Scale each band of each image (B, C, H, W) so that mean - 2 sd becomes 0 and mean + 2 sd becomes 1; clip to 0..1.

    Statistics use valid pixels (B, H, W) only. Constant bands, for example missing ones, and invalid pixels become 0.5.
    """
    seen = valid[:, None]
    count = np.maximum(seen.sum(axis=(2, 3), keepdims=True), 1)
    mean = np.sum(pixels, axis=(2, 3), keepdims=True, where=seen, dtype=np.float64) / count
    variance = np.sum((pixels - mean) ** 2, axis=(2, 3), keepdims=True, where=seen) / count
    spread = 4 * np.sqrt(variance)
    constant = spread <= 1e-6 * np.abs(mean)
    scaled = np.clip((pixels - mean) / np.where(constant, np.inf, spread) + 0.5, 0.0, 1.0)
    return np.where(seen, scaled, 0.5).astype(np.float32)
