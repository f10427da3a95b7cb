"""Cases: which (model, task, adaptation, layer) exist, from the catalog alone, never from what is on disk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from geofm_eval.catalog.specs import Adaptation, ModelSpec, TaskSpec
from geofm_eval.data.bands import canonical
from geofm_eval.errors import ContractError

if TYPE_CHECKING:
    from geofm_eval.catalog.load import Catalog

MAX_CASES = 20_000
SUITES = ("bench", "study", "extended")


@dataclass(frozen=True)
class Case:
    """One measured thing; its id is ``model-task-adaptation-layer``."""

    kind: str
    model: str
    task: str
    adaptation: str
    layer: str

    @property
    def id(self) -> str:
        """Such as ``mae_vits16-eurosat-linear-block07``."""
        return f"{self.model}-{self.task}-{self.adaptation}-{self.layer}"

    @property
    def nodename(self) -> str:
        """Such as ``test_probe[mae_vits16-eurosat-linear-block07]``."""
        return f"test_{self.kind}[{self.id}]"


def missing_bands(model: ModelSpec, task: TaskSpec) -> tuple[str, ...]:
    """Bands of the model that the task lacks or that are not read, in the model's order."""
    given = set(_spelled(task.bands))
    read = given.intersection(_spelled(model.reads)) if model.reads else given
    return tuple(band for band in _spelled(model.bands) if band != "*" and band not in read)


def compatible(model: ModelSpec, task: TaskSpec) -> bool:
    """True when the model can be measured on the task and no other entry measures the same.

    The task must have all of the model's bands, or some and the model allows the rest to be missing. The RGB-only
    variant of a model needs all three, and a task with more of the model's bands: on others it would be the model
    (unless it is an entry of its own, with a patch embedding for RGB).
    Images must not be smaller than what the model can see.
    """
    if task.pixels is not None and task.pixels < model.smallest:
        return False
    if model.from_scratch and not task.dense:
        return False
    if model.reads and model.rgb_only:
        given = set(_spelled(model.bands)).intersection(_spelled(task.bands))
        return given > set(_spelled(model.reads))
    missing = missing_bands(model, task)
    return not missing or (model.missing != "refuse" and len(missing) < len(model.bands))


def suite_tasks(catalog: "Catalog", suite: str) -> list[TaskSpec]:
    """Tasks of a suite; ``extended`` has dense ones only where they are named: all would be more than 20,000 cases."""
    return [t for t in catalog.tasks.values() if suite in t.suites and not (t.dense and suite == "extended")]


def dense_subject(model: ModelSpec, task: TaskSpec, named: bool) -> bool:
    """True when a model takes part in a dense task, by default or because it was named.

    Stand-ins are for models that were made for them: a published model says nothing there, and takes its time.
    """
    if not compatible(model, task) or not (model.depth or model.from_scratch):
        return False
    return named or not task.simulated or model.for_standins


@cache
def _spelled(bands: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(canonical(name) for name in bands)


def probe_cases(
    catalog: "Catalog",
    suite: str = "study",
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    adaptations: Sequence[str] = (),
    layers: Sequence[str] = (),
) -> list[Case]:
    """List the probe cases of a suite, narrowed by exact selections.

    A name that is given explicitly takes part whether or not it is in the suite; a dimension that is not given takes
    the suite's members.

    Raises:
        ContractError: an unknown suite, model, task, adaptation or layer, or more than 20,000 cases.
    """
    if suite not in SUITES:
        raise ContractError(f"suite '{suite}' is unknown; known suites: {', '.join(SUITES)}")
    chosen_models = [catalog.model(m) for m in models] or [m for m in catalog.models.values() if suite in m.suites]
    chosen_tasks = [catalog.task(t) for t in tasks] or suite_tasks(catalog, suite)
    chosen = [catalog.adaptation(a) for a in adaptations] or [
        a for a in catalog.adaptations.values() if suite in a.suites
    ]
    pairs = [(m, t) for m in chosen_models for t in chosen_tasks if _probed(m, t, named=bool(models))]
    cases = list(_expand(pairs, chosen, frozenset(layers)))
    _check_layers(cases, chosen_models, layers)
    if len(cases) > MAX_CASES:
        raise ContractError(f"{len(cases)} cases selected, at most {MAX_CASES} are allowed: narrow --models or --tasks")
    return cases


def _probed(model: ModelSpec, task: TaskSpec, named: bool) -> bool:
    return not model.from_scratch and (dense_subject(model, task, named) if task.dense else compatible(model, task))


def _expand(
    pairs: Iterable[tuple[ModelSpec, TaskSpec]], adaptations: Sequence[Adaptation], layers: frozenset[str]
) -> Iterable[Case]:
    for model, task in pairs:
        for adaptation in adaptations:
            if task.kind not in adaptation.kinds or adaptation.pooling not in model.poolings:
                continue
            for tap in model.taps:
                if not layers or tap in layers:
                    yield Case("probe", model.slug, task.slug, adaptation.slug, tap)


def _check_layers(cases: Sequence[Case], models: Sequence[ModelSpec], layers: Sequence[str]) -> None:
    known = {tap for m in models for tap in m.taps}
    unknown = [name for name in layers if name not in known]
    if unknown:
        raise ContractError(f"layers {unknown} exist in none of the selected models; known: {', '.join(sorted(known))}")
