"""A backbone with a decoder on some of its taps: what is trained for a dense task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import Backbone
from geofm_eval.backbones.series import encode
from geofm_eval.data.inputs import ModelInput
from geofm_eval.dense.adapters import adapt
from geofm_eval.dense.decoders import Head
from geofm_eval.dense.maps import feature_map
from geofm_eval.dense.temporal import temporal_mix


class DenseModel(nn.Module):
    """Backbone, a mix over dates per tap, and a head.

    Args:
        backbone: frozen, as it was loaded; it is changed in place where the adaptation tunes it.
        adaptation: one of ``adapters.ADAPTATIONS``.
        taps: what the decoder reads, in the order of depth; a tap may stand there several times.
        decoder: one of ``decoders.DECODERS``.
        outputs: classes K; 1 for a regression.
        native: True for a backbone that shall take all dates of a series at once.
        dates: T of every item.
        temporal: how dates are joined, ``ltae`` or ``linear``.
        dtype: of forward passes; ``bf16`` runs them under automatic mixed precision.
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
        super().__init__()
        self.mixed_precision = dtype == "bf16"
        self.backbone = backbone
        self.taps = tuple(taps)
        self.native = native
        self.tuned = adapt(backbone, adaptation)
        mixes = [temporal_mix(temporal, backbone.width, dates) for _ in self.taps]
        self.mixes = nn.ModuleList(nn.Identity() if mix is None else mix for mix in mixes)
        self.head = Head(decoder, backbone.width, outputs, len(self.taps))
        self.train(False)

    def train(self, mode: bool = True) -> "DenseModel":
        """Training mode for what is trained: a frozen backbone stays in eval mode."""
        super().train(mode)
        self.backbone.train(mode and bool(self.tuned))
        return self

    @property
    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters of the head and of the mixes over dates."""
        return [*self.mixes.parameters(), *self.head.parameters()]

    def maps(self, batch: ModelInput) -> list[Tensor]:
        """Feature maps (B, T, D, h, w) of the taps; without a gradient where the backbone is frozen."""
        with self._precision(), torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.tuned)):
            encoded = encode(self.backbone, batch, self.native)
            found = {tap: feature_map(encoded, tap) for tap in dict.fromkeys(self.taps)}
        return [found[tap] for tap in self.taps]

    def decode(self, maps: Sequence[Tensor], days: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Values (B, K, height, width) from feature maps.

        Args:
            maps: (B, T, D, h, w) per tap.
            days: (B, T) days of the dates; None for single images.
            size: pixels of the window.

        Returns:
            float32, whatever the type of the forward pass.
        """
        with self._precision():
            joined = [
                one[:, 0] if days is None or one.shape[1] == 1 else mix(one, days)
                for mix, one in zip(self.mixes, maps, strict=True)
            ]
            values: Tensor = self.head(joined, size)
        return values.float()

    def _precision(self) -> torch.autocast:
        device = next(self.head.parameters()).device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.mixed_precision)

    def trained_state(self) -> dict[str, Tensor]:
        """Everything that training changes, by name: of the backbone what is tuned, of the rest all of it.

        Where the backbone is tuned, its buffers (statistics of batch normalisations) change too.
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
        """Put back what ``trained_state`` gave."""
        found = self.load_state_dict(state, strict=False)
        assert not found.unexpected_keys, found.unexpected_keys
