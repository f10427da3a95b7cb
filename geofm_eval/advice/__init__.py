"""Advice for a backbone on a task from the records of a run, with its evidence."""

from geofm_eval.advice.choosing import Advice, advise, controls_of, marked_of
from geofm_eval.advice.cut import Cut, Saving
from geofm_eval.advice.reading import Reading
from geofm_eval.advice.tuning import PartLoss, Parts, Tuned, TuningChoice
from geofm_eval.advice.validation import StandardError, standard_error

__all__ = [
    "Advice",
    "Cut",
    "PartLoss",
    "Parts",
    "Reading",
    "Saving",
    "StandardError",
    "Tuned",
    "TuningChoice",
    "advise",
    "controls_of",
    "marked_of",
    "standard_error",
]
