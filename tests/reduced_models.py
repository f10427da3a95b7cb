"""Every model of the catalog with random weights and reduced depth, width and size, shared by the contract's tests."""

from functools import cache

import numpy as np
import pytest

from geofm_eval.backbones import Backbone, load_backbone
from geofm_eval.catalog import ModelSpec, TaskSpec, load_catalog
from geofm_eval.catalog.bands import SENTINEL1, SENTINEL2
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import Unavailable

CATALOG = load_catalog()
SIDE = 16
PATCH = {"dinov2_vitb14_random": 14, "softcon_vits14_random": 14, "softcon_vits14": 14, "pocket_random": 8, "croma": 8}
"""Pixels per patch where they are not 16; images are made two patches wide."""

OPTIONS = {
    "timm_vit": {"num_heads": 2},
    "dofa": {"num_heads": 2},
    "prithvi": {"num_heads": 2},
    "terramind": {"num_heads": 2},
    "galileo": {"patch": 8, "num_heads": 2},
    "croma": {},
}
"""Options that go with a reduced width; other architectures are only made shallow."""


def reduced(slug: str) -> ModelSpec:
    spec = CATALOG.model(slug)
    if spec.depth == 0:
        return spec
    spec = spec.model_copy(update={"weights": None, "random_seed": 0})
    if spec.architecture not in OPTIONS:
        return spec.model_copy(update={"depth": 2})
    patch = PATCH.get(slug.replace("_rgb", "_random"), PATCH.get(spec.architecture, 16))
    options = {key: value for key, value in spec.options.items() if key != "embed_dim"} | OPTIONS[spec.architecture]
    size = 2 * patch if spec.image_size else None
    return spec.model_copy(update={"depth": 2, "width": 32, "options": options, "image_size": size})


def task_of(spec: ModelSpec, order=None, dates=None) -> TaskSpec:
    """A task that has the model's bands in another order than the model wants."""
    names = tuple(SENTINEL2) if spec.bands == ("*",) else spec.bands
    bands = tuple(reversed(names)) if order is None else tuple(names[i] for i in order)
    return TaskSpec(
        slug="task", title="t", reader="none", root="data", bands=bands, product="any", plausible={},
        classes=("a",), dates=dates,
    )  # fmt: skip


@cache
def subject(slug: str) -> tuple[ModelSpec, InputAdapter, Backbone]:
    spec = reduced(slug)
    adapter = InputAdapter(spec, task_of(spec), CATALOG.recipe("probing"))
    try:
        return spec, adapter, load_backbone(spec, adapter).backbone
    except Unavailable as gap:
        pytest.skip(str(gap))


def images(task: TaskSpec, count: int = 3) -> list[RawImage]:
    """Images whose bands are told apart by their name alone, so that another band order gives the same scene."""
    pixels = {}
    for number, name in enumerate([*SENTINEL2, *SENTINEL1]):
        low, high = (-25, -5) if name in SENTINEL1 else (100 + 50 * number, 2500)
        pixels[name] = np.random.default_rng(number).uniform(low, high, (count, SIDE, SIDE)).astype(np.float32)
    valid = np.ones((SIDE, SIDE), bool)
    return [RawImage(np.stack([pixels[name][i] for name in task.bands]), valid) for i in range(count)]


def batch(slug: str, count: int = 3) -> ModelInput:
    _, adapter, _ = subject(slug)
    return adapter(images(adapter.task, count))
