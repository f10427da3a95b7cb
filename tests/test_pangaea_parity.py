"""Decoders, losses and optimiser steps against PANGAEA's own code (VMarsocci/pangaea-bench at f20f3d3)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from geofm_eval.dense.batches import Batch
from geofm_eval.dense.decoders import UPerNet
from geofm_eval.dense.losses import loss_of
from geofm_eval.dense.model import DenseModel
from geofm_eval.dense.plan import BatchOrder, TrainingPlan
from geofm_eval.dense.recipes import RECIPES
from geofm_eval.dense.temporal import HEADS, Ltae
from geofm_eval.dense.training import train
from tests.small_chips import CATALOG, FLOODS
from tests.small_vit import load, small_vit

WIDTH, CHANNELS, CLASSES, LEVELS = 32, 8, 3, 4

NAMES = {
    "neck.ops.": "pyramid.levels.",
    "neck.ops.1.0.": "pyramid.levels.1.",
    "psp_modules.": "pools.",
    "bottleneck.": "context.",
    "lateral_convs.": "laterals.",
    "fpn_convs.": "smooth.",
    "fpn_bottleneck.": "fuse.",
    "conv_seg.": "classifier.",
}
"""How PANGAEA's module names begin, and what ours are; the longest that fits counts."""

OF_DATES = {
    "attention_heads.Q": "queries",
    "attention_heads.fc1_k.": "keys.",
    "inconv.": "project.",
    "in_norm.": "before.",
    "out_norm.": "after.",
    "mlp.": "mix.",
}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    """What PANGAEA's modules gave.

    Its ``SegMTUPerNet`` (``ltae``, width 32, 8 channels, 3 classes, 3 dates) was built behind an encoder that hands
    over given maps, with SyncBatchNorm replaced by BatchNorm2d, which is the same on one device and runs on a CPU.
    Kept are its state dict; for grids of 4 x 4 and 5 x 7 tokens maps, what its ``LTAE2d`` and what all of it give in
    eval mode, in float64; the losses of 20 steps in float64 (dropout off; AdamW at 1e-3, its ``MultiStepLR``,
    cross-entropy); and values of its ``DICELoss``.
    """
    with np.load(Path(__file__).parent / "golden" / "pangaea_decoders.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    found = {}
    for name, value in state.items():
        begin = max((one for one in names if name.startswith(one)), key=len)
        found[names[begin] + name.removeprefix(begin)] = value
    return found


def with_weights(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """The module with PANGAEA's numbers, every one of them used."""
    state = {name: value.reshape(module.state_dict()[name].shape) for name, value in state.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return module.eval()


def upernet(golden: dict[str, Tensor]) -> nn.Module:
    state = {name.removeprefix("state/"): value for name, value in golden.items() if name.startswith("state/")}
    own = {name: value for name, value in state.items() if not name.startswith("tmap.")}
    return with_weights(UPerNet(WIDTH, CLASSES, CHANNELS), renamed(own, NAMES))


def ltae(golden: dict[str, Tensor]) -> nn.Module:
    state = {name.removeprefix("state/tmap."): v for name, v in golden.items() if name.startswith("state/tmap.")}
    return with_weights(Ltae(WIDTH, HEADS), renamed(state, OF_DATES))


@pytest.mark.parametrize("grid", ["even", "odd"])
def test_ltae_equals_pangaea_s(golden: dict[str, Tensor], grid: str):
    mix = ltae(golden).double()
    for level in range(LEVELS):
        found = mix(golden[f"{grid}/maps"][level].double())
        torch.testing.assert_close(found.float(), golden[f"{grid}/joined"][level], rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", ["even", "odd"])
def test_upernet_equals_pangaea_s(golden: dict[str, Tensor], grid: str):
    network, expected = made(golden).double(), golden[f"{grid}/values"]
    values = network.decode([one.double() for one in golden[f"{grid}/maps"]], tuple(expected.shape[-2:]))
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-5)


def test_ltae_and_upernet_drop_what_pangaea_s_drop(golden: dict[str, Tensor]):
    dropped = sorted((type(one).__name__, one.p) for one in made(golden).modules() if "Dropout" in type(one).__name__)
    assert dropped[-3:] == [("Dropout", 0.1), ("Dropout", 0.2), ("Dropout2d", 0.1)]


def made(golden: dict[str, Tensor]) -> DenseModel:
    """Our network of backbone, mix over dates and decoder with PANGAEA's weights."""
    backbone = load(small_vit(image_size=32)).backbone
    network = DenseModel(backbone, "frozen", ("block02",) * LEVELS, "upernet_w064", CLASSES, dates=3)
    network.mix, network.head.decoder = ltae(golden), upernet(golden)
    return network


class TwoBatches:
    """Samples that are the two batches of the golden file in turn, one per epoch."""

    def __init__(self, golden: dict[str, Tensor]) -> None:
        self.maps, self.targets = golden["steps/maps"].double(), golden["steps/target"].long()

    def __len__(self) -> int:
        return 2

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        number = epoch % 2
        return Batch(self.targets[number], None, tuple(self.maps[number]), ("a", "b"))


def test_twenty_steps_from_equal_weights_have_pangaea_s_losses(golden: dict[str, Tensor], tmp_path: Path):
    """In float64: Adam turns rounding of gradients that are zero into steps of full size."""
    network = made(golden).double()
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    # 20 steps: milestones at .6 and .9 that are no whole steps are rounded down, as PANGAEA's are.
    recipe = replace(RECIPES["pangaea"], epochs=20, validate_every=20, milestones=(0.62, 0.94))
    done = train(network, TwoBatches(golden), FLOODS, TrainingPlan(recipe, 1e-3, 0), lambda *_: 0.0, tmp_path)
    expected = golden["steps/losses"].tolist()
    assert expected[0] - expected[18] > 0.3  # there is something to agree on
    assert done.losses == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("count", "steps"), [(7, 1), (8, 1), (9, 1), (16, 2), (23, 2), (486, 60)])
def test_an_epoch_leaves_out_the_last_short_batch_as_pangaea_s_loader_does(count: int, steps: int):
    """Of fewer chips than a batch PANGAEA trains on none; here they are one batch."""
    assert BatchOrder(count, RECIPES["pangaea"], 0).steps_per_epoch == steps
    if count >= 8:
        assert steps == len(DataLoader(list(range(count)), batch_size=8, drop_last=True))


def test_dice_equals_pangaea_s(golden: dict[str, Tensor]):
    task = CATALOG.task("ai4smallfarms")
    logits, target = golden["dice/logits"], golden["dice/target"].long()
    assert loss_of(task, logits, target).item() == pytest.approx(golden["dice/loss"].item(), abs=1e-6)
    target[2] = -1  # an image without any label takes no part
    assert loss_of(task, logits, target).item() == pytest.approx(golden["dice/loss_without_third"].item(), abs=1e-6)
