"""Inner cross-validation: rate and epoch chosen on the training chips, where too few validation chips are left.

Every fold of the training chips is predicted, after each epoch that is validated, by a network that was trained without
it; an epoch's score is that of all chips together.
"""

import functools
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.dense.inference import Predictor, quality
from geofm_eval.dense.model import DenseModel
from geofm_eval.dense.plan import Validation, best_of
from geofm_eval.dense.training import checkpoints
from geofm_eval.store import write_bytes

if TYPE_CHECKING:
    from geofm_eval.dense.job import DenseJob

MANIFEST = "folds.json"


@dataclass(frozen=True)
class CrossValidated:
    """What folds of the training chips say about a learning rate.

    Args:
        validations: quality of every epoch that was validated, over the chips of all folds.
        seconds: spent in optimiser steps.
    """

    validations: tuple[Validation, ...]
    seconds: float

    @property
    def chosen(self) -> Validation:
        """The best epoch."""
        return best_of(self.validations)


def read(content: Mapping[str, Any]) -> CrossValidated:
    """From what :func:`cross_validate` returned, as JSON keeps it."""
    return CrossValidated(tuple(Validation(*one) for one in content["validations"]), content["seconds"])


def cross_validate(job: "DenseJob", rate: float, key: str) -> dict[str, Any]:
    """Train without each fold in turn; what is finished of an interrupted call is found again.

    Args:
        job: with folds in its budget.
        rate: learning rate.
        key: of the whole, for checkpoints.

    Raises:
        GeofmError: see ``training.train``.
    """
    parts = [f"{key}-{number}" for number in range(len(job.budget.folds))]
    predictor, seconds, counts = job.predictor("train"), 0.0, []
    for number, part in enumerate(parts):
        keep = functools.partial(_keep, job, predictor, job.budget.folds[number].tolist(), checkpoints(part))
        _, done, _ = job.trained_on(job.budget.without(number), rate, part, keep)
        seconds += done.seconds
        counts.append({one.epoch: np.load(_file(checkpoints(part), one.epoch)) for one in done.validations})
    scores = [(epoch, quality(job.task, np.concatenate([fold[epoch] for fold in counts]))) for epoch in counts[0]]
    for part in parts:
        shutil.rmtree(checkpoints(part), ignore_errors=True)
    return {"validations": scores, "seconds": seconds}


def _keep(job: "DenseJob", predictor: Predictor, held: list[int], folder: Path, model: DenseModel, epoch: int) -> float:
    """Keep the counts of a fold's chips. A fold alone has no score: it may lack a class."""
    buffer = io.BytesIO()
    counts: NDArray[Any] = job.counts(predictor, "train", held, model)
    np.save(buffer, counts)
    write_bytes(_file(folder, epoch), buffer.getvalue())
    return 0.0


def _file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch{epoch}.npy"
