"""The input of a model for a task, channel by channel, before anything is computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import ModelSpec, Recipe, TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.data.input_report import InputReport
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import ContractError

NEARLY_CONSTANT = 1e-4
"""Standard deviation after normalisation below which a channel is nearly constant (the cirrus band has 2e-4)."""


@dataclass(frozen=True)
class Channel:
    """One input channel of the model.

    Args:
        band: band name in the model's order.
        status: ``data``, ``filled`` or ``masked``.
        unit: physical unit of the band; empty for unknown bands.
        raw_mean: mean over valid pixels in the task's unit; None if the task lacks the band.
        mean: mean over valid pixels after normalisation.
        sd: standard deviation over valid pixels after normalisation.
        invalid: proportion of pixels without data, before resizing.
    """

    band: str
    status: str
    unit: str
    raw_mean: float | None
    mean: float
    sd: float
    invalid: float


@dataclass(frozen=True)
class Preview:
    """Input of a model for some samples of a task."""

    model: str
    task: str
    items: int
    report: InputReport
    channels: tuple[Channel, ...]
    image: RawImage
    pixels: np.ndarray
    """(C, H, W) of one sample; for a series, of the date of ``image``."""

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user, one sentence each."""
        found = []
        if self.report.product_mismatch:
            found.append(
                f"product mismatch: expected {self.report.product_expected}, found {self.report.product_found}"
            )
        if self.report.filled_bands:
            found.append(f"bands filled because the task lacks them: {', '.join(self.report.filled_bands)}")
        if self.report.masked_bands:
            found.append(f"bands masked because the task lacks them: {', '.join(self.report.masked_bands)}")
        if self.report.temporal != "single":
            how = "all dates at once" if self.report.temporal == "native" else "date by date"
            found.append(f"series of {self.report.dates} dates: the model encodes {how}; the picture shows one date")
        for channel in self.channels:
            if channel.status == "data" and channel.sd < NEARLY_CONSTANT:
                found.append(f"channel {channel.band} is nearly constant after normalisation (sd {channel.sd:.2g})")
            # Controls without normalisation receive the task's own unit.
            normalised = self.report.normalisation["kind"] != "none"
            if channel.status == "data" and normalised and abs(channel.mean) > 10:
                found.append(
                    f"channel {channel.band} has mean {channel.mean:.3g} after normalisation; check unit and scale"
                )
        return found


def preview_input(model: ModelSpec, task: TaskSpec, recipe: Recipe, read: Sequence[RawImage]) -> Preview:
    """Prepare some samples as a model would receive them.

    Args:
        model: catalog entry of the model; its weights are not needed.
        task: catalog entry of the task.
        recipe: recipe with fill, resize and normalisation.
        read: samples of the task.

    Raises:
        DataError: a sample does not match the task's description.
        ContractError: the model cannot read the task.
    """
    if not read:
        raise ContractError(
            f"task '{task.slug}' has no images, so {model.slug} cannot read it: choose a model with architecture = "
            "'table', or add a column with the file of every image"
        )
    adapter = InputAdapter(model, task, recipe)
    # One by one, because chips of a data set may differ in size.
    batches = [adapter([image]) for image in read]
    days = [day for batch in batches for day in _days(batch)]
    images = [single for image in read for single in image.single_images()]
    channels = (_channel(i, adapter, images, days) for i in range(len(adapter.bands)))
    shown = int(np.argmax([image.valid.mean() for image in images[: len(images) // len(read)]]))
    return Preview(
        model=model.slug,
        task=task.slug,
        items=len(read),
        report=adapter.report,
        channels=tuple(channels),
        image=images[shown],
        pixels=days[shown].pixels,
    )


@dataclass(frozen=True)
class _SampleDate:
    """One date of one sample as the model receives it: pixels (C, H, W), valid (H, W)."""

    pixels: np.ndarray
    valid: np.ndarray


def _days(batch: ModelInput) -> list[_SampleDate]:
    single = batch.one_by_one() if batch.series else batch
    return [
        _SampleDate(pixels, valid) for pixels, valid in zip(single.pixels.numpy(), single.valid.numpy(), strict=True)
    ]


def _channel(index: int, adapter: InputAdapter, images: list[RawImage], days: list[_SampleDate]) -> Channel:
    band, report = adapter.bands[index], adapter.report
    status = "filled" if band in report.filled_bands else "masked" if band in report.masked_bands else "data"
    values = np.concatenate([day.pixels[index][day.valid] for day in days])
    raw = None
    if status == "data":
        source = adapter.source.index(band)
        raw = float(np.mean(np.concatenate([image.pixels[source][image.valid] for image in images])))
    invalid = 1.0 - float(np.mean([image.valid.mean() for image in images]))
    return Channel(band, status, unit_of(band) or "", raw, float(values.mean()), float(values.std()), invalid)
