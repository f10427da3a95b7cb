"""Features inside a backbone: every tap and every part of every block, pooled or as single tokens."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.backbones.base import Backbone
from geofm_eval.backbones.parts import outputs_read
from geofm_eval.backbones.series import Encoded, encode, frame
from geofm_eval.data.inputs import ModelInput
from geofm_eval.extraction import exact_float32
from geofm_eval.seeds import generator

TOKEN_DRAWS = 4
"""Number of random tokens drawn from every sample."""

Floats = NDArray[np.float32]

Batches = Callable[[], Iterable[ModelInput]]
"""Returns the same batches on every call."""

OWN = ""
"""Label of the backbone's own features."""


@dataclass(frozen=True)
class Inside:
    """Features of n samples.

    Args:
        pooled: (n, D) per tap or part, mean over valid patch tokens.
        tokens: (draws, n, D) one random valid token of every sample, minus the mean of all tokens at its position;
            empty unless requested.
    """

    pooled: dict[str, Floats]
    tokens: dict[str, Floats]


def features_inside(
    backbone: Backbone,
    batches: Batches,
    native: bool,
    *,
    others: Mapping[str, Backbone] | None = None,
    tokens: bool = False,
) -> dict[str, Inside]:
    """Run a backbone and read the features inside.

    Args:
        backbone: in eval mode.
        batches: the samples.
        native: True to pass all dates of a series to the backbone at once.
        others: networks of the same architecture by label; their parts and blocks receive this backbone's inputs.
        tokens: also read single tokens.

    Returns:
        The backbone's own features under ``OWN``, and under each label the output of that network for the same inputs.
    """
    labels = (OWN, *(others or {}))
    # Local drift uses pooled features only, so tokens are stored only for the backbone itself.
    kept = {label: _Kept(tokens and label == OWN) for label in labels}
    start = 0
    with torch.inference_mode(), exact_float32():
        for batch in batches():
            given, empty = frame(backbone, batch, native)
            places = _places(empty, start) if tokens else None
            reader = _Reader(backbone, given, empty, places, kept)
            with outputs_read(backbone, reader.read_raw, others):
                found = backbone(given)
            for tap, values in found.items():
                reader.read(OWN, tap, values)
            start += len(batch.pixels)
    return {label: one.finished() for label, one in kept.items()}


def tap_inside(backbone: Backbone, batches: Batches, native: bool, tap: str) -> Floats:
    """Return (n, D) pooled features of one tap, as :func:`features_inside` does, without reading the others."""
    with torch.inference_mode(), exact_float32():
        found = [encode(backbone, batch, native).pooled(tap, "mean").float().cpu().numpy() for batch in batches()]
    return np.concatenate(found)


class _Kept:
    def __init__(self, tokens: bool) -> None:
        self._with_tokens = tokens
        self._pooled: defaultdict[str, list[Floats]] = defaultdict(list)
        self._tokens: defaultdict[str, list[Tensor]] = defaultdict(list)
        self._places: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, name: str, encoded: Encoded, places: Tensor | None) -> None:
        self._pooled[name].append(encoded.pooled(name, "mean").float().cpu().numpy())
        if places is None or not self._with_tokens:
            return
        count = len(places)
        flat = encoded.tokens[name].reshape(count, -1, encoded.tokens[name].shape[-1]).float()
        valid = encoded.mask.reshape(count, -1)
        total = (flat * valid[..., None]).sum(0)
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts.get(name, torch.zeros_like(valid[0], dtype=torch.float32)) + valid.sum(0)
        taken = flat[torch.arange(count)[:, None], places]
        self._tokens[name].append(torch.cat([taken, places[..., None].to(taken)], dim=-1).cpu())

    def finished(self) -> Inside:
        tokens = {}
        for name, parts in self._tokens.items():
            joined = torch.cat(parts)
            means = self._sums[name].cpu() / self._counts[name].cpu().clamp(min=1)[:, None]
            values = joined[..., :-1] - means[joined[..., -1].long()]
            tokens[name] = values.transpose(0, 1).cpu().numpy()
        return Inside({name: np.concatenate(parts) for name, parts in self._pooled.items()}, tokens)


@dataclass(frozen=True)
class _Reader:
    backbone: Backbone
    given: ModelInput
    empty: Encoded
    places: Tensor | None
    kept: Mapping[str, _Kept]

    def read_raw(self, name: str, values: Tensor) -> None:
        label, _, place = name.rpartition("/")
        self.read(label, place, self.backbone.placed(values, self.given))

    def read(self, label: str, name: str, values: Tensor) -> None:
        """Read tokens (B * T, N, D) in the layout."""
        self.kept[label].add(name, replace(self.empty, tokens={name: values}), self.places)


def _places(empty: Encoded, start: int) -> Tensor:
    """(B, draws) positions of random valid tokens over all dates; depends only on the index of the sample."""
    mask = empty.mask.reshape(-1, empty.passes * empty.mask.shape[1]).cpu().numpy()
    rows = []
    for number, own in enumerate(mask):
        rng = generator("token", start + number)
        rows.append(rng.choice(np.flatnonzero(own), TOKEN_DRAWS))
    return torch.from_numpy(np.stack(rows)).to(empty.mask.device)
