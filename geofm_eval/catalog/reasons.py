"""Why a model cannot be measured on a task, in one sentence with what would help."""

from geofm_eval.catalog.bands import common_names
from geofm_eval.catalog.cases import compatible, missing_bands
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.tasks import UNKNOWN, TaskSpec

MOST = 6
"""Names of bands in a message."""


def incompatible(model: ModelSpec, task: TaskSpec) -> str | None:
    """Return why a model cannot be measured on a task; None if it can."""
    if compatible(model, task):
        return None
    if UNKNOWN in task.bands:
        return f"the bands of {task.slug} are not named; name them in its entry"
    if task.pixels is not None and task.pixels < model.smallest:
        return f"{model.slug} needs images of at least {model.smallest} pixels, and {task.slug} has {task.pixels}"
    if model.from_scratch:
        return f"{model.slug} is trained on labels per pixel only, and {task.slug} has one per sample"
    absent = missing_bands(model, task)
    return f"{task.slug} lacks {bands_in_words(absent)}, which {model.slug} needs{_cure(model, task, absent)}"


def bands_in_words(names: tuple[str, ...]) -> str:
    """Return the first names of many."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{', '.join(names[:MOST])}{more}"


def spelling(names: tuple[str, ...]) -> str:
    """Return a hint on names of bands that are colours; empty without one."""
    meant = common_names(names)
    return f"; bands have names such as B02 (did you mean {_pairs(meant)}?)" if meant else ""


def _pairs(meant: dict[str, str]) -> str:
    return ", ".join(f"{new} for {old}" for old, new in list(meant.items())[:4])


def _cure(model: ModelSpec, task: TaskSpec, absent: tuple[str, ...]) -> str:
    hint = spelling(task.bands)
    if hint:
        return hint
    if len(absent) == len(model.bands):
        return f" (it has {bands_in_words(task.bands)}); choose another model"
    if model.missing == "refuse" and not model.reads:
        return "; missing = 'fill' with fill_means in the model's entry would fill them with means"
    return ""
