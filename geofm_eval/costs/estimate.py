"""Estimated seconds of cases."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from geofm_eval.catalog import Case, Catalog, TaskSpec
from geofm_eval.costs.forward_pass import operations
from geofm_eval.costs.own import OwnCost
from geofm_eval.costs.table import CostKey, Stages, Table
from geofm_eval.paths import geofm_cache

BESIDES = {"probe": 0.25, "segment": 1.5, "tune": 1.5, "drift": 3.0, "similarity": 0.5, "throughput": 1.5}
"""Seconds per case that its record does not count on the machine of the reference: intervals, reading, writing."""

START = 5.0
"""Seconds on that machine in which a process loads torch."""

DATA = 8.0
"""Seconds on that machine in which the samples of a stand-in are simulated, or those of a data set are inspected."""

OF_MODEL = ("extract", "encode", "train", "search", "floors", "repeat", "forward")
"""Stages that take as long as forward and backward passes."""

TRAINED = ("train", "search", "floors")
"""Stages that take longer with more seeds."""

TRAINING_KINDS = ("segment", "tune")

DEFAULT_SEEDS = 3
"""Seeds per trained case of the reference."""


@dataclass(frozen=True)
class Costs:
    """What is known about costs before a session.

    Args:
        catalog: models and tasks.
        own: costs of earlier sessions with this cache and these options.
        reference: costs of the reference; empty if it says nothing about this device.
        scale: how many times longer this machine needs than the reference's.
        seeds: trainings per trained case.
    """

    catalog: Catalog
    own: Mapping[CostKey, OwnCost]
    reference: Table
    scale: float = 1.0
    seeds: int = DEFAULT_SEEDS

    def stages(self, key: CostKey) -> Stages | None:
        """Return the seconds per stage from the reference, for other models and tasks from the most similar ones.

        Other models count by the operations of a forward pass, other tasks by their number of samples.
        """
        found = self.reference.get(key)
        if found is None:
            known = [one for one in self.reference if one.kind == key.kind]
            if not known:
                return None
            similar = max(known, key=lambda one: self._similarity(one, key))
            passes, samples = self._passes(key) / self._passes(similar), self._samples(key, similar)
            found = {
                stage: seconds * samples * (passes if stage in OF_MODEL else 1.0)
                for stage, seconds in self.reference[similar].items()
            }
        more = self.seeds / DEFAULT_SEEDS
        return {s: seconds * self.scale * (more if s in TRAINED else 1.0) for s, seconds in found.items()}

    def _similarity(self, one: CostKey, key: CostKey) -> tuple[bool, bool, int, float, bool]:
        mine, other = self.catalog.tasks[key.task], self.catalog.tasks.get(one.task)
        if other is None or one.model not in self.catalog.models:
            return (False, False, -1, 0.0, False)
        alike = len({*one.adaptation.split("_")} & {*key.adaptation.split("_")})
        passes = self._passes(one) / self._passes(key)
        return (
            (mine.dense, mine.numeric) == (other.dense, other.numeric),
            mine.slug in (other.slug, other.variant_of) or mine.variant_of == other.slug,
            alike,
            min(passes, 1 / passes),
            one.model == key.model,
        )

    def _passes(self, key: CostKey) -> float:
        """Operations of a forward pass over a sample; controls without parameters are small."""
        task = self.catalog.tasks[key.task]
        return max(operations(self.catalog.models[key.model], task.pixels or 64), 1e7) * (task.dates or 1)

    def _samples(self, key: CostKey, similar: CostKey) -> float:
        mine, other = (_size(self.catalog.tasks[one.task]) for one in (key, similar))
        return mine / other if mine and other else 1.0


def _size(task: TaskSpec) -> int:
    return sum(task.sizes or task.official_sizes or ())


def case_seconds(cases: Iterable[Case], costs: Costs) -> dict[Case, float | None]:
    """Estimate the seconds of cases that run in one session, None where nothing similar is known.

    Seconds that cases share are those of the first one: layers are probed together, probes of a model and data set
    share its features, and a drift case shares the training of its trained case.
    """
    groups: dict[CostKey, list[Case]] = {}
    for case in cases:
        groups.setdefault(CostKey.of(case), []).append(case)
    extracted = {_features(key, costs.catalog) for key in costs.own}
    opened = {_data(key, costs.catalog) for key in costs.own}
    seconds: dict[Case, float | None] = {}
    for key, members in groups.items():
        own, features, data = costs.own.get(key), _features(key, costs.catalog), _data(key, costs.catalog)
        counted = {} if own else _counted(key, costs, features in extracted, groups)
        besides = own.again if own else BESIDES.get(key.kind, 1.0) * costs.scale
        once = 0.0 if data in opened else _opening(key, costs)
        extracted.add(features)
        opened.add(data)
        if counted is None:
            seconds |= dict.fromkeys(members, None)
            continue
        each = besides + (0.0 if key.shared else sum(counted.values()))
        seconds |= dict.fromkeys(members, each)
        seconds[members[0]] = each + once + (sum(counted.values()) if key.shared else 0.0)
    return seconds


def _counted(key: CostKey, costs: Costs, extracted: bool, groups: Collection[CostKey]) -> Stages | None:
    """Seconds of the stages that no case before this one has computed."""
    stages = costs.stages(key)
    if stages is None:
        return None
    trained = key.kind == "drift" and "floors" in stages and any(key._replace(kind=k) in groups for k in TRAINING_KINDS)
    dropped = {"extract"} if extracted else {"train"} if trained else set()
    return {stage: value for stage, value in stages.items() if stage not in dropped}


def _data(key: CostKey, catalog: Catalog) -> str:
    task = catalog.tasks.get(key.task)
    return key.task if task is None else task.root or task.slug


def _features(key: CostKey, catalog: Catalog) -> tuple[str, str, str]:
    """What is extracted once: pooled features, and the maps of a dense probe."""
    return key.kind, key.model, _data(key, catalog)


def _opening(key: CostKey, costs: Costs) -> float:
    """Seconds in which the data are made or inspected; 0 for a stand-in that is in the cache."""
    task = costs.catalog.tasks[key.task]
    return 0.0 if task.standin and (geofm_cache() / "standins" / task.standin).exists() else DATA * costs.scale


def start_seconds(scale: float) -> float:
    """Return the seconds in which a process starts."""
    return START * scale
