"""The answer of a run: which model, at which tap, tuned or frozen, and what is still open."""

from geofm_eval.answer.focus import FocusedAnswer, focused_answers
from geofm_eval.answer.open_question import Needed
from geofm_eval.answer.pairwise import ModelDifference, Shows
from geofm_eval.answer.tasks import Candidate, TaskAnswer, answers
from geofm_eval.answer.threats import Threat

__all__ = [
    "Candidate",
    "FocusedAnswer",
    "ModelDifference",
    "Needed",
    "Shows",
    "TaskAnswer",
    "Threat",
    "answers",
    "focused_answers",
]
