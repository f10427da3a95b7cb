"""Report on the input of a model: what it expects, what the task provides, and what was done in between."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from geofm_eval.catalog import ModelSpec, Recipe, TaskSpec
from geofm_eval.catalog.bands import SENTINEL1, units_of
from geofm_eval.data.channels import Channels


@dataclass(frozen=True)
class InputReport:
    """Input that a model expects, input that it gets, and all steps in between.

    Args:
        expected_bands: the model's bands in its order.
        real_bands: those of them that the task has.
        filled_bands: missing bands that are filled with ``fill_values``.
        masked_bands: missing bands whose tokens the model never sees.
        product_expected: processing level that the model was trained on, for the sensors that it reads here: ``L2A``,
            ``GRD`` or ``L2A + GRD``.
        product_found: processing level of the task's data, for the same sensors.
        product_mismatch: True if the two differ and the model does not accept any.
        temporal: ``single`` image, or treatment of a series: ``native`` (all dates at once) or ``per_date``.
        dates: dates per sample of a series; None for single images.
        unit: units of the bands read, after ``value * scale + offset``, for example ``DN`` or ``DN, dB``.
        gsd: ground sampling distance of the task's pixels in metres.
        normalisation: the model's own, or the data set's if the recipe says so.
        fill: the recipe's rule for missing bands and invalid pixels.
        fill_values: value per channel in ``unit``, before normalisation; ignored if normalisation is per image, which
            fills with 0.5.
        size: (height, width) of the input; None if the model takes the data's own size.
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
        """Return plain lists, numbers and strings, for records and cache keys."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def report_of(model: ModelSpec, task: TaskSpec, recipe: Recipe, channels: Channels) -> InputReport:
    """Report how a task's images are turned into a model's input."""
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
        temporal="single"
        if task.dates is None or model.precomputed
        else "native"
        if takes_series(model, task, recipe)
        else "per_date",
        dates=None if model.precomputed else task.dates,
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
    """Expected and found product of the optical bands and of the radar bands that the model reads here."""
    radar = [band in SENTINEL1 for band in read]
    pairs: list[tuple[str, str]] = [] if all(radar) else [(model.product, task.product)]
    expected, found = model.radar_product, task.radar_product
    if any(radar) and expected is not None and found is not None:
        pairs.append((expected, found))
    return pairs
