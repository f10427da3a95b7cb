"""Recipes of dense trainings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from geofm_eval.errors import ContractError

DTYPES = ("float32", "bf16")


@dataclass(frozen=True)
class TrainingRecipe:
    """Schedule of a training with AdamW.

    Args:
        slug: name of the recipe.
        epochs: passes over the training set with all labels.
        validate_every: epochs between validations; the last epoch is validated too.
        batch: chips per step.
        rate: initial learning rate.
        rates: learning rates that are tried for a tuned backbone; validation chooses one.
        decay: weight decay.
        milestones: proportions of all steps, rounded down, after which the rate is multiplied by ``factor``.
        flips: whether crops that are encoded in every epoch are mirrored at random.
        drop_last: whether an epoch leaves out an incomplete last batch, unless it is the only one.
        temporal: mix over dates, ``ltae`` or ``linear``.
        dtype: dtype of forward passes, ``float32`` or ``bf16`` (automatic mixed precision). Weights, losses and stored
            feature maps remain float32.
    """

    slug: str
    epochs: int
    validate_every: int
    batch: int = 8
    rate: float = 1e-4
    rates: tuple[float, ...] = (3e-5, 1e-4, 3e-4)
    decay: float = 0.05
    milestones: tuple[float, ...] = (0.6, 0.9)
    factor: float = 0.1
    flips: bool = False
    drop_last: bool = False
    temporal: str = "ltae"
    dtype: str = "float32"

    def identity(self) -> dict[str, Any]:
        """Return all fields, for keys and records."""
        return asdict(self)


RECIPES: Mapping[str, TrainingRecipe] = {
    recipe.slug: recipe
    for recipe in (
        # PANGAEA (arXiv 2412.04204); docs/parity.md lists differences from its published numbers.
        TrainingRecipe("pangaea", epochs=80, validate_every=5, drop_last=True),
        # For CPUs and small data: fewer epochs, and the rates that small networks need.
        TrainingRecipe("quick", epochs=30, validate_every=5, rate=1e-3, rates=(3e-4, 1e-3, 3e-3), flips=True),
    )
}


EPOCHS_OF_ITEMS, BATCH_OF_ITEMS = 20, 16


def for_items(recipe: TrainingRecipe, batch: int | None = None) -> TrainingRecipe:
    """Return the schedule for tasks with one label per sample, which have more samples than others have chips.

    Args:
        recipe: recipe with the learning rates and decay.
        batch: samples per step; another number than the usual one changes the recipe's name.

    Raises:
        ContractError: a batch of fewer than two.
    """
    slug = f"{recipe.slug}_items"
    usual = replace(recipe, slug=slug, epochs=EPOCHS_OF_ITEMS, validate_every=2, batch=BATCH_OF_ITEMS)
    usual = replace(usual, flips=True, drop_last=False)
    return _of_batch(usual, batch)


def training_recipe(slug: str, batch: int | None = None, dtype: str = "float32") -> TrainingRecipe:
    """Look up a recipe; another batch or dtype changes its name.

    Args:
        slug: name of the recipe.
        batch: chips per step; None uses the recipe's.
        dtype: dtype of forward passes, one of ``DTYPES``.

    Raises:
        ContractError: an unknown recipe or dtype, or a batch too small for batch normalisation.
    """
    if slug not in RECIPES:
        raise ContractError(f"training recipe '{slug}' is unknown; known: {', '.join(RECIPES)}")
    found = RECIPES[slug]
    if dtype not in DTYPES:
        raise ContractError(f"dtype '{dtype}' is unknown; known: {', '.join(DTYPES)}")
    if dtype != found.dtype:
        found = replace(found, slug=f"{found.slug}_{dtype}", dtype=dtype)
    return _of_batch(found, batch)


def _of_batch(recipe: TrainingRecipe, batch: int | None) -> TrainingRecipe:
    if batch is None or batch == recipe.batch:
        return recipe
    if batch < 2:
        raise ContractError(f"a batch needs at least 2 chips, found {batch}")
    return replace(recipe, slug=f"{recipe.slug}_b{batch:02d}", batch=batch)
