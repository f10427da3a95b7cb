"""A backbone with trained layers: a decoder on some of its taps, or a linear head on its pooled features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone
from geofm_eval.backbones.series import Encoded, encode
from geofm_eval.data.inputs import ModelInput
from geofm_eval.dense.adapters import adapt
from geofm_eval.dense.batches import Batch
from geofm_eval.dense.decoders import Decoder
from geofm_eval.dense.maps import feature_map
from geofm_eval.dense.temporal import temporal_mix

HEAD_GAIN = 10.0
"""Factor on the output of a linear head, by which it learns faster than the backbone at the same learning rate: Adam
changes every parameter by about the rate, and a rate for a pretrained backbone hardly changes a new layer."""


class TunableModel(nn.Module, ABC):
    """A backbone, frozen or tuned, with new layers.

    Args:
        backbone: frozen backbone, changed in place by tuning.
        adaptation: one of ``adapters.ADAPTATIONS``.
        native: whether the backbone takes all dates of a series at once.
        dtype: dtype of forward passes; ``bf16`` uses automatic mixed precision.
    """

    def __init__(self, backbone: Backbone, adaptation: str, native: bool = False, dtype: str = "float32") -> None:
        super().__init__()
        self.mixed_precision = dtype == "bf16"
        self.backbone = backbone
        self.native = native
        self.tuned = adapt(backbone, adaptation)

    @property
    @abstractmethod
    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters besides the backbone's, all of which are trained."""

    @abstractmethod
    def values(self, batch: Batch, device: torch.device | str) -> Tensor:
        """Return values (B, K, height, width) float32 of a training batch, in the size of its targets."""

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        self.backbone.train(mode and bool(self.tuned))
        return self

    def encoded(self, batch: ModelInput) -> Encoded:
        """Return the tokens of all taps, without a gradient if the backbone is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.tuned)):
            return encode(self.backbone, batch, self.native)

    def precision(self) -> torch.autocast:
        """Return the context that sets the dtype of forward passes."""
        device = self.new_parameters[0].device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.mixed_precision)

    def trained_state(self) -> dict[str, Tensor]:
        """Copy everything that training changes: tuned parameters of the backbone, and all of the new layers.

        A tuned backbone's buffers (statistics of batch normalisations) change too.
        """
        state = self.state_dict()
        ours = {id(parameter) for parameter in self.tuned}
        tuned = {f"backbone.{name}" for name, value in self.backbone.named_parameters() if id(value) in ours}
        tuned |= {f"backbone.{name}" for name, _ in self.backbone.named_buffers() if ours}
        return {
            name: value.detach().clone()
            for name, value in state.items()
            if name in tuned or not name.startswith("backbone.")
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the result of ``trained_state``."""
        found = self.load_state_dict(state, strict=False)
        assert not found.unexpected_keys, found.unexpected_keys


class DenseModel(TunableModel):
    """Backbone, a mix over dates that all taps share, and a decoder.

    Args:
        backbone: see :class:`TunableModel`, like ``adaptation``, ``native`` and ``dtype``.
        taps: taps that the decoder reads, shallow to deep; a tap may be repeated.
        decoder: one of ``decoders.DECODERS``.
        outputs: values K per pixel, see ``losses.outputs_of``.
        dates: number of dates T.
        temporal: mix over dates, ``ltae`` or ``linear``.
    """

    def __init__(
        self,
        backbone: Backbone,
        adaptation: str,
        taps: Sequence[str],
        decoder: str,
        outputs: int,
        *,
        native: bool = False,
        dates: int = 1,
        temporal: str = "ltae",
        dtype: str = "float32",
    ) -> None:
        super().__init__(backbone, adaptation, native, dtype)
        self.taps = tuple(taps)
        self.mix = temporal_mix(temporal, backbone.width, dates)
        self.head = Decoder(decoder, backbone.width, outputs, len(self.taps))
        self.train(False)

    @property
    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters of the head and of the mix over dates."""
        return [*self.mix.parameters(), *self.head.parameters()]

    def values(self, batch: Batch, device: torch.device | str) -> Tensor:
        """Return the values of every pixel; see :meth:`TunableModel.values`."""
        if batch.images is not None:
            maps = self.maps(batch.images.to(device))
        else:
            assert batch.maps is not None
            maps = [part.to(device) for part in batch.maps]
        return self.decode(maps, (batch.target.shape[-2], batch.target.shape[-1]))

    def maps(self, batch: ModelInput) -> list[Tensor]:
        """Return feature maps (B, T, D, h, w) of the taps, without a gradient if the backbone is frozen."""
        with self.precision():
            encoded = self.encoded(batch)
            found = {tap: feature_map(encoded, tap) for tap in dict.fromkeys(self.taps)}
        return [found[tap] for tap in self.taps]

    def decode(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return float32 values (B, K, height, width) from feature maps, whatever the dtype of the forward pass.

        Args:
            maps: (B, T, D, h, w) per tap.
            size: height and width of the window in pixels.
        """
        with self.precision():
            values: Tensor = self.head([self.mix(one) for one in maps], size)
        return values.float()


class PooledModel(TunableModel):
    """Backbone and one linear map of a tap's pooled features, for whole images or series.

    Args:
        backbone: see :class:`TunableModel`, like ``adaptation``, ``native`` and ``dtype``.
        tap: tap that the head reads.
        outputs: number of classes K; 1 for regression.
    """

    def __init__(
        self,
        backbone: Backbone,
        adaptation: str,
        tap: str,
        outputs: int,
        *,
        native: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__(backbone, adaptation, native, dtype)
        self.tap = tap
        # Without learned statistics: small data sets give too few steps for them, and the head needs scaled features.
        self.norm = nn.LayerNorm(backbone.width, elementwise_affine=False)
        self.head = nn.Linear(backbone.width, outputs)
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.div_(HEAD_GAIN)
        self.train(False)

    @property
    def new_parameters(self) -> list[nn.Parameter]:
        """Weight and bias of the linear map."""
        return list(self.head.parameters())

    def values(self, batch: Batch, device: torch.device | str) -> Tensor:
        """Return (B, K, 1, 1); a sample counts as an image of one pixel."""
        assert batch.images is not None
        return self.outputs(batch.images.to(device))[:, :, None, None]

    def outputs(self, batch: ModelInput) -> Tensor:
        """Return (B, K) float32 values of whole samples."""
        with self.precision():
            encoded = self.encoded(batch)
        # Outside mixed precision, because averaging over dates writes into a float32 tensor.
        found: Tensor = HEAD_GAIN * self.head(self.norm(encoded.pooled(self.tap, "mean").float()))
        return found
