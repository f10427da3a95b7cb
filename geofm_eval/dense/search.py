"""Choice of the learning rate, on validation chips or, if they are too few, by cross-validating the training chips.

Every fold of the training chips is predicted after each validated epoch, by a network that was trained without it. The
score of an epoch is computed over all chips together.
"""

import functools
import io
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.dense.checkpoint import checkpoints
from geofm_eval.dense.inference import quality
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import train_at, trained_on
from geofm_eval.dense.model import TunableModel
from geofm_eval.dense.plan import CrossValidated, Validation
from geofm_eval.paths import geofm_cache
from geofm_eval.seals import seal_bytes, unseal_bytes
from geofm_eval.store import content_hash, publish_directory, write_bytes

log = logging.getLogger(__name__)

MANIFEST = "folds.json"
FOLD = "fold.json"
COUNTS = "counts.npz"


def choose_rate(job: DenseJob) -> tuple[float, CrossValidated | None]:
    """Return the learning rate with the best validation; ties go to the lower rate.

    The result of cross-validation, if any, is returned too, because the training uses its epoch.

    Raises:
        Unavailable: weights or a package are missing.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    rates = job.choice.rates
    if job.budget.folds:
        tried = [(rate, cross_validated(job, rate)) for rate in rates]
        return max(tried, key=lambda pair: (pair[1].chosen.score, -pair[0]))
    if len(rates) == 1:
        return rates[0], None
    return max((train_at(job, rate) for rate in rates), key=lambda one: (one.val_score, -one.rate)).rate, None


def cross_validated(job: DenseJob, rate: float) -> CrossValidated:
    """Train without each fold of the training chips in turn, or return the result from the cache."""
    key = content_hash({**job.identity, "rate": rate, "seed": job.seed, "cross_validated": True})
    path = geofm_cache() / "trainings" / "folds" / key
    publish_directory(path, lambda _: _cross_validate(job, rate, key), MANIFEST)
    content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    return CrossValidated(tuple(Validation(*one) for one in content["validations"]), content["seconds"])


def _cross_validate(job: DenseJob, rate: float, key: str) -> dict[str, Any]:
    """Train every fold; those that an interrupted call finished are reused."""
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
    """Train without a fold, and store the counts of its chips at every validated epoch."""
    held, seen = job.budget.folds[number].tolist(), checkpoints(key)
    stored = _stored(seen)
    counts: dict[int, NDArray[Any]] = {}

    def keep(model: TunableModel, epoch: int) -> float:
        counts[epoch] = job.counts(model, "train", held)
        buffer = io.BytesIO()
        np.save(buffer, counts[epoch])
        # Next to the checkpoint, so that a resumed training finds both or neither.
        write_bytes(seen / f"epoch{epoch}.npy", seal_bytes(buffer.getvalue()))
        return 0.0  # a single fold has no score, because it may lack a class

    _, done, _ = trained_on(job, job.budget.without(number), rate, key, keep)
    earlier = {one.epoch for one in done.validations} - set(counts)
    counts |= {epoch: stored[epoch] for epoch in earlier}
    np.savez(folder / COUNTS, **{str(epoch): counts[epoch] for epoch in sorted(counts)})  # type: ignore[arg-type]
    shutil.rmtree(seen, ignore_errors=True)
    job.splits["train"].check_unchanged()
    return {"seconds": done.seconds}


def _stored(seen: Path) -> dict[int, NDArray[Any]]:
    """Counts of the epochs that an interrupted call validated; if one is damaged, the fold is trained again."""
    found = {}
    for path in sorted(seen.glob("epoch*.npy")):
        try:
            content = io.BytesIO(unseal_bytes(path.read_bytes()))
            found[int(path.stem.removeprefix("epoch"))] = np.load(content, allow_pickle=False)
        except (OSError, ValueError) as error:
            log.warning("%s is damaged (%s); the training of this fold starts from the beginning", path, error)
            shutil.rmtree(seen)
            return {}
    return found
