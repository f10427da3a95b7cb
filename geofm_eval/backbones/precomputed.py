"""Models whose features are read from files: there is no network to run."""

from typing import NoReturn

import torch
from torch import Tensor

from geofm_eval.backbones.base import Backbone, LoadedBackbone, TokenLayout
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.embeddings.source import Source
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError


class Precomputed(Backbone):
    """Stands for the network that computed the embeddings elsewhere."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec.taps, spec.width)
        self._slug = spec.slug

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Raise ContractError."""
        self._refuse()

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Raise ContractError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ContractError(
            f"{self._slug} is known by its embeddings alone and has no network to run. Use probes of tasks with one "
            "label per sample, or similarity"
        )


def load(spec: ModelSpec, device: torch.device | str) -> LoadedBackbone:
    """Return the entry with the hash of its files in place of weights.

    Raises:
        Unavailable: a file does not exist.
        DataError: a file cannot be read.
    """
    source = Source(spec)
    backbone = Precomputed(spec).eval().requires_grad_(False).to(device)
    return LoadedBackbone(backbone, spec, source.sha256(), f"{spec.architecture}:{source.title}", (), (), 0)
