"""Inner cross-validation: rate and epoch chosen on the training chips, where too few validation chips are left.

Every fold of the training chips is predicted, after each epoch that is validated, by a network that was trained without
it; an epoch's score is that of all chips together.
"""

import functools
import io
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.dense.checkpoint import checkpoints
from geofm_eval.dense.inference import quality
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import trained_on
from geofm_eval.dense.model import TunableModel
from geofm_eval.paths import geofm_cache
from geofm_eval.seals import seal_bytes, unseal_bytes
from geofm_eval.store import publish_directory, write_bytes

log = logging.getLogger(__name__)

MANIFEST = "folds.json"
FOLD = "fold.json"
COUNTS = "counts.npz"


def cross_validate(job: DenseJob, rate: float, key: str) -> dict[str, Any]:
    """Train without each fold in turn; folds that an interrupted call finished are found again.

    Args:
        job: with folds in its budget.
        rate: learning rate.
        key: of the whole; each fold has its own.

    Raises:
        GeofmError: see ``training.train``.
    """
    seconds, counts = 0.0, []
    for number in range(len(job.budget.folds)):
        part = f"{key}-{number}"
        path = geofm_cache() / "trainings" / "folds" / part
        content = publish_directory(path, functools.partial(_write, job, rate, number, part), FOLD)
        seconds += float(content["seconds"])
        with np.load(path / COUNTS, allow_pickle=False) as found:
            counts.append({int(epoch): found[epoch] for epoch in found.files})
    scores = [(epoch, quality(job.task, np.concatenate([fold[epoch] for fold in counts]))) for epoch in counts[0]]
    return {"validations": scores, "seconds": seconds}


def _write(job: DenseJob, rate: float, number: int, key: str, folder: Path) -> dict[str, Any]:
    """Train without a fold, and keep the counts of its chips after every epoch that is validated."""
    held, seen = job.budget.folds[number].tolist(), checkpoints(key)
    stored = _stored(seen)
    counts: dict[int, NDArray[Any]] = {}

    def keep(model: TunableModel, epoch: int) -> float:
        counts[epoch] = job.counts(model, "train", held)
        buffer = io.BytesIO()
        np.save(buffer, counts[epoch])
        # Beside the checkpoint, so that both are there for whoever goes on, or neither.
        write_bytes(seen / f"epoch{epoch}.npy", seal_bytes(buffer.getvalue()))
        return 0.0  # a fold alone has no score: it may lack a class

    _, done, _ = trained_on(job, job.budget.without(number), rate, key, keep)
    earlier = {one.epoch for one in done.validations} - set(counts)
    counts |= {epoch: stored[epoch] for epoch in earlier}
    np.savez(folder / COUNTS, **{str(epoch): counts[epoch] for epoch in sorted(counts)})  # type: ignore[arg-type]
    shutil.rmtree(seen, ignore_errors=True)
    job.splits["train"].check_unchanged()
    return {"seconds": done.seconds}


def _stored(seen: Path) -> dict[int, NDArray[Any]]:
    """Counts of the epochs that an interrupted call validated; where one is damaged the training begins anew."""
    found = {}
    for path in sorted(seen.glob("epoch*.npy")):
        try:
            content = io.BytesIO(unseal_bytes(path.read_bytes()))
            found[int(path.stem.removeprefix("epoch"))] = np.load(content, allow_pickle=False)
        except (OSError, ValueError) as error:
            log.warning("%s is damaged (%s): the training of this fold begins anew", path, error)
            shutil.rmtree(seen)
            return {}
    return found
