"""Images of odd and mixed sizes through extraction, against one image at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import RawImage
from geofm_eval.extraction import pooled_features
from geofm_eval.feature_blocks import extract
from tests.tiny import TinySplit

TASK = load_catalog().task("eurosat_sim")
SIZES = {
    "odd": [(63, 63)] * 4,
    "not square": [(65, 40)] * 4,
    "mixed": [(64, 64), (63, 63), (63, 63), (40, 65), (64, 64), (17, 90)],
}


@dataclasses.dataclass
class SizedSplit(TinySplit):
    """Noise in images of given sizes, with a gap in each."""

    sizes: tuple[tuple[int, int], ...] = ()

    def read(self, index: int) -> RawImage:
        shape = self.sizes[index]
        pixels = np.random.default_rng(index).uniform(500, 3000, (len(TASK.bands), *shape)).astype(np.float32)
        valid = np.ones(shape, bool)
        valid[: shape[0] // 3, : shape[1] // 4] = False
        return RawImage(np.where(valid, pixels, np.float32(np.nan)), valid)


@pytest.mark.parametrize("model", ["pocket_random", "band_stats", "rcf"])
@pytest.mark.parametrize("kind", SIZES)
def test_images_of_any_size_are_encoded_as_one_by_one(model: str, kind: str):
    split = SizedSplit(n=len(SIZES[kind]), task=TASK, sizes=tuple(SIZES[kind]))
    spec = load_catalog().model(model)
    adapter = InputAdapter(spec, TASK, load_catalog().recipe("probing"))
    loaded = load_backbone(spec, adapter)
    block = extract(loaded, adapter, split, batch_size=3)  # type: ignore[arg-type]
    for index in range(len(split)):
        with torch.inference_mode():
            alone = pooled_features(loaded, adapter([split.read(index)]), [split.ids[index]])
        for tap, expected in zip(spec.taps, alone[:: len(spec.poolings)], strict=True):
            np.testing.assert_allclose(block.features(tap)[index], expected[0].numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", SIZES)
def test_statistics_of_bands_are_those_of_valid_pixels_alone(kind: str):
    split = SizedSplit(n=len(SIZES[kind]), task=TASK, sizes=tuple(SIZES[kind]))
    spec = load_catalog().model("band_stats")
    adapter = InputAdapter(spec, TASK, load_catalog().recipe("probing"))
    block = extract(load_backbone(spec, adapter), adapter, split)  # type: ignore[arg-type]
    for index in range(len(split)):
        image = split.read(index)
        values = image.pixels[:, image.valid]
        expected = np.concatenate([values.mean(1), values.std(1)])
        np.testing.assert_allclose(block.features("final")[index], expected, rtol=1e-4)
