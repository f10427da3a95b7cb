"""Dense cases: which (model, task, adaptation, layer) are trained, from the catalog only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from geofm_eval.catalog.cases import Case, belongs, dense_subject, only_bench, suite_tasks
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.tasks import TaskSpec
from geofm_eval.errors import ContractError

if TYPE_CHECKING:
    from geofm_eval.catalog.load import Catalog

KIND = "segment"
"""Kind of the cases that train a decoder, including those with a target per pixel."""

POOLED = "pooled"
"""The linear decoder on pooled features: the only one for tasks with one label per sample, and only for these."""

HEADS = (POOLED, "tokenlinear", "single", "single_w064", "lightms", "upernet", "upernet_w064")
TUNINGS = ("frozen", "full", "lora", "lora_fc1", "lnbias")
LORA_PARTS: Mapping[str, tuple[str, ...]] = {"lora": ("q", "k", "v", "attn_proj"), "lora_fc1": ("fc1",)}
"""Parts of every block with a low-rank update."""

VARIANTS = ("long", "aug", "up2", "dateweights")
NARROW = {"single": "single_w064", "upernet": "upernet_w064"}
"""Decoders of 64 channels that replace the wide ones on a CPU; no table has both."""

MULTI, CHOSEN, FINAL = "multi", "chosen", "final"
"""Layers of cases: several blocks, the block that the dense probe chose on validation, or the last tap."""

PATTERN = "<decoder>_<tuning>_p<percent in three digits>, for example lightms_frozen_p010 or pooled_full_p100"
"""Spelling of a dense adaptation, for messages."""

DEPTH = 12
FOUR_BLOCKS = (3, 5, 7, 11)
"""Blocks of twelve that decoders with four feature maps read (PANGAEA, arXiv 2412.04204)."""
SINGLE_BLOCKS = (5, 7, 11)

_SLUG = re.compile(
    rf"(?P<head>{'|'.join(sorted(HEADS, key=len, reverse=True))})(?:_(?P<blocks>same|probe))?"
    rf"_(?P<tuning>{'|'.join(sorted(TUNINGS, key=len, reverse=True))})"
    rf"_p(?P<percent>\d{{3}})(?:_(?P<variant>{'|'.join(VARIANTS)}))?"
)


@dataclass(frozen=True)
class DenseAdaptation:
    """How a backbone is used for a dense task: decoder, tuning and labels; ``upernet_frozen_p010`` in ids.

    Args:
        head: decoder, one of ``HEADS``.
        tuning: part of the backbone that is trained, one of ``TUNINGS``.
        fraction: proportion of the training chips.
        blocks: what a decoder with four maps reads: the usual four (empty), one block four times (``same``), or the
            four that the dense probe chose on validation (``probe``).
        variant: ``long`` trains a fraction for the number of steps of all labels; ``aug`` encodes with a frozen
            backbone again in every epoch, with random crops and flips; ``up2`` feeds windows of half the size,
            upsampled twofold; ``dateweights`` mixes the dates of a series linearly, by one weight each, instead of by
            attention.
    """

    head: str
    tuning: str
    fraction: float
    blocks: str = ""
    variant: str = ""

    @property
    def slug(self) -> str:
        """Spelling in ids: ``lightms_lora_p100``."""
        parts = (self.head, self.blocks, self.tuning, f"p{round(self.fraction * 100):03d}", self.variant)
        return "_".join(part for part in parts if part)

    @property
    def single(self) -> bool:
        """Whether the decoder reads one tap."""
        return self.head.startswith(("single", "tokenlinear", POOLED))

    @property
    def pooled(self) -> bool:
        """Whether it is for tasks with one label per sample."""
        return self.head == POOLED


def dense_adaptation(slug: str) -> DenseAdaptation | None:
    """Read a slug; None if it is not a dense adaptation."""
    found = _SLUG.fullmatch(slug)
    if found is None or not 1 <= int(found["percent"]) <= 100:
        return None
    made = DenseAdaptation(
        found["head"], found["tuning"], int(found["percent"]) / 100, found["blocks"] or "", found["variant"] or ""
    )
    lengthens_all = made.variant == "long" and made.fraction == 1
    encodes_anyway = made.variant == "aug" and made.tuning != "frozen"
    needs_maps = made.pooled and made.variant not in ("", "long")
    return None if lengthens_all or encodes_anyway or needs_maps or (made.single and made.blocks) else made


def narrowed(adaptation: DenseAdaptation) -> DenseAdaptation:
    """Return the adaptation with a decoder for CPUs."""
    return replace(adaptation, head=NARROW.get(adaptation.head, adaptation.head))


def scaled_block(block: int, depth: int) -> int:
    """Return the block of a backbone of ``depth`` blocks at the relative depth of ``block`` among twelve.

    Raises:
        ContractError: ``block`` is not one of twelve, or the backbone has no blocks.
    """
    if not 0 <= block < DEPTH:
        raise ContractError(f"found block {block}, expected one of 0 to {DEPTH - 1}")
    if depth < 1:
        raise ContractError("the backbone has no blocks: read only its tap 'final'")
    return max(round((block + 1) * depth / DEPTH), 1) - 1


def block_taps(blocks: Sequence[int], depth: int) -> tuple[str, ...]:
    """Return the taps of a backbone of ``depth`` blocks for some blocks of twelve.

    Raises:
        ContractError: the backbone has too few blocks, or as in :func:`scaled_block`.
    """
    ordered = sorted(set(blocks))
    if len(ordered) > depth:
        raise ContractError(
            f"the decoder reads {len(ordered)} blocks ({', '.join(map(str, blocks))} of {DEPTH}), but the backbone has "
            f"only {depth}: choose a decoder that reads fewer blocks"
        )
    places: dict[int, int] = {}
    for number, block in enumerate(ordered):
        # Rounding may map two blocks to one place; the deeper one then moves on, and all leave room for the rest.
        earliest = places[ordered[number - 1]] + 1 if number else 0
        latest = depth - (len(ordered) - number)
        places[block] = min(max(scaled_block(block, depth), earliest), latest)
    return tuple(f"block{places[block]:02d}" for block in blocks)


def usual_taps(adaptation: DenseAdaptation, layer: str, model: ModelSpec) -> tuple[str, ...] | None:
    """Return the taps that a decoder reads in a case; None if the dense probe chooses them.

    Raises:
        ContractError: the model has too few blocks.
    """
    if layer == CHOSEN or adaptation.blocks == "probe":
        return None
    if adaptation.blocks == "same":
        return (layer,) * len(FOUR_BLOCKS)
    return block_taps(FOUR_BLOCKS, model.depth) if layer == MULTI else (layer,)


def dense_cases(
    catalog: "Catalog",
    suite: str = "study",
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    adaptations: Sequence[str] = (),
    training: str | None = None,
) -> list[Case]:
    """List the dense cases of a suite, narrowed by exact selections.

    The cases of a suite depend on the task's ``design`` and on the model: backbone, random twin, RGB-only variant, or
    network trained from scratch. Stand-ins are for models that were made for them, and for models that are named.

    Args:
        catalog: models and tasks.
        suite: ``bench``, ``study`` or ``extended``.
        models: slugs; empty takes the suite's.
        tasks: slugs; empty takes the suite's.
        adaptations: slugs, which need not be in the suite; empty takes the suite's.
        training: recipe of the training; None selects ``quick`` on stand-ins and ``pangaea`` on real data. With
            ``quick``, decoders for CPUs replace the wide ones.
    """
    chosen_models = [catalog.model(m) for m in models] or list(catalog.models.values())
    chosen_tasks = [catalog.task(t) for t in tasks] or suite_tasks(catalog, suite)
    return [
        case
        for model, task in product(chosen_models, chosen_tasks)
        if task.dense and dense_subject(model, task, named=bool(models))
        if models or _takes_part(model, task, suite, catalog, named=bool(tasks))
        if adaptations or models or not only_bench(suite, task) or model.slug in (task.bench_models or (model.slug,))
        for case in _cases(model, task, suite, adaptations, training_recipe_of(task, training) == "quick")
    ]


def training_recipe_of(task: TaskSpec, training: str | None) -> str:
    """Return the slug of the training recipe: by default ``quick`` for stand-ins and ``pangaea`` for real data."""
    return training or ("quick" if task.simulated else "pangaea")


def _takes_part(model: ModelSpec, task: TaskSpec, suite: str, catalog: "Catalog", named: bool) -> bool:
    """Whether a model that is not named is measured; ``named`` is true if the task is named."""
    own_task = () if named else (task,)
    # RGB-only variants are in no suite of probes, but are needed here to compare with the ImageNet model.
    if model.rgb_only:
        return not only_bench(suite, task) and belongs(suite, task, *own_task)
    # Probes compare pretrainings of one kind; trainings are expensive and must be selected by name.
    again = model.simulated_pretraining and model.variant_of is not None
    if again and catalog.model(str(model.variant_of)).bands == model.bands:
        return False
    return belongs(suite, task, model, *own_task)


def _cases(model: ModelSpec, task: TaskSpec, suite: str, adaptations: Sequence[str], narrow: bool) -> Iterator[Case]:
    if adaptations:
        read = (dense_adaptation(slug) for slug in adaptations)
        asked = [found for found in read if found is not None and not found.pooled]
        pairs = [(one, layer) for one in asked for layer in _layers(model, one)]
    else:
        pairs = [
            (narrowed(one) if narrow else one, layer)
            for one in _suite_adaptations(model, task, suite)
            for layer in _layers(model, one)
        ]
    for adaptation, layer in pairs:
        yield Case(KIND, model.slug, task.slug, adaptation.slug, layer)


def _suite_adaptations(model: ModelSpec, task: TaskSpec, suite: str) -> list[DenseAdaptation]:
    if only_bench(suite, task) and task.design == "factorial":
        return _bench(model)
    if model.from_scratch:
        fractions = (0.1, 1.0) if task.design == "factorial" else (1.0,)
        return [DenseAdaptation("tokenlinear", "full", fraction) for fraction in fractions]
    if model.rgb_only:
        return [DenseAdaptation("upernet", "frozen", 1.0)]
    if task.design != "factorial":
        tunings = ("frozen", "full") if model.is_control else ("frozen",)
        return [DenseAdaptation("upernet", tuning, 1.0) for tuning in tunings]
    return _twin() if model.is_control else _factorial(task, suite)


def _bench(model: ModelSpec) -> list[DenseAdaptation]:
    """One light decoder, frozen and fully tuned, at 10 and 100 % of the labels: minutes on a CPU."""
    # No suite has frozen random twins at 10 % of the labels.
    fractions = {"frozen": (1.0,) if model.is_control else (0.1, 1.0), "full": (0.1, 1.0)}
    return [DenseAdaptation("lightms", tuning, fraction) for tuning, own in fractions.items() for fraction in own]


def _twin() -> list[DenseAdaptation]:
    tuned = [DenseAdaptation(head, "full", fraction) for head in ("upernet", "lightms") for fraction in (0.1, 1.0)]
    return [DenseAdaptation("lightms", "frozen", 1.0), *tuned]


def _factorial(task: TaskSpec, suite: str) -> list[DenseAdaptation]:
    """{frozen, tuned} x {10 %, 100 %} x decoder, and further cases that explain the differences."""
    cells = [
        DenseAdaptation(head, tuning, fraction)
        for tuning in ("frozen", "full")
        for fraction in (0.1, 1.0)
        for head in ("upernet", "lightms", "single")
    ]
    further = [
        DenseAdaptation("tokenlinear", "frozen", 1.0),
        DenseAdaptation("upernet", "frozen", 1.0, "same"),
        DenseAdaptation("upernet", "frozen", 1.0, "probe"),
        *(DenseAdaptation("lightms", tuning, 1.0) for tuning in ("lora", "lora_fc1", "lnbias")),
        *(DenseAdaptation("lightms", tuning, 0.1, variant="long") for tuning in ("frozen", "full")),
        DenseAdaptation("lightms", "frozen", 1.0, variant="up2"),
    ]
    series = [DenseAdaptation("lightms", "frozen", 1.0, variant="dateweights")] if task.dates else []
    once = [DenseAdaptation("lightms", "frozen", 1.0, variant="aug")] if suite == "extended" else []
    return [*cells, *further, *series, *once]


def _layers(model: ModelSpec, adaptation: DenseAdaptation) -> tuple[str, ...]:
    """Layers of a model that a decoder can read; none for decoders of four maps if the model has too few blocks."""
    if model.from_scratch:
        return (FINAL,) if adaptation.head == "tokenlinear" and adaptation.tuning == "full" else ()
    if adaptation.variant == "up2" and model.image_size is None:
        return ()  # only models with a fixed input size enlarge their input
    last = f"block{model.depth - 1:02d}"
    if adaptation.head == "tokenlinear" or adaptation.blocks == "same":
        return (last,)
    if adaptation.single:
        blocks = dict.fromkeys(f"block{scaled_block(block, model.depth):02d}" for block in SINGLE_BLOCKS)
        chosen = (CHOSEN,) if adaptation.tuning == "frozen" and adaptation.fraction == 1 else ()
        return (*blocks, *chosen)
    return (MULTI,) if model.depth >= len(FOUR_BLOCKS) else ()
