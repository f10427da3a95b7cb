"""What one training of a dense case trains and on what: taps, label budget, recipe, and the backbone it begins with."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from geofm_eval.backbones import LoadedBackbone, load_backbone
from geofm_eval.catalog import Case, DenseAdaptation, ModelSpec, TaskSpec, dense_adaptation
from geofm_eval.catalog.dense import FOUR_BLOCKS, training_recipe_of, usual_taps
from geofm_eval.data.split import Split
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import TrainingConfig
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.plan import BatchOrder
from geofm_eval.dense.pooled import PooledJob, holdout, item_budget
from geofm_eval.dense.recipes import for_items, training_recipe
from geofm_eval.errors import ContractError
from geofm_eval.workspace import Workspace


@dataclass(frozen=True)
class TrainingSetup:
    """Everything about the trainings of one dense case that is the same for all seeds.

    Args:
        workspace: splits, adapters, backbones.
        case: case of kind ``segment`` or ``tune``.
        training: slug of the training recipe; None takes the default of the task.
        batch: chips per step; None takes the recipe's.
        dtype: dtype of forward passes, ``float32`` or ``bf16``.
    """

    workspace: Workspace
    case: Case
    training: str | None = None
    batch: int | None = None
    dtype: str = "float32"

    @functools.cached_property
    def adaptation(self) -> DenseAdaptation:
        """Settings encoded in the case's adaptation slug.

        Raises:
            ContractError: the slug is not that of a dense adaptation.
        """
        found = dense_adaptation(self.case.adaptation)
        if found is None:
            raise ContractError(
                f"'{self.case.adaptation}' is not a dense adaptation; expected one like lightms_frozen_p010"
            )
        return found

    @property
    def task(self) -> TaskSpec:
        """The case's task."""
        return self.workspace.catalog.task(self.case.task)

    @property
    def model(self) -> ModelSpec:
        """The case's model."""
        return self.workspace.catalog.model(self.case.model)

    @functools.cached_property
    def splits(self) -> Mapping[str, Split]:
        """Train, val and test."""
        found = self.workspace.splits(self.case.task)
        return holdout(found) if self.adaptation.pooled else found

    @functools.cached_property
    def taps(self) -> tuple[tuple[str, ...], str]:
        """Taps that the decoder reads, and whether they are ``usual`` or were chosen on ``validation``."""
        usual = usual_taps(self.adaptation, self.case.layer, self.model)
        if usual is not None:
            return usual, "usual"
        wanted = 1 if self.adaptation.single else len(FOUR_BLOCKS)
        sweep = self.workspace.dense_sweep(self.case.model, self.case.task)
        return sweep.best_taps(wanted, self.adaptation.fraction), "validation"

    @functools.cached_property
    def budget(self) -> ChipBudget:
        """Chips or samples of the case's label fraction, the same for all models."""
        if not self.adaptation.pooled:
            return self.workspace.chips(self.case.task, self.adaptation.fraction, 0)
        matched = self.workspace.recipe.val_budget == "matched"
        return item_budget(self.task, self.splits, self.adaptation.fraction, matched, self.task.seed)

    @functools.cached_property
    def choice(self) -> TrainingConfig:
        """Decoder, tuning, taps and schedule."""
        variant, slug = self.adaptation.variant, training_recipe_of(self.task, self.training)
        if self.adaptation.pooled:
            recipe = for_items(training_recipe(slug, dtype=self.dtype), self.batch)
        else:
            recipe = training_recipe(slug, self.batch, self.dtype)
        whole, part = (
            BatchOrder(len(chips), recipe, 0).steps_per_epoch for chips in (self.splits["train"], self.budget.train)
        )
        return TrainingConfig(
            self.adaptation.head,
            self.adaptation.tuning,
            self.taps[0],
            replace(recipe, temporal="linear") if variant == "dateweights" else recipe,
            lengthened=max(round(whole / part), 1) if variant == "long" else 1,
            online=variant == "aug",
            zoom=2 if variant == "up2" else 1,
        )

    def job(self, seed: int) -> DenseJob:
        """Return the training with a seed."""
        kind = PooledJob if self.adaptation.pooled else DenseJob
        return kind(
            functools.partial(self._load, seed),
            self.workspace.adapter(self.case.model, self.case.task),
            self.splits,
            self.budget,
            self.choice,
            seed,
            self.workspace.settings.device,
            self.workspace.progress,
        )

    def _load(self, seed: int) -> LoadedBackbone:
        """Backbone at the start of a training: shared by all if it stays frozen, else a new one."""
        if self.choice.tuning == "frozen":
            return self.workspace.backbone(self.case.model, self.case.task)
        return self.untouched(seed)

    def untouched(self, seed: int) -> LoadedBackbone:
        """Load the backbone; if it is random and tuned, draw it with the seed of the training."""
        spec, settings = self.model, self.workspace.settings
        if spec.random_seed is not None and self.choice.tuning != "frozen":
            spec = spec.model_copy(update={"random_seed": spec.random_seed + seed})
        adapter = self.workspace.adapter(self.case.model, self.case.task)
        weights = settings.weights.get(self.case.model)
        return load_backbone(spec, adapter, weights=weights, device=settings.device)


def input_recipe(task: TaskSpec, asked: str | None) -> str:
    """Return the recipe of the inputs of trained cases: by default PANGAEA's for real data with statistics.

    On stand-ins, backbones use their own normalisation.
    """
    return asked or ("pangaea" if not task.simulated and task.statistics is not None else "probing")
