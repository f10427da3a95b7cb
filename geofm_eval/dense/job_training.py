"""Training of a dense job at one learning rate, cached: its network, its test counts and the tensors it changed."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.dense.adapters import merge, plain_state
from geofm_eval.dense.checkpoint import checkpoints
from geofm_eval.dense.config import Trained
from geofm_eval.dense.inference import quality
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.model import TunableModel
from geofm_eval.dense.plan import CrossValidated, TrainingPlan, TrainingState, Validation, best_of
from geofm_eval.dense.training import Validate, train
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.store import content_hash, publish_directory

MANIFEST = "training.json"
NETWORK = "network.safetensors"
TESTED = "tested.json"
COUNTS = "counts.npy"


def train_at(job: DenseJob, rate: float, validated: CrossValidated | None = None) -> Trained:
    """Train at one learning rate, or return the result from the cache.

    Args:
        job: job to train.
        rate: learning rate.
        validated: result of cross-validation, which chose the epoch; None chooses it on the validation chips.
    """
    until = {} if validated is None else {"until": validated.chosen.epoch}
    key = content_hash({**job.identity, "rate": rate, "seed": job.seed, **until})
    path = geofm_cache() / "trainings" / "v1" / key
    publish_directory(path, lambda folder: _write(job, rate, validated, key, folder), MANIFEST)
    content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["result"]
    validations = tuple((epoch, score) for epoch, score in content.pop("validations"))
    return Trained(path=path, validations=validations, losses=tuple(content.pop("losses")), **content)


def _write(job: DenseJob, rate: float, validated: CrossValidated | None, key: str, folder: Path) -> dict[str, Any]:
    until = None if validated is None else validated.chosen.epoch

    def on_validation_chips(model: TunableModel, epoch: int) -> float:
        return quality(job.task, job.counts(model, "val", job.budget.val.tolist()))

    model, done, encoding = trained_on(job, job.budget.train, rate, key, on_validation_chips, until)
    save_file({name: value.contiguous().cpu() for name, value in model.trained_state().items()}, folder / NETWORK)
    shutil.rmtree(checkpoints(key), ignore_errors=True)  # before the check: if the data changed, they are worthless
    for name in ("train", "val"):
        job.splits[name].check_unchanged()
    validations = done.validations if validated is None else validated.validations
    result = {"rate": rate, **_chosen(validations), **_measured(job, model, done, encoding)}
    return {"result": result, "identity": job.identity}


def trained_on(
    job: DenseJob, chips: NDArray[np.int64], rate: float, key: str, validate: Validate, until: int | None = None
) -> tuple[TunableModel, TrainingState, float]:
    """Train on some of the training chips.

    Args:
        job: job to train.
        chips: positions in the training split.
        rate: learning rate.
        key: key of the checkpoint.
        validate: see ``training.train``.
        until: see ``TrainingPlan``.

    Returns:
        Network, final state, and the seconds spent on encoding the chips once.
    """
    plan = TrainingPlan(job.choice.recipe, rate, job.seed, job.choice.lengthened, job.scale, until)
    if _on_gpu(job):
        torch.cuda.reset_peak_memory_stats(job.device)
    with torch.random.fork_rng(), exact_float32():
        model = job.network()
        samples, seconds = job.samples(chips)
        done = train(model, samples, job.task, plan, validate, checkpoints(key), device=job.device)
    return model, done, seconds


def _chosen(validations: Sequence[Validation]) -> dict[str, Any]:
    chosen = best_of(validations)
    pairs = [(one.epoch, one.score) for one in validations]
    return {"epoch": chosen.epoch, "val_score": chosen.score, "validations": pairs}


def _measured(job: DenseJob, model: TunableModel, done: TrainingState, encoding: float) -> dict[str, Any]:
    return {
        "losses": done.losses,
        "seconds": {"encode": encoding, "train": done.seconds},
        "examples": done.examples,
        "trained_parameters": sum(parameter.numel() for parameter in [*model.tuned, *model.new_parameters]),
        "total_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "backbone_sha256": state_dict_sha256(plain_state(model.backbone)),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(job.device) if _on_gpu(job) else None,
    }


def _on_gpu(job: DenseJob) -> bool:
    return torch.device(job.device).type == "cuda"


def restored(job: DenseJob, trained: Trained) -> TunableModel:
    """Return the network of a finished training, in eval mode."""
    with torch.random.fork_rng():
        model = job.network()
    model.restore(load_file(trained.path / NETWORK, device=str(torch.device(job.device))))
    return model


def merged(job: DenseJob, trained: Trained) -> TunableModel:
    """Return the network of a finished training in eval mode, with low-rank updates merged."""
    model = restored(job, trained)
    merge(model.backbone)
    return model


def counts_on_test(job: DenseJob, trained: Trained) -> NDArray[Any]:
    """Return the counts of every test chip, cached; see ``inference.counts_of``.

    Test only the training that validation chose.
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
    """Yield target and prediction (height, width) of some test chips."""
    with exact_float32():
        yield from job.pairs(restored(job, trained), "test", items)


def changed(job: DenseJob, trained: Trained) -> dict[str, Tensor]:
    """Return the backbone's tensors that the training changed, under its own names, with low-rank updates merged."""
    before = job.loaded.backbone.state_dict()
    after = plain_state(restored(job, trained).backbone)
    return {name: value for name, value in after.items() if not torch.equal(value, before[name])}
