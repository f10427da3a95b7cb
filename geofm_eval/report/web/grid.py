"""The table of models and tasks: what the page shows, sorts and filters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geofm_eval.answer import TaskAnswer
from geofm_eval.catalog import Catalog, dense_adaptation
from geofm_eval.ranking import Entry, Ordering
from geofm_eval.records import display_name
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.results.run import PROBE
from geofm_eval.results.units import of_labels, unit_named

BYTES = 4
"""Bytes of a parameter in float32."""


def models_of(orders: Iterable[Ordering], catalog: Catalog, styles: Mapping[str, LineStyle]) -> list[dict[str, Any]]:
    """Return a row per model of the settings: names, costs, licence and style; backbones first."""
    records = {entry.model: entry.record for one in orders for entry in one.setting.entries}
    found = []
    for model, record in records.items():
        spec, cost = catalog.models.get(model), record.cost
        size = None if record.training is not None or not cost.parameters else cost.parameters * BYTES / 1e6
        found.append({
            "model": model,
            "name": display_name(record, short=True),
            "title": model if spec is None else spec.title,
            "control": record.case.is_control,
            "mb": None if size is None else float(f"{size:.3g}"),
            "speed": None if not cost.images_per_second else float(f"{cost.images_per_second:.3g}"),
            "licence": "" if spec is None else spec.licence,
            "commercial": "" if spec is None else spec.commercial,
            "colour": styles[model].colour,
            "dash": " ".join(map(str, styles[model].dash)),
        })  # fmt: skip
    return sorted(found, key=lambda one: (one["control"], one["model"]))


def settings_of(orders: Sequence[Ordering], answers: Sequence[TaskAnswer]) -> list[dict[str, Any]]:
    """Return the settings with the scores of their models; those that give the answer on their task come first."""
    main = {answer.setting.name for answer in answers}
    ordered = sorted(orders, key=lambda one: (one.setting.name not in main, one.setting.task, one.setting.name))
    return [_setting(one, one.setting.name in main) for one in ordered]


def _setting(one: Ordering, main: bool) -> dict[str, Any]:
    setting = one.setting
    unit = unit_named(setting.score.metric, setting.record.provenance.target_unit)
    adaptation = dense_adaptation(setting.adaptation)
    trained = setting.record.case.kind != PROBE and adaptation is not None
    return {
        "task": setting.task,
        "evidence": setting.record.evidence,
        "head": adaptation.head if trained and adaptation else setting.adaptation,
        "tuning": adaptation.tuning if trained and adaptation else "frozen",
        "labels": of_labels(setting.record.scores, setting.entries[0].fraction),
        "fraction": setting.fraction,
        "metric": unit.label,
        "higher": setting.score.direction == "higher",
        "main": main,
        "control": setting.control,
        "n": setting.score.n,
        "cells": {entry.model: _cell(entry, one) for entry in setting.entries},
    }


def _cell(entry: Entry, one: Ordering) -> dict[str, Any]:
    unit = unit_named(entry.score.metric)
    standing, interval = one.standings.get(entry.model), entry.score.interval
    return {
        "value": round(entry.score.value * unit.factor, unit.decimals),
        "text": unit.value(entry.score.value),
        "interval": "" if interval is None else f"{unit.value(interval.low)} to {unit.value(interval.high)}",
        "group": "" if standing is None else standing.group,
        "tap": entry.record.case.layer,
    }
