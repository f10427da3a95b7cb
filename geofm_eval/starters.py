"""Starter models: a few published models that fit some tasks, chosen from the catalog by a fixed rule, and controls.

The rule is in docs/bring_data.md. It depends on the catalog and on which weights can be obtained, not on any result.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec, compatible, missing_bands
from geofm_eval.catalog.bands import SENTINEL1, canonical
from geofm_eval.errors import ContractError
from geofm_eval.gaps import model_gap

STARTER = "starter"
"""Name that stands for the starter models where models are named."""

MOST = 6
SMALL = 100e6
"""Parameters below which a model counts as small."""

CONTROLS = ("band_stats", "rcf")
EMBEDDINGS = ("table", "pixels")
"""Architectures of embeddings that a user brings."""


@dataclass(frozen=True)
class Starters:
    """Starter models of some tasks.

    Args:
        models: chosen models, the best fitting first.
        embeddings: the user's own embeddings for these tasks.
        controls: random twins of the chosen models whose weights are here (of the smallest, if none is), and controls
            without training. A twin costs as much as its model and says little without it.
    """

    models: tuple[ModelSpec, ...]
    embeddings: tuple[ModelSpec, ...]
    controls: tuple[ModelSpec, ...]

    @property
    def slugs(self) -> tuple[str, ...]:
        """Names of all of them, each once."""
        return tuple(dict.fromkeys(model.slug for model in (*self.models, *self.embeddings, *self.controls)))


def choose_starters(catalog: Catalog, tasks: Sequence[TaskSpec]) -> Starters:
    """Choose starter models for some tasks.

    Raises:
        ContractError: no model of the catalog fits any of the tasks.
    """
    fitting = [model for model in catalog.models.values() if any(compatible(model, task) for task in tasks)]
    suited = _pretrained if not tasks or any(not task.simulated for task in tasks) else _pocket
    ranked = sorted(filter(suited, fitting), key=lambda model: _rank(model, tasks))
    chosen = _varied(ranked)
    here = [model for model in chosen if model_gap(model) is None] or sorted(chosen, key=_size)[:1]
    twins = [model.twin or f"{model.slug}_random" for model in here]
    controls = [model for model in fitting if model.slug in (*twins, *CONTROLS)]
    brought = [model for model in fitting if model.architecture in EMBEDDINGS]
    found = Starters(tuple(chosen), tuple(brought), tuple(controls))
    if not found.slugs:
        names = ", ".join(task.slug for task in tasks)
        raise ContractError(
            f"no model of the catalog reads the bands of {names[:120]}: name models instead of {STARTER}"
        )
    return found


def expanded(names: Sequence[str], catalog: Catalog, tasks: Sequence[TaskSpec]) -> tuple[str, ...]:
    """Replace the name ``starter`` in a selection of models by the starter models of some tasks."""
    if STARTER not in names:
        return tuple(names)
    chosen = choose_starters(catalog, tasks).slugs
    parts: Iterable[tuple[str, ...]] = (chosen if name == STARTER else (name,) for name in names)
    return tuple(dict.fromkeys(slug for part in parts for slug in part))


def product_matches(model: ModelSpec, task: TaskSpec) -> bool:
    """Return whether a model was trained on the products of the bands that it reads from a task."""
    missing = missing_bands(model, task)
    read = [
        name for name in map(canonical, task.bands if model.bands == ("*",) else model.bands) if name not in missing
    ]
    pairs: list[tuple[str | None, str | None]] = []
    if any(name not in SENTINEL1 for name in read):
        pairs.append((model.product, task.product))
    if any(name in SENTINEL1 for name in read):
        pairs.append((model.radar_product, task.radar_product))
    return all("any" in pair or None in pair or pair[0] == pair[1] for pair in pairs)


def _pretrained(model: ModelSpec) -> bool:
    """A published model as it was trained, whose weights are here or can be downloaded."""
    published = not (model.is_control or model.simulated_pretraining or model.from_scratch or model.rgb_only)
    if not published or model.weights is None or ":" in model.architecture:
        return False
    address = model.weights.url is not None or model.weights.enum is not None
    return address or model_gap(model) is None


def _pocket(model: ModelSpec) -> bool:
    return model.simulated_pretraining and model.variant_of is None


def _rank(model: ModelSpec, tasks: Sequence[TaskSpec]) -> tuple[float, ...]:
    """Smaller is better: tasks that it cannot read or whose product differs, size, missing bands, absent weights."""
    read = [task for task in tasks if compatible(model, task)]
    missing = sum(len(missing_bands(model, task)) / len(model.bands) for task in read)
    return (
        len(tasks) - len(read),
        sum(not product_matches(model, task) for task in read),
        float(not _small(model)),
        missing,
        float(model_gap(model) is not None),
        _size(model),
    )


def _small(model: ModelSpec) -> bool:
    return _size(model) < SMALL


def _size(model: ModelSpec) -> float:
    return float(model.parameters or SMALL)


def _varied(ranked: Sequence[ModelSpec]) -> list[ModelSpec]:
    """The best model of every family, then further small ones; never two of one family and publisher."""
    first = _one_per(ranked, lambda model: (model.family,))
    small = [model for model in ranked if _small(model)]
    others = _one_per([*first, *small], lambda model: (model.family, model.source))
    kept = [*first, *(model for model in others if model not in first)][:MOST]
    return [model for model in ranked if model in kept]


def _one_per(models: Sequence[ModelSpec], key: Callable[[ModelSpec], tuple[str, ...]]) -> list[ModelSpec]:
    found: dict[tuple[str, ...], ModelSpec] = {}
    for model in models:
        found.setdefault(key(model), model)
    return list(found.values())
