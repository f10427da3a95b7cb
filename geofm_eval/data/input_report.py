"""What a model expects of its input and what a task gives it, in words and numbers for records."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from geofm_eval.catalog import ModelSpec, Recipe, TaskSpec
from geofm_eval.catalog.bands import SENTINEL1, units_of
from geofm_eval.data.channels import Channels


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


def report_of(model: ModelSpec, task: TaskSpec, recipe: Recipe, channels: Channels) -> InputReport:
    """Say what becomes of a task's images on their way into a model."""
    read, absent, masked = channels.named(True), channels.named(False), model.missing == "mask"
    side, products = model.image_size, _products(model, task, read)
    return InputReport(
        expected_bands=channels.bands,
        real_bands=read,
        filled_bands=() if masked else absent,
        masked_bands=absent if masked else (),
        product_expected=" + ".join(expected for expected, _ in products) or model.product,
        product_found=" + ".join(found for _, found in products) or task.product,
        product_mismatch=any("any" not in pair and pair[0] != pair[1] for pair in products),
        temporal="single" if task.dates is None else "native" if takes_series(model, task, recipe) else "per_date",
        dates=task.dates,
        unit=units_of(read),
        scale=task.scale,
        offset=task.offset,
        gsd=task.gsd,
        normalisation=channels.rule.model_dump(mode="json"),
        fill=recipe.fill,
        fill_values=tuple(float(value) for value in channels.fill),
        fill_source=channels.fill_source,
        size=None if side is None else (side, side),
        resize="none" if side is None else "bilinear, antialiased when shrinking",
    )


def takes_series(model: ModelSpec, task: TaskSpec, recipe: Recipe) -> bool:
    """Return whether a model gets all dates of a series at once."""
    return task.dates is not None and model.temporal and recipe.temporal == "native"


def _products(model: ModelSpec, task: TaskSpec, read: tuple[str, ...]) -> list[tuple[str, str]]:
    """Product expected and found, of optical bands and of radar, where the model reads any of them here."""
    radar = [band in SENTINEL1 for band in read]
    pairs: list[tuple[str, str]] = [] if all(radar) else [(model.product, task.product)]
    expected, found = model.radar_product, task.radar_product
    if any(radar) and expected is not None and found is not None:
        pairs.append((expected, found))
    return pairs
