"""Trainings of a dense case, one per seed: taps, label budget, recipe, and the learning rate of all seeds."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray

from geofm_eval.backbones import LoadedBackbone, load_backbone
from geofm_eval.catalog import Case, DenseAdaptation, ModelSpec, TaskSpec, dense_adaptation
from geofm_eval.catalog.dense import FOUR_BLOCKS, training_recipe_of, usual_taps
from geofm_eval.data.split import Split
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import Trained, TrainingConfig
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import changed, counts_on_test, train_at
from geofm_eval.dense.plan import BatchOrder
from geofm_eval.dense.pooled import PooledJob, holdout, item_budget
from geofm_eval.dense.recipes import for_items, training_recipe
from geofm_eval.dense.search import choose_rate, cross_validated
from geofm_eval.devices import device_turn
from geofm_eval.errors import ContractError
from geofm_eval.paths import geofm_cache
from geofm_eval.store import content_hash, write_bytes
from geofm_eval.workspace import Workspace


@dataclass(frozen=True)
class CaseTrainings:
    """All trainings of one dense case.

    Args:
        workspace: splits, adapters, backbones.
        case: case of kind ``segment``.
        seeds: number of seeds.
        training: slug of the training recipe; None takes the default of the task.
        batch: chips per step; None takes the recipe's.
        dtype: dtype of forward passes, ``float32`` or ``bf16``.
        first_seed: seed of the first training; the others follow.
    """

    workspace: Workspace
    case: Case
    seeds: int
    training: str | None = None
    batch: int | None = None
    dtype: str = "float32"
    first_seed: int = 0

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

    @functools.cached_property
    def jobs(self) -> tuple[DenseJob, ...]:
        """One training per seed.

        Raises:
            Unavailable: data, weights or a package are missing.
            GeofmError: the data are not what the task declares.
        """
        return tuple(self._job(self.first_seed + number) for number in range(self.seeds))

    @functools.cached_property
    def searcher(self) -> DenseJob:
        """Job of seed 0, which chooses the learning rate of all seeds and, in cross-validation, the epoch.

        Its identity also represents the case, whose jobs differ only by seed.
        """
        return self.jobs[0] if self.first_seed == 0 else self._job(0)

    def _job(self, seed: int) -> DenseJob:
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

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the trainings and their test data, known before anything is trained."""
        test = self.splits["test"]
        return {
            "training": self.searcher.identity,
            "seeds": self.seeds,
            # Left out if 0, so that trainings from seed 0 on keep their key.
            **({"first_seed": self.first_seed} if self.first_seed else {}),
            "rates": self.choice.rates,
            "test": [test.items_sha256, test.labels_sha256],
        }

    def run(self) -> list[Trained]:
        """Train every seed at the learning rate that seed 0, which may not be one of them, chooses on validation.

        If the training chips are cross-validated, all use the epoch chosen by seed 0 too.

        Raises:
            Unavailable: weights or a package are missing.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        jobs = self.jobs  # before the turn on the device, because the dense probe that chooses taps takes one itself
        with device_turn(self.workspace.settings.device):
            rate, validated = choose_rate(self.searcher)
            return [train_at(job, rate, validated) for job in jobs]

    def tested(self, trained: Sequence[Trained]) -> NDArray[Any]:
        """Return counts (seeds, n, ...) of every test chip; see ``inference.counts_of``."""
        with device_turn(self.workspace.settings.device):
            return np.stack([counts_on_test(job, one) for job, one in zip(self.jobs, trained, strict=True)])


def search_seconds(study: CaseTrainings, rate: float) -> float:
    """Return the seconds spent on choosing ``rate``: trainings at other rates, or all folds."""
    first, rates = study.searcher, study.choice.rates
    if study.budget.folds:
        return sum(cross_validated(first, tried).seconds for tried in rates)
    if len(rates) == 1:
        return 0.0
    # If seed 0 is not among the seeds, its training at the chosen rate was part of the search as well.
    return sum(train_at(first, tried).seconds["train"] for tried in rates if study.first_seed or tried != rate)


def keep_tuned(study: CaseTrainings, trained: Sequence[Trained]) -> str:
    """Store the tuned tensors under ``$GEOFM_CACHE/tuned/<key>/seedNN.safetensors``.

    Returns:
        The key; empty if nothing was tuned, or the backbone was trained from scratch.
    """
    if study.choice.tuning == "frozen" or study.model.from_scratch:
        return ""
    key = content_hash(study.identity)
    for job, one in zip(study.jobs, trained, strict=True):
        path = tuned_path(key, job.seed)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            about = {"case": study.case.id, "seed": str(job.seed), "weights_sha256": job.loaded.weights_sha256}
            tensors = {name: value.cpu().contiguous() for name, value in changed(job, one).items()}
            write_bytes(path, safetensors.torch.save(tensors, about))
    return key


def tuned_path(key: str, seed: int) -> Path:
    """Return the path of the tensors that the tuning of a seed changed."""
    return geofm_cache() / "tuned" / key / f"seed{seed:02d}.safetensors"


def input_recipe(task: TaskSpec, asked: str | None) -> str:
    """Return the recipe of the inputs of trained cases: by default PANGAEA's for real data with statistics.

    On stand-ins, backbones use their own normalisation.
    """
    return asked or ("pangaea" if not task.simulated and task.statistics is not None else "probing")
