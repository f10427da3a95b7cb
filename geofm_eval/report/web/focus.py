"""Charts for the author of a model: one model in colour among others in grey, and old next to new weights."""

from collections.abc import Mapping
from dataclasses import replace

from geofm_eval.answer import TaskAnswer
from geofm_eval.answer.tasks import PROBES
from geofm_eval.compare import CaseVerdict, RunComparison
from geofm_eval.report.drawing import GREY
from geofm_eval.report.probes.curves import DepthProfile, profile_of
from geofm_eval.report.web.charts import Spec, change_chart, depth_chart
from geofm_eval.report.web.palette import COLOURS, LineStyle
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.run import PROBE, Run

MOST = 24
"""Charts of old and new weights on a page."""

CHANGES = "changes"
"""Anchor of the section of charts of old and new weights."""


def focused_styles(styles: Mapping[str, LineStyle], model: str) -> dict[str, LineStyle]:
    """Return styles in which only one model has a colour."""
    grey = {name: replace(style, colour=GREY) for name, style in styles.items()}
    return {**grey, model: LineStyle(COLOURS[0], (1, 0), control=False)}


def focused_depth_chart(answer: TaskAnswer, styles: Mapping[str, LineStyle]) -> Spec | None:
    """Return the depth chart with the line of the only choice above all others."""
    spec = depth_chart(answer, styles)
    if spec is not None:
        model = answer.choices[0].model
        spec["data"]["values"].sort(key=lambda point: point["model"] == model)
    return spec


def change_charts(found: RunComparison, model: str = "") -> list[tuple[str, Spec]]:
    """Return label and chart of every model and task whose primary probes differ between two runs.

    Each task has one probe, as in the answer.

    Args:
        found: old and new run.
        model: only this model; empty for all.
    """
    cases: dict[tuple[str, str], CaseVerdict] = {}
    for case in sorted((one for one in found.primary if not one.identical), key=_preference):
        own = case.new.case
        if own.kind == PROBE and model in ("", own.model):
            cases.setdefault((own.model, own.task), case)
    drawn = [_drawn(found, case) for case in cases.values()]
    return [one for one in drawn if one is not None][:MOST]


def _preference(case: CaseVerdict) -> tuple[str, str, int]:
    own = case.new.case
    probe = PROBES.index(own.adaptation) if own.adaptation in PROBES else len(PROBES)
    return own.model, own.task, probe


def _drawn(found: RunComparison, case: CaseVerdict) -> tuple[str, Spec] | None:
    old, new = _profile(found.old, case), _profile(found.new, case)
    if old is None or new is None:
        return None
    profiles = {f"old: {found.old.name}": old, f"new: {found.new.name}": new}
    own = case.new.case
    label = f"{own.model} on {own.task} ({own.adaptation}): score against relative depth, old weights dashed"
    return label, change_chart(case.new, case.full.fraction, profiles, COLOURS[0])


def _profile(run: Run, case: CaseVerdict) -> DepthProfile | None:
    """The profile of a case's model in one of the runs; None with a single tap."""
    own = case.new.case
    for one in comparisons(run)[0]:
        if (one.record.case.task, one.record.case.adaptation) == (own.task, own.adaptation):
            for subject in one.subjects:
                profile = profile_of(subject, case.full.fraction)
                if subject.model == own.model and len(profile.points) > 1:
                    return profile
    return None
