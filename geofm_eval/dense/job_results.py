"""What a finished training gives: its network, the counts of the test chips, and what it changed in the backbone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from geofm_eval.dense.adapters import merge, plain_state
from geofm_eval.dense.config import Trained
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import NETWORK
from geofm_eval.dense.model import TunableModel
from geofm_eval.extraction import exact_float32
from geofm_eval.features import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.store import content_hash, publish_directory

TESTED = "tested.json"
COUNTS = "counts.npy"


def restored(job: DenseJob, trained: Trained) -> TunableModel:
    """The network of a finished training, in eval mode."""
    with torch.random.fork_rng():
        model = job.network()
    model.restore(load_file(trained.path / NETWORK, device=str(torch.device(job.device))))
    return model


def merged(job: DenseJob, trained: Trained) -> TunableModel:
    """The network of a finished training in eval mode, low-rank updates written into the weights they change."""
    model = restored(job, trained)
    merge(model.backbone)
    return model


def counts_on_test(job: DenseJob, trained: Trained) -> NDArray[Any]:
    """What is kept of every test chip, see ``inference.counts_of``; read from the cache where it was tested before.

    Only the training that validation chose should be tested.
    """
    split = job.splits["test"]
    key = content_hash([trained.path.name, block_key(job.loaded, job.adapter, split), split.labels_sha256])
    path = geofm_cache() / "trainings" / "tested" / key

    def build(folder: Path) -> dict[str, Any]:
        np.save(folder / COUNTS, job.counts(restored(job, trained), "test", range(len(split))))
        split.check_unchanged()
        return {"ids": split.ids}

    publish_directory(path, build, TESTED)
    counts: NDArray[Any] = np.load(path / COUNTS, allow_pickle=False)
    return counts


def predicted(job: DenseJob, trained: Trained, items: Sequence[int]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Target and prediction (height, width) of some test chips, one after another."""
    with exact_float32():
        yield from job.pairs(restored(job, trained), "test", items)


def changed(job: DenseJob, trained: Trained) -> dict[str, Tensor]:
    """Tensors of the backbone that the training changed, by the backbone's own names, low-rank updates merged."""
    before = job.loaded.backbone.state_dict()
    after = plain_state(restored(job, trained).backbone)
    return {name: value for name, value in after.items() if not torch.equal(value, before[name])}
