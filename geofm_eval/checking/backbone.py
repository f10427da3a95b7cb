"""Check of a model: its weights load, and one forward pass keeps the backbone contract."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from geofm_eval.backbones import LoadedBackbone, TokenLayout, load_backbone
from geofm_eval.backbones.series import Encoded, encode
from geofm_eval.catalog import ModelSpec, Recipe, TaskSpec
from geofm_eval.checking.synthetic import synthetic_data
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.extraction import exact_float32, pooled_features

ENCODED = 4
"""Samples of a task that are encoded."""

DATES = 2
"""Dates of the synthetic series that a model which takes time encodes."""


@dataclass(frozen=True)
class BackboneCheck:
    """What a model returned for a few images.

    Args:
        loaded: the model with its weights.
        read: what it encoded, for example ``4 synthetic images, input 13 x 224 x 224``.
        layout: layout of its tokens.
        taps: (tokens, width) by tap.
        repeated: whether a second pass returned the same values bit for bit.
        alike: taps whose features are equal for all images.
    """

    loaded: LoadedBackbone
    read: str
    layout: TokenLayout
    taps: dict[str, tuple[int, int]]
    repeated: bool
    alike: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """Sentences on what was loaded and computed."""
        loaded, grid = self.loaded, self.layout.grid
        allowed = len(loaded.missing_keys), len(loaded.unexpected_keys)
        keys = (
            f"; {allowed[0]} missing and {allowed[1]} unexpected keys, all allowed by the entry" if any(allowed) else ""
        )
        groups = f", token groups {', '.join(self.layout.groups)}" if len(self.layout.groups) > 1 else ""
        same = "equal bit for bit" if self.repeated else "equal up to rounding"
        return [
            f"weights  {loaded.weights_source}, {loaded.parameters / 1e6:.2f} M parameters{keys}",
            f"licence  {loaded.spec.licence or 'not stated'}; commercial use: {loaded.spec.commercial}",
            f"read     {self.read}",
            f"tokens   grid {grid[0]} x {grid[1]}, {self.layout.prefix} prefix tokens{groups}",
            f"repeated two passes are {same}; every image alone gives the same features",
        ]

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user, one sentence each."""
        if not self.alike:
            return []
        names = f"{self.alike[0]} to {self.alike[-1]}" if len(self.alike) > 1 else self.alike[0]
        return [f"features of {names} are equal for all images: check normalisation and weights"]


def check_model(
    model: ModelSpec,
    recipe: Recipe,
    task: TaskSpec | None = None,
    images: Sequence[RawImage] = (),
    weights: Path | None = None,
) -> BackboneCheck:
    """Load a model and encode a few images.

    Args:
        model: catalog entry.
        recipe: recipe of the inputs.
        task: task of the images; None takes synthetic images with the model's own bands.
        images: samples of the task; the first few of one size are encoded.
        weights: file that replaces the entry's own weights.

    Raises:
        Unavailable: weights or a package are missing.
        WeightsError: the weights do not fit; the message names keys and, if one would help, a prefix.
        ContractError: the backbone violates its contract.
        DataError: an image cannot be prepared for the model.
    """
    if task is not None:
        adapter = InputAdapter(model, task, recipe)
        loaded = load_backbone(model, adapter, weights=weights)
        alike = [image for image in images if image.pixels.shape == images[0].pixels.shape]
        return _encoded(loaded, adapter, alike[:ENCODED], f"samples of {task.slug}")
    data = synthetic_data(model)
    adapter = InputAdapter(model, data.task, recipe)
    loaded = load_backbone(model, adapter, weights=weights)
    if model.temporal:
        series = synthetic_data(model, DATES)
        _encoded(loaded, InputAdapter(model, series.task, recipe), series.images, "synthetic series")
    return _encoded(loaded, adapter, data.images, "synthetic images")


def _encoded(loaded: LoadedBackbone, adapter: InputAdapter, images: Sequence[RawImage], what: str) -> BackboneCheck:
    batch = adapter(images)
    names = [f"{what} ({number})" for number in range(1, len(images) + 1)]
    with torch.inference_mode(), exact_float32():
        pooled = pooled_features(loaded, batch, names, adapter.native, first=True)
        first, second = (encode(loaded.backbone, _copy(batch), adapter.native) for _ in range(2))
    poolings = len(loaded.spec.poolings)
    means = dict(zip(loaded.spec.taps, pooled[::poolings], strict=True))
    size = " x ".join(str(number) for number in batch.pixels.shape[1:])
    return BackboneCheck(
        loaded=loaded,
        read=f"{len(images)} {what}, input {size}",
        layout=first.layout,
        taps={tap: (tokens.shape[1], tokens.shape[2]) for tap, tokens in first.tokens.items()},
        repeated=_equal(first, second),
        alike=tuple(tap for tap, rows in means.items() if len(rows) > 1 and bool((rows == rows[:1]).all())),
    )


def _equal(first: Encoded, second: Encoded) -> bool:
    return all(torch.equal(tokens, second.tokens[tap]) for tap, tokens in first.tokens.items())


def _copy(batch: ModelInput) -> ModelInput:
    """A backbone may change its input in place."""
    return ModelInput(batch.pixels.clone(), batch.valid.clone(), batch.present, batch.dates)
