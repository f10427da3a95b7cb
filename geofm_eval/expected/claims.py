"""Ranges that no case of the catalog uses: the case was removed, or a model renamed."""

from collections.abc import Iterable

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec, compatible, dense_adaptation
from geofm_eval.catalog.dense import CHOSEN, FINAL, MULTI
from geofm_eval.expected.ranges import Key, Ranges
from geofm_eval.records import fraction_key


def unclaimed(all_ranges: Iterable[Ranges], catalog: Catalog) -> list[str]:
    """Return the names of ranges that no case can use, for example ``eurosat_sim: probe.gone-knn-final.1.0``."""
    return [
        f"{ranges.task}: {key.name}"
        for ranges in all_ranges
        for key in sorted(ranges.ranges)
        if not _claimed(ranges.task, key, catalog)
    ]


def _claimed(task: str, key: Key, catalog: Catalog) -> bool:
    model, adaptation, layer = key.case.split("-")
    if task not in catalog.tasks or model not in catalog.models:
        return False
    spec, backbone = catalog.tasks[task], catalog.models[model]
    if not compatible(backbone, spec):
        return False
    if key.kind == "probe":
        return _probed(spec, backbone, adaptation, layer, key.fraction, catalog)
    found = dense_adaptation(adaptation)
    if found is None or found.pooled == spec.dense or fraction_key(found.fraction) != key.fraction:
        return False
    return layer in (*backbone.taps, MULTI, CHOSEN, FINAL)


def _probed(task: TaskSpec, model: ModelSpec, adaptation: str, layer: str, fraction: str, catalog: Catalog) -> bool:
    probe = catalog.adaptations.get(adaptation)
    fits = probe is not None and task.kind in probe.kinds and probe.pooling in model.poolings
    return fits and layer in model.taps and fraction in map(fraction_key, task.label_fractions)
