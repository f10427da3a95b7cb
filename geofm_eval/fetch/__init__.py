"""Download weights and data from their publishers, and tell users how to get those without a public address.

No other package downloads anything or writes into ``GEOFM_HOME``.
"""

from geofm_eval.fetch.data import describe_task
from geofm_eval.fetch.names import look_up
from geofm_eval.fetch.published import fetch_task, plan_task
from geofm_eval.fetch.weights import (
    fetch_model,
    fetch_weights,
    path_sha256,
    plan_model,
    published_address,
    verified_sha256,
)
from geofm_eval.progress import transfer_on

__all__ = [
    "describe_task",
    "fetch_model",
    "fetch_task",
    "fetch_weights",
    "look_up",
    "path_sha256",
    "plan_model",
    "plan_task",
    "published_address",
    "transfer_on",
    "verified_sha256",
]
