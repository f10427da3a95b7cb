"""Trainings that say how much of a change is nothing but training: shuffled labels, a learning rate of 0."""

from dataclasses import replace

from geofm_eval.data.relabelled import with_shuffled_labels
from geofm_eval.dense.config import Trained
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import train_at
from geofm_eval.dense.plan import CrossValidated, Validation


def on_shuffled_labels(job: DenseJob, trained: Trained) -> tuple[DenseJob, Trained]:
    """Train as a job was trained, rate, epoch, seed and all, with its training labels exchanged among each other.

    Nothing is chosen anew: the same number of steps is taken as the true labels took.
    """
    rows = job.budget.train.tolist()
    other = replace(job, splits={**job.splits, "train": with_shuffled_labels(job.splits["train"], rows, job.seed)})
    return other, train_at(other, trained.rate, _until(trained, trained.epoch))


def at_rate_zero(job: DenseJob, trained: Trained) -> Trained:
    """Train for an epoch at a learning rate of 0: whatever differs afterwards was not learnt."""
    return train_at(job, 0.0, _until(trained, 1))


def _until(trained: Trained, epoch: int) -> CrossValidated:
    return CrossValidated((Validation(epoch, trained.val_score),), 0.0)
