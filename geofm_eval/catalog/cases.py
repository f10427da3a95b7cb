"""Cases: which (model, task, adaptation, layer) exist, from the catalog only, not from what is on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from geofm_eval.catalog.bands import canonical
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.recipes import Adaptation
from geofm_eval.catalog.tasks import TaskSpec
from geofm_eval.errors import ContractError

if TYPE_CHECKING:
    from geofm_eval.catalog.load import Catalog

MAX_CASES = 30_000
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
        """Id of the case, for example ``mae_vits16-eurosat-linear-block07``."""
        return f"{self.model}-{self.task}-{self.adaptation}-{self.layer}"

    @property
    def nodename(self) -> str:
        """Name of the test, for example ``test_probe[mae_vits16-eurosat-linear-block07]``."""
        return f"test_{self.kind}[{self.id}]"


def missing_bands(model: ModelSpec, task: TaskSpec) -> tuple[str, ...]:
    """Return the bands of the model that the task lacks or that are not read, in the model's order."""
    given = set(_spelled(task.bands))
    read = given.intersection(_spelled(model.reads)) if model.reads else given
    return tuple(band for band in _spelled(model.bands) if band != "*" and band not in read)


def compatible(model: ModelSpec, task: TaskSpec) -> bool:
    """Return whether the model can be measured on the task and no other entry measures the same.

    The task must have all bands of the model, or some if the model allows missing bands. The RGB-only variant of a
    model needs all three and a task with further bands of the model, because it would equal the model on others (unless
    it is an entry with its own patch embedding for RGB). Images must not be smaller than ``ModelSpec.smallest``.
    Embeddings from files have one row per sample of the tasks that they name; other models need pixels.
    """
    if model.tasks and task.slug not in model.tasks:
        return False
    if model.precomputed:
        return not task.dense
    if not task.bands:
        return False
    if task.pixels is not None and task.pixels < model.smallest:
        return False
    if model.from_scratch and not task.dense:
        return False
    if model.reads and model.rgb_only:
        given = set(_spelled(model.bands)).intersection(_spelled(task.bands))
        return given > set(_spelled(model.reads))
    missing = missing_bands(model, task)
    return not missing or (model.missing != "refuse" and len(missing) < len(model.bands))


def suites_of(suite: str, task: TaskSpec) -> tuple[str, ...]:
    """Return the suites whose members a suite measures on a task.

    On real data, that is the suite itself. On stand-ins, ``study`` has only the cases of ``bench``, which saves hours
    on simulated data, and ``extended`` has the cases of all suites.
    """
    counted = {"study": ("bench",), "extended": SUITES} if task.simulated else {}
    return counted.get(suite, (suite,))


def only_bench(suite: str, task: TaskSpec) -> bool:
    """Return whether a suite has only the cases of ``bench`` on a task."""
    return suites_of(suite, task) == ("bench",)


def belongs(suite: str, task: TaskSpec, *members: ModelSpec | TaskSpec | Adaptation) -> bool:
    """Return whether one of the suites that count on a task contains all given entries."""
    return any(all(one in member.suites for member in members) for one in suites_of(suite, task))


def suite_tasks(catalog: "Catalog", suite: str) -> list[TaskSpec]:
    """Return the tasks of a suite; real dense tasks of ``extended`` must be named, or it would be too large."""
    dense = suite != "extended"
    return [t for t in catalog.tasks.values() if belongs(suite, t, t) and (dense or t.simulated or not t.dense)]


def dense_subject(model: ModelSpec, task: TaskSpec, named: bool) -> bool:
    """Return whether a model is measured on a dense task, by default or because it is named.

    Dense stand-ins are only for models made for them: published models take long there and show nothing.
    """
    if not compatible(model, task) or not (model.depth or model.from_scratch):
        return False
    return named or not task.simulated or model.for_standins


def _maps(model: ModelSpec, task: TaskSpec, named: bool) -> bool:
    """Whether the pixels of a raster are probed as they are; there is nothing to train."""
    return model.without_network and compatible(model, task) and (named or not task.simulated)


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

    Names that are given are selected even if they are not in the suite; if none are given, the suite's members are.

    Raises:
        ContractError: an unknown suite, model, task, adaptation or layer, or more than ``MAX_CASES`` cases.
    """
    if suite not in SUITES:
        raise ContractError(f"suite '{suite}' is unknown; known suites: {', '.join(SUITES)}")
    chosen_models = [catalog.model(m) for m in models] or list(catalog.models.values())
    chosen_tasks = [catalog.task(t) for t in tasks] or suite_tasks(catalog, suite)
    chosen = [catalog.adaptation(a) for a in adaptations] or list(catalog.adaptations.values())
    cases = [
        Case("probe", m.slug, t.slug, a.slug, tap)
        for m, t in product(chosen_models, chosen_tasks)
        if _probed(m, t, named=bool(models))
        for a in chosen
        if belongs(suite, t, *(one for one, named in ((m, models), (t, tasks), (a, adaptations)) if not named))
        if t.kind in a.kinds and a.pooling in m.poolings
        for tap in m.taps
        if not layers or tap in layers
    ]
    _check_layers([m for m in chosen_models if models or suite in m.suites], layers)
    if len(cases) > MAX_CASES:
        raise ContractError(
            f"{len(cases)} cases are selected, expected at most {MAX_CASES}; narrow --models or --tasks"
        )
    return cases


def _probed(model: ModelSpec, task: TaskSpec, named: bool) -> bool:
    if not task.dense:
        return not model.from_scratch and compatible(model, task)
    return not model.from_scratch and (dense_subject(model, task, named) or _maps(model, task, named))


def _check_layers(models: Sequence[ModelSpec], layers: Sequence[str]) -> None:
    known = {tap for m in models for tap in m.taps}
    unknown = [name for name in layers if name not in known]
    if unknown:
        raise ContractError(f"no selected model has layer {', '.join(unknown)}; known: {', '.join(sorted(known))}")
