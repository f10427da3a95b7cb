"""From a dense case to its trainings, one per seed: taps, label budget, recipe, and the learning rate of all seeds."""

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
from geofm_eval.dense.batch_order import steps_per_epoch
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import Trained, TrainingConfig
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import changed, counts_on_test, train_at
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
        case: of kind ``segment``.
        seeds: number of seeds.
        training: slug of the training recipe; None takes the default of the task.
        batch: chips per step; None takes the recipe's.
        dtype: of forward passes, ``float32`` or ``bf16``.
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
        """What the case's adaptation slug says.

        Raises:
            ContractError: it is no dense adaptation.
        """
        found = dense_adaptation(self.case.adaptation)
        if found is None:
            raise ContractError(f"'{self.case.adaptation}' is no dense adaptation, such as lightms_frozen_p010")
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
        """What the decoder reads, and whether that is ``usual`` or was chosen on ``validation``."""
        usual = usual_taps(self.adaptation, self.case.layer, self.model)
        if usual is not None:
            return usual, "usual"
        wanted = 1 if self.adaptation.single else len(FOUR_BLOCKS)
        sweep = self.workspace.dense_sweep(self.case.model, self.case.task)
        return sweep.best_taps(wanted, self.adaptation.fraction), "validation"

    @functools.cached_property
    def budget(self) -> ChipBudget:
        """Chips or items of the case's label fraction, the same for all models."""
        if not self.adaptation.pooled:
            return self.workspace.chips(self.case.task, self.adaptation.fraction, 0)
        matched = self.workspace.recipe.val_budget == "matched"
        return item_budget(self.task, self.splits, self.adaptation.fraction, matched, self.task.seed)

    @functools.cached_property
    def choice(self) -> TrainingConfig:
        """Decoder, tuning, taps and schedule."""
        return _config(self)

    @functools.cached_property
    def jobs(self) -> tuple[DenseJob, ...]:
        """One training per seed.

        Raises:
            Unavailable: data, weights or a package are absent.
            GeofmError: the data are not what the task declares.
        """
        return tuple(self._job(self.first_seed + number) for number in range(self.seeds))

    @functools.cached_property
    def searcher(self) -> DenseJob:
        """The job of seed 0, which chooses the learning rate of all, and the epoch where folds do, whatever is trained.

        What it depends on stands for the case: seeds alone tell the jobs of a case apart.
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
        """The backbone that a training begins with: one for all where it stays frozen, else a new one."""
        if self.choice.tuning == "frozen":
            return self.workspace.backbone(self.case.model, self.case.task)
        return self.untouched(seed)

    def untouched(self, seed: int) -> LoadedBackbone:
        """The backbone from its file; one that is random by nature is drawn by the seed where it is tuned."""
        spec, settings = self.model, self.workspace.settings
        if spec.random_seed is not None and self.choice.tuning != "frozen":
            spec = spec.model_copy(update={"random_seed": spec.random_seed + seed})
        adapter = self.workspace.adapter(self.case.model, self.case.task)
        weights = settings.weights.get(self.case.model)
        return load_backbone(spec, adapter, weights=weights, device=settings.device)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the trainings and what they are tested on, known before anything is trained."""
        test = self.splits["test"]
        return {
            "training": self.searcher.identity,
            "seeds": self.seeds,
            # Named where it says something, so that trainings from seed 0 on keep the key that they always had.
            **({"first_seed": self.first_seed} if self.first_seed else {}),
            "rates": self.choice.rates,
            "test": [test.items_sha256, test.labels_sha256],
        }

    def run(self) -> list[Trained]:
        """Train every seed at the learning rate that seed 0 chooses on validation, whether or not it is one of them.

        Where the training chips are cross-validated all but seed 0 take its epoch too.

        Raises:
            Unavailable: weights or a package are absent.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        jobs = self.jobs  # outside of the device's turn: the dense probe that chooses blocks takes one itself
        with device_turn(self.workspace.settings.device):
            rate, validated = choose_rate(self.searcher)
            return [train_at(job, rate, validated) for job in jobs]

    def tested(self, trained: Sequence[Trained]) -> NDArray[Any]:
        """(seeds, n, ...) what is kept of every test chip; see ``inference.counts_of``."""
        with device_turn(self.workspace.settings.device):
            return np.stack([counts_on_test(job, one) for job, one in zip(self.jobs, trained, strict=True)])


def _config(study: CaseTrainings) -> TrainingConfig:
    variant = study.adaptation.variant
    slug = training_recipe_of(study.task, study.training)
    if study.adaptation.pooled:
        recipe = for_items(training_recipe(slug, dtype=study.dtype), study.batch)
    else:
        recipe = training_recipe(slug, study.batch, study.dtype)
    whole, part = (steps_per_epoch(len(chips), recipe) for chips in (study.splits["train"], study.budget.train))
    return TrainingConfig(
        study.adaptation.head,
        study.adaptation.tuning,
        study.taps[0],
        replace(recipe, temporal="linear") if variant == "dateweights" else recipe,
        lengthened=max(round(whole / part), 1) if variant == "long" else 1,
        online=variant == "aug",
        zoom=2 if variant == "up2" else 1,
    )


def search_seconds(study: CaseTrainings, rate: float) -> float:
    """Seconds that choosing took beside the trainings at the chosen ``rate``: other rates, or all folds."""
    first, rates = study.searcher, study.choice.rates
    if study.budget.folds:
        return sum(cross_validated(first, tried).seconds for tried in rates)
    if len(rates) == 1:
        return 0.0
    # Of seeds that begin later the search is no part: its training at the chosen rate was a search as well.
    return sum(train_at(first, tried).seconds["train"] for tried in rates if study.first_seed or tried != rate)


def keep_tuned(study: CaseTrainings, trained: Sequence[Trained]) -> str:
    """Leave what tuning changed under ``$GEOFM_CACHE/tuned/<key>/seedNN.safetensors``, for drift to be measured.

    Returns:
        The key; empty where nothing was tuned, or nothing was there before the training.
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
    """Where the tensors that a seed's tuning changed are kept."""
    return geofm_cache() / "tuned" / key / f"seed{seed:02d}.safetensors"


def input_recipe(task: TaskSpec, asked: str | None) -> str:
    """Recipe of the inputs of trained cases: the one asked for; else PANGAEA's on real data that have statistics.

    Stand-ins are for backbones that know their own normalisation.
    """
    return asked or ("pangaea" if not task.simulated and task.statistics is not None else "probing")
