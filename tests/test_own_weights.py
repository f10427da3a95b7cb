"""A user's own architecture that loads its weights by itself: never recorded as random, never given a random twin."""

from pathlib import Path

import pytest
import torch

from geofm_eval.backbones import LoadedBackbone, load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.errors import ContractError

BACKBONE = """
import torch
from torch import nn
from geofm_eval.backbones import Backbone, TokenLayout


class Mean(Backbone):
    def __init__(self, spec, channels):
        super().__init__(spec.taps, spec.width)
        self.stem = nn.Linear(channels, spec.width)

    def layout(self, batch):
        return TokenLayout((1, 1), 0, ("image",))

    def forward(self, batch):
        return {"final": self.stem(batch.pixels.mean((2, 3)))[:, None]}


def drawn(spec, channels):
    return Mean(spec, channels)


def from_pretrained(spec, channels):
    made = Mean(spec, channels)
    made.stem.weight.data = torch.arange(3.0 * spec.width).reshape(spec.width, 3)
    return made
"""

ENTRY = """
[models.mine]
title = "Mine"
family = "{family}"
architecture = "backbone.py:{function}"
depth = 0
width = 8
bands = ["B04", "B03", "B02"]
product = "any"
normalisation = {{ high = 2750.0 }}
{more}
"""


def load(folder: Path, function: str, more: str = "", family: str = "reconstruction") -> LoadedBackbone:
    (folder / "backbone.py").write_text(BACKBONE, encoding="utf-8")
    (folder / "mine.toml").write_text(ENTRY.format(function=function, more=more, family=family), encoding="utf-8")
    catalog = load_catalog([folder / "mine.toml"])
    assert "mine_random" not in catalog.models
    spec = catalog.model("mine")
    return load_backbone(spec, InputAdapter(spec, catalog.task("eurosat_rgb"), catalog.recipe("probing")))


def test_an_architecture_that_loads_its_weights_by_itself_has_neither_weights_nor_seed(tmp_path: Path) -> None:
    loaded = load(tmp_path, "from_pretrained")
    assert loaded.weights_source == "built:backbone.py:from_pretrained"
    assert torch.equal(loaded.backbone.stem.weight[0], torch.arange(3.0))  # type: ignore[union-attr,index]


def test_weights_that_do_not_follow_the_seed_are_never_called_random(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"24 parameters do not depend on it.*Remove random_seed") as error:
        load(tmp_path, "from_pretrained", "random_seed = 0")
    assert len(str(error.value)) <= 400


def test_weights_that_follow_the_seed_are_random(tmp_path: Path) -> None:
    assert load(tmp_path, "drawn", "random_seed = 3").weights_source == "random:seed=3"


def test_a_linked_catalog_finds_the_backbone_beside_the_link_or_its_target(tmp_path: Path) -> None:
    store, links = tmp_path / "store", tmp_path / "links"
    store.mkdir()
    links.mkdir()
    load(store, "from_pretrained")
    (links / "mine.toml").symlink_to(store / "mine.toml")
    assert load_catalog([links / "mine.toml"]).model("mine").architecture.startswith(str(store / "backbone.py"))
    (links / "backbone.py").symlink_to(store / "backbone.py")
    assert load_catalog([links / "mine.toml"]).model("mine").architecture.startswith(str(links / "backbone.py"))
