"""Encoding of time series: all dates at once if the model takes time, else date by date."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geofm_eval.backbones.base import Backbone, TokenLayout, pool
from geofm_eval.data.inputs import ModelInput


@dataclass(frozen=True)
class Encoded:
    """Tokens of a batch of B samples, encoded in T passes each.

    T is the number of dates of series encoded date by date, and 1 for single images and for series encoded at once,
    whose dates are groups of the layout.

    Args:
        tokens: (B * T, N, D) float32 per tap; the dates of a sample are consecutive.
        mask: (B * T, N) bool, True for valid patch tokens.
        layout: layout of the N tokens.
        passes: number of passes T.
    """

    tokens: dict[str, Tensor]
    mask: Tensor
    layout: TokenLayout
    passes: int

    def pooled(self, tap: str, pooling: str) -> Tensor:
        """Pool the tokens of each pass to one vector, and average the passes with a valid patch.

        Args:
            tap: name of the tap.
            pooling: see :func:`geofm_eval.backbones.base.pool`.

        Returns:
            (B, D) float32.

        Raises:
            DataError: a sample has no valid patch on any date.
        """
        tokens, mask = self.tokens[tap], self.mask
        if self.passes == 1:
            return pool(tokens, mask, self.layout, pooling)
        seen = mask.any(dim=1)
        # Samples without a valid patch on any date are kept, so that pool raises an error.
        seen = seen | self._spread(~self._by_item(seen).any(dim=1))
        features = tokens.new_zeros(len(seen), tokens.shape[-1])
        features[seen] = pool(tokens[seen], mask[seen], self.layout, pooling)
        return self._by_item(features).sum(dim=1) / self._by_item(seen).sum(dim=1)[:, None]

    def empty_items(self) -> list[int]:
        """Return the positions of samples without a valid patch on any date."""
        found: list[int] = torch.nonzero(~self._by_item(self.mask).flatten(1).any(dim=1)).flatten().tolist()
        return found

    def _by_item(self, values: Tensor) -> Tensor:
        return values.reshape(-1, self.passes, *values.shape[1:])

    def _spread(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self.passes, dim=0)


def encode(backbone: Backbone, batch: ModelInput, native: bool) -> Encoded:
    """Run a backbone on single images or on series.

    Args:
        backbone: the frozen backbone.
        batch: single images (B, C, H, W), or series (B, T, C, H, W).
        native: whether the backbone takes all dates of a series at once.
    """
    given, empty = frame(backbone, batch, native)
    return replace(empty, tokens=backbone(given))


def frame(backbone: Backbone, batch: ModelInput, native: bool) -> tuple[ModelInput, Encoded]:
    """Return the input of the backbone for a batch, and an ``Encoded`` without tokens."""
    passes = batch.pixels.shape[1] if batch.series and not native else 1
    given = batch.one_by_one() if batch.series and not native else batch
    return given, Encoded({}, backbone.token_mask(given), backbone.layout(given), passes)
