"""Checks of a model, a task, or both together before a run: everything is loaded, and nothing is stored as a result."""

from geofm_eval.checking.backbone import BackboneCheck, check_model
from geofm_eval.checking.data import TaskCheck, check_task
from geofm_eval.checking.embeddings import EmbeddingCheck, check_embeddings
from geofm_eval.checking.picture import save_picture
from geofm_eval.checking.preview import Preview, preview_input

__all__ = [
    "BackboneCheck",
    "EmbeddingCheck",
    "Preview",
    "TaskCheck",
    "check_embeddings",
    "check_model",
    "check_task",
    "preview_input",
    "save_picture",
]
