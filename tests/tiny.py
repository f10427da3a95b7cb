"""A backbone and a data set small enough to be checked by hand, shared by the tests of features and pipeline."""

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone, LoadedBackbone, TokenLayout
from geofm_eval.catalog import ModelSpec, Normalisation, Recipe, TaskSpec
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.data.split import RawImage
from geofm_eval.feature_blocks import FeatureBlock, extract

SIDE = 8
GRID = (2, 2)

SPEC = ModelSpec(
    slug="tiny",
    title="Tiny",
    family="control",
    architecture="tiny",
    depth=2,
    width=4,
    prefix=1,
    bands=("B04", "B03"),
    product="any",
    normalisation=Normalisation(high=1000.0),
    random_seed=0,
)
TASK = TaskSpec(
    slug="squares",
    title="Squares",
    reader="none",
    root="data/squares",
    bands=("B03", "B04"),
    product="L1C",
    plausible={"DN": (1.0, 10000.0)},
    classes=("low", "high"),
)
RECIPE = Recipe(slug="probing", title="Probing")


class TinyBackbone(Backbone):
    """Patch means through two linear blocks, behind a class token that is their mean."""

    def __init__(self) -> None:
        super().__init__(SPEC.taps, SPEC.width)
        generator = torch.Generator().manual_seed(0)
        self.stem = nn.Linear(2, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def layout(self, batch: ModelInput) -> TokenLayout:
        return TokenLayout(GRID, prefix=1, groups=("all",))

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        patches = nn.functional.adaptive_avg_pool2d(batch.pixels, GRID).flatten(2).transpose(1, 2)
        tokens = self.stem(patches)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        found = {"embed": tokens}
        for index, block in enumerate(self.blocks):
            tokens = tokens + torch.tanh(block(tokens))
            found[f"block{index:02d}"] = tokens
        return {**found, "final": nn.functional.layer_norm(tokens, (4,))}


@dataclass
class TinySplit:
    """Items drawn from a seed: images of class ``high`` are brighter in B04."""

    name: str = "train"
    n: int = 20
    task: TaskSpec = TASK
    seconds_per_item: float = 0.0
    groups: None = None
    fold_count: int = 0
    reads: list[int] = field(default_factory=list)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{index}" for index in range(self.n))

    @property
    def labels(self) -> np.ndarray:
        return np.arange(self.n) % 2

    @property
    def items_sha256(self) -> str:
        return hashlib.sha256(",".join(self.ids).encode()).hexdigest()

    @property
    def labels_sha256(self) -> str:
        return hashlib.sha256(self.labels.tobytes()).hexdigest()

    def __len__(self) -> int:
        return self.n

    def check_unchanged(self) -> None:
        """They are drawn when they are read."""

    def read(self, index: int) -> RawImage:
        self.reads.append(index)
        time.sleep(self.seconds_per_item)
        seed = int(hashlib.sha256(self.ids[index].encode()).hexdigest()[:8], 16)
        pixels = np.random.default_rng(seed).uniform(100, 1000, (2, SIDE, SIDE)).astype(np.float32)
        pixels[1] += 2000 * self.labels[index]
        return RawImage(pixels, np.ones((SIDE, SIDE), bool))


def tiny_loaded(backbone: Backbone | None = None, spec: ModelSpec = SPEC, sha256: str = "0" * 64) -> LoadedBackbone:
    network = (TinyBackbone() if backbone is None else backbone).eval()
    return LoadedBackbone(network, spec, sha256, "random:seed=0", (), (), 42)


def tiny_block(split: TinySplit, loaded: LoadedBackbone | None = None, batch_size: int | None = None) -> FeatureBlock:
    used = tiny_loaded() if loaded is None else loaded
    adapter = InputAdapter(used.spec, split.task, RECIPE)
    return extract(used, adapter, split, batch_size=batch_size)  # type: ignore[arg-type]
