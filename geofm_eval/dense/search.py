"""The learning rate of a training, chosen on validation chips or on folds of the training chips."""

import json

from geofm_eval.dense.folds import MANIFEST, cross_validate
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import train_at
from geofm_eval.dense.plan import CrossValidated, Validation
from geofm_eval.paths import geofm_cache
from geofm_eval.store import content_hash, publish_directory


def choose_rate(job: DenseJob) -> tuple[float, CrossValidated | None]:
    """Return the learning rate that validation chooses among all that are tried; ties go to the lower rate.

    Where the training chips are cross-validated, the result of the folds is returned too: the training takes its epoch.

    Raises:
        Unavailable: weights or a package are absent.
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
    """Train without each fold of the training chips in turn, or find the result in the cache."""
    key = content_hash({**job.identity, "rate": rate, "seed": job.seed, "cross_validated": True})
    path = geofm_cache() / "trainings" / "folds" / key
    publish_directory(path, lambda _: cross_validate(job, rate, key), MANIFEST)
    content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    return CrossValidated(tuple(Validation(*one) for one in content["validations"]), content["seconds"])
