"""A backbone must be a function of each image alone: what is not is refused on the first batch of a new block."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.backbones.base import Backbone, LoadedBackbone, TokenLayout
from geofm_eval.backbones.contract import encode_checked
from geofm_eval.cache import list_cache
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError
from tests.tiny import SPEC, TinyBackbone, TinySplit, tiny_block, tiny_loaded

Step = Callable[[nn.Module, Tensor], Tensor]


class Odd(TinyBackbone):
    """The tiny backbone with another step from block to block, another look at its input, or another answer."""

    def __init__(self, step: Step | None = None, prepare: Callable[[Tensor], Tensor] = lambda pixels: pixels) -> None:
        super().__init__()
        self.step = step or (lambda block, tokens: tokens + torch.tanh(block(tokens)))
        self.prepare = prepare

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        pixels = self.prepare(batch.pixels)
        tokens = self.stem(functional.adaptive_avg_pool2d(pixels, (2, 2)).flatten(2).transpose(1, 2))
        found = {"embed": torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)}
        for index, block in enumerate(self.blocks):
            found[f"block{index:02d}"] = self.step(block, list(found.values())[-1])
        return {**found, "final": functional.layer_norm(found["block01"], (4,))}


def across_images(block: nn.Module, tokens: Tensor) -> Tensor:
    rows = tokens.transpose(0, 1)
    return tokens + functional.scaled_dot_product_attention(rows, rows, rows).transpose(0, 1)


def in_place(block: nn.Module, tokens: Tensor) -> Tensor:
    tokens += torch.tanh(block(tokens))
    return tokens


def batch_norm(pixels: Tensor) -> Tensor:
    return (pixels - pixels.mean((0, 2, 3), keepdim=True)) / pixels.std((0, 2, 3), keepdim=True)


class Remembers:
    """Adds a running mean of everything it was given."""

    def __init__(self) -> None:
        self.mean = torch.zeros(())

    def __call__(self, pixels: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * pixels.mean()
        return pixels + self.mean


RANDOM = "It is random or keeps a state"
NEIGHBOURS = "It depends on the other images of the batch"


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (
            Odd(lambda block, x: x + functional.dropout(block(x), 0.3)),
            rf"changes by .* of its rms.*{RANDOM}",
        ),
        (Odd(lambda block, x: x * (torch.rand(x.shape[:2]) > 0.5)[..., None]), RANDOM),
        (Odd(lambda _, x: functional.scaled_dot_product_attention(x, x, x, dropout_p=0.3)), RANDOM),
        (Odd(prepare=Remembers()), RANDOM),
        (Odd(prepare=batch_norm), NEIGHBOURS),
        (Odd(across_images), NEIGHBOURS),
        (Odd(in_place), "taps embed and block00 share memory.*clone"),
    ],
    ids=["dropout", "masking", "attention-dropout", "state", "batch-statistics", "across-images", "in-place"],
)
@pytest.mark.parametrize("batch_size", [16, 20])
def test_features_that_depend_on_more_than_the_image_are_refused(
    backbone: Backbone, said: str, batch_size: int
) -> None:
    with pytest.raises(ContractError, match=said) as error:
        tiny_block(TinySplit(), tiny_loaded(backbone), batch_size)
    assert len(str(error.value)) <= 400
    assert list_cache() == []


def test_a_backbone_that_calls_train_in_its_forward_is_refused() -> None:
    def step(block: nn.Module, tokens: Tensor) -> Tensor:
        block.train()
        return tokens + block(tokens)

    with pytest.raises(ContractError, match="remove calls of train"):
        tiny_block(TinySplit(), tiny_loaded(Odd(step)))


def test_taps_that_are_one_tensor_are_refused() -> None:
    class Late(TinyBackbone):
        def forward(self, batch: ModelInput) -> dict[str, Tensor]:
            return dict.fromkeys(self.taps, super().forward(batch)["final"])

    with pytest.raises(ContractError, match="taps embed and block00 share memory"):
        tiny_block(TinySplit(), tiny_loaded(Late()))


def test_taps_that_are_parts_of_one_array_and_a_missing_last_norm_are_accepted() -> None:
    class Stacked(TinyBackbone):
        def forward(self, batch: ModelInput) -> dict[str, Tensor]:
            whole = torch.stack(list(super().forward(batch).values())[:-1])
            return {**dict(zip(self.taps, whole, strict=False)), "final": whole[-1]}

    block = tiny_block(TinySplit(), tiny_loaded(Stacked()))
    np.testing.assert_array_equal(block.features("final"), block.features("block01"))


def test_a_backbone_that_normalises_its_input_in_place_is_accepted() -> None:
    expected = np.array(tiny_block(TinySplit(), tiny_loaded(Odd(prepare=lambda x: x / 2 - 1))).features("final"))
    block = tiny_block(TinySplit(), tiny_loaded(Odd(prepare=lambda x: x.div_(2).sub_(1)), sha256="1" * 64))
    np.testing.assert_array_equal(block.features("final"), expected)


def test_what_no_probe_reads_may_depend_on_the_batch() -> None:
    """Tokens of patches without data are masked: padding to the longest image of a batch changes them alone."""

    class Padded(TinyBackbone):
        def forward(self, batch: ModelInput) -> dict[str, Tensor]:
            found = super().forward(batch)
            noise = torch.rand(len(batch.pixels), 4)
            return {tap: torch.cat([values[:, :4], noise[:, None]], dim=1) for tap, values in found.items()}

        def token_mask(self, batch: ModelInput) -> Tensor:
            return torch.tensor([[False, True, True, True, False]]).repeat(len(batch.pixels), 1)

    assert tiny_block(TinySplit(), tiny_loaded(Padded())).ids


def test_sixteen_bit_backbones_may_change_by_their_rounding() -> None:
    def batch(n: int) -> ModelInput:
        pixels = torch.rand((n, 2, 8, 8), generator=torch.Generator().manual_seed(0))
        return ModelInput(pixels, torch.ones((n, 8, 8), dtype=torch.bool), (True, True))

    class Coarse(TinyBackbone):
        """Rounds otherwise in a batch of another size."""

        change = 1e-2

        def forward(self, batch: ModelInput) -> dict[str, Tensor]:
            return {tap: v.float() * (1 + self.change * (len(v) < 16)) for tap, v in super().forward(batch).items()}

    def check(dtype: torch.dtype) -> None:
        backbone = Coarse()
        backbone.register_parameter("spare", nn.Parameter(torch.zeros(1, dtype=dtype)))
        loaded: LoadedBackbone = tiny_loaded(backbone)
        encode_checked(loaded, batch(16), False, first=True)

    check(torch.bfloat16)
    with pytest.raises(ContractError, match=r"at most 0\.001 allowed"):
        check(torch.float32)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda taps: tuple(taps.values()), "returned a tuple, expected a dictionary of one tensor per tap: embed"),
        (lambda taps: None, "returned a NoneType, expected a dictionary"),
        (lambda taps: {tap: (values, None) for tap, values in taps.items()}, "tap embed is a tuple, expected float32"),
    ],
)
def test_answers_of_another_form_are_refused_in_few_words(answer: Callable[..., object], said: str) -> None:
    class Wrong(TinyBackbone):
        def forward(self, batch: ModelInput) -> dict[str, Tensor]:
            return answer(super().forward(batch))  # type: ignore[return-value]

    with pytest.raises(ContractError, match=said) as error:
        tiny_block(TinySplit(), tiny_loaded(Wrong()))
    assert len(str(error.value)) <= 400


def test_a_layout_that_changes_with_the_batch_is_refused() -> None:
    class Shrinks(TinyBackbone):
        def layout(self, batch: ModelInput) -> TokenLayout:
            return TokenLayout((2, 2) if len(batch.pixels) == 16 else (1, 4), 1, ("all",))

    with pytest.raises(ContractError, match="the layout is"):
        tiny_block(TinySplit(n=16), tiny_loaded(Shrinks()))
    assert SPEC.prefix == 1
