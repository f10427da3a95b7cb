"""Decoders: shapes, sizes, which blocks they read, and what they must be able to learn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from geofm_eval.catalog.dense import FOUR_BLOCKS, block_taps, scaled_block
from geofm_eval.dense.decoders import DECODERS, Decoder, UPerNet
from geofm_eval.errors import ContractError


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def head(name: str, width: int = 16, outputs: int = 3) -> Decoder:
    return Decoder(name, width, outputs, DECODERS[name][0])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (1, 1)])
def test_a_head_answers_in_the_size_of_the_image(name, grid):
    maps = [torch.randn(2, 16, *grid) for _ in range(DECODERS[name][0])]
    model = head(name).eval()
    assert model(maps, (40, 24)).shape == (2, 3, 40, 24)


@pytest.mark.parametrize("name", DECODERS)
def test_every_map_that_a_head_reads_matters(name):
    torch.manual_seed(0)
    maps = [torch.randn(2, 16, 4, 4) for _ in range(DECODERS[name][0])]
    model = head(name).eval()
    before = model(maps, (16, 16))
    for level in range(len(maps)):
        changed = [one + 3 * (index == level) * torch.randn_like(one) for index, one in enumerate(maps)]
        assert not torch.allclose(model(changed, (16, 16)), before), f"map {level} does not matter"


def test_sizes_are_those_of_the_study():
    size = {name: parameters(head(name, 768, 20)) for name in DECODERS}
    assert 30e6 < size["upernet"] < 50e6  # 512 channels
    assert -0.93 <= size["single"] / size["upernet"] - 1 <= -0.82  # the study: 82 to 93 % fewer
    assert 2e5 < size["lightms"] < 5e5
    assert size["tokenlinear"] == 769 * 20


def test_a_upernet_pools_at_four_scales():
    pools = [m.output_size for m in UPerNet(8, 2).modules() if isinstance(m, nn.AdaptiveAvgPool2d)]
    assert pools == [1, 2, 3, 6]


def test_blocks_scale_with_depth():
    assert block_taps(FOUR_BLOCKS, 12) == ("block03", "block05", "block07", "block11")
    assert block_taps(FOUR_BLOCKS, 24) == ("block07", "block11", "block15", "block23")
    assert block_taps(FOUR_BLOCKS, 4) == ("block00", "block01", "block02", "block03")


@given(st.integers(0, 11), st.integers(1, 48))
def test_a_scaled_block_exists_and_the_last_stays_the_last(block, depth):
    assert 0 <= scaled_block(block, depth) < depth
    assert scaled_block(11, depth) == depth - 1


@given(st.integers(4, 48))
def test_four_blocks_are_four_in_order_and_end_with_the_last(depth):
    taps = block_taps(FOUR_BLOCKS, depth)
    assert len(set(taps)) == 4
    assert list(taps) == sorted(taps)
    assert taps[-1] == f"block{depth - 1:02d}"


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ContractError, match="choose a decoder that reads fewer blocks"):
        block_taps(FOUR_BLOCKS, 3)
    with pytest.raises(ContractError, match="no blocks: read only its tap 'final'"):
        scaled_block(5, 0)
    with pytest.raises(ContractError, match="found block 12, expected one of 0 to 11"):
        scaled_block(12, 12)
    with pytest.raises(ContractError, match="decoder 'unet' is unknown; known: tokenlinear"):
        Decoder("unet", 8, 2, 1)
    with pytest.raises(ContractError, match="reads 4 feature maps, found 1"):
        Decoder("lightms", 8, 2, 1)
