"""Cases: which (model, task, adaptation, layer) exist, from the catalog alone, never from what is on disk."""

from collections.abc import Iterable, Sequence
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
        """Case id: ``mae_vits16-eurosat-linear-block07``."""
        return f"{self.model}-{self.task}-{self.adaptation}-{self.layer}"

    @property
    def nodename(self) -> str:
        """Name of its test: ``test_probe[mae_vits16-eurosat-linear-block07]``."""
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


def suites_of(suite: str, task: TaskSpec) -> tuple[str, ...]:
    """Suites whose members a suite measures on a task.

    On real data they are its own. On stand-ins ``study`` has the cases of ``bench`` alone, so that a study does not
    spend hours on simulated data, and ``extended`` has the cases of all suites.
    """
    counted = {"study": ("bench",), "extended": SUITES} if task.simulated else {}
    return counted.get(suite, (suite,))


def only_bench(suite: str, task: TaskSpec) -> bool:
    """True where a suite has no other cases on a task than ``bench`` has."""
    return suites_of(suite, task) == ("bench",)


def belongs(suite: str, task: TaskSpec, *members: ModelSpec | TaskSpec | Adaptation) -> bool:
    """True when one of the suites that count on a task holds all of some entries; what was named need not be held."""
    return any(all(one in member.suites for member in members) for one in suites_of(suite, task))


def suite_tasks(catalog: "Catalog", suite: str) -> list[TaskSpec]:
    """Tasks of a suite; ``extended`` has real dense ones only where they are named: all would be too many cases."""
    dense = suite != "extended"
    return [t for t in catalog.tasks.values() if belongs(suite, t, t) and (dense or t.simulated or not t.dense)]


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
    chosen_models = [catalog.model(m) for m in models] or list(catalog.models.values())
    chosen_tasks = [catalog.task(t) for t in tasks] or suite_tasks(catalog, suite)
    chosen = [catalog.adaptation(a) for a in adaptations] or list(catalog.adaptations.values())
    triples = [
        (m, t, a)
        for m, t in product(chosen_models, chosen_tasks)
        if _probed(m, t, named=bool(models))
        for a in chosen
        if belongs(suite, t, *(one for one, named in ((m, models), (t, tasks), (a, adaptations)) if not named))
    ]
    cases = list(_expand(triples, frozenset(layers)))
    _check_layers(cases, [m for m in chosen_models if models or suite in m.suites], layers)
    if len(cases) > MAX_CASES:
        raise ContractError(f"{len(cases)} cases selected, at most {MAX_CASES} are allowed: narrow --models or --tasks")
    return cases


def _probed(model: ModelSpec, task: TaskSpec, named: bool) -> bool:
    return not model.from_scratch and (dense_subject(model, task, named) if task.dense else compatible(model, task))


def _expand(triples: Iterable[tuple[ModelSpec, TaskSpec, Adaptation]], layers: frozenset[str]) -> Iterable[Case]:
    for model, task, adaptation in triples:
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
