"""A Vision Transformer of timm small enough for every test, and random images for it."""

import torch

from geofm_eval.backbones import LoadedBackbone, load_backbone
from geofm_eval.catalog import ModelSpec, Normalisation, load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput

CATALOG = load_catalog()


def small_vit(**fields) -> ModelSpec:
    options = {"model": "vit_tiny_patch16_224", "patch_size": 8, "num_heads": 2, **fields.pop("options", {})}
    normalisation = Normalisation(high=10_000.0)
    base = {
        "architecture": "timm_vit",
        "normalisation": normalisation,
        "depth": 3,
        "width": 16,
        "image_size": 16,
        "options": options,
        **fields,
    }
    entry = CATALOG.model("pocket_random")
    means = dict(zip(entry.bands, entry.fill_means.mean, strict=True))
    bands = base.get("bands", entry.bands)
    own = None
    if set(bands) <= set(means):
        own = entry.fill_means.model_copy(update={"mean": tuple(means[band] for band in bands)})
    return entry.model_copy(update={"fill_means": own, **base})


def load(spec: ModelSpec, task="eurosat_sim", **arguments) -> LoadedBackbone:
    return load_backbone(spec, InputAdapter(spec, CATALOG.task(task), CATALOG.recipe("probing")), **arguments)


def batch(count=3, channels=13, side=16, seed=0) -> ModelInput:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, channels, side, side, generator=generator)
    return ModelInput(pixels, torch.ones(count, side, side, dtype=torch.bool), (True,) * channels)
