"""The main job in one object: from names in the catalog to splits, backbones, feature blocks and solved probes.

Example:
    >>> workspace = Workspace(load_catalog(), Settings())
    >>> workspace.sweep("galileo_nano", "eurosat_rgb", "linear").row("block02", 1.0, 0).test_score  # doctest: +SKIP
"""

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch

from geofm_eval.backbones import load_backbone
from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.catalog import Catalog
from geofm_eval.data.budget import LabelBudget, label_budget, tell_equal
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.labels import distinct
from geofm_eval.data.split import Split
from geofm_eval.datasets import open_splits
from geofm_eval.dense.budget import ChipBudget, chip_budget, chip_strata
from geofm_eval.dense.probe import DenseProbe, label_subsets
from geofm_eval.dense.sweep import DenseSweep
from geofm_eval.dense.tokens import TokenEncoder, grid_ceiling
from geofm_eval.dense.windows import window_size
from geofm_eval.devices import device_turn
from geofm_eval.errors import ContractError, GeofmError
from geofm_eval.features import FeatureBlock, block_key, extract
from geofm_eval.memo import Memo
from geofm_eval.probes.job import ProbeJob, differ_in_target
from geofm_eval.probes.sweep import Sweep
from geofm_eval.progress import LogProgress, StartProgress

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a run chooses beside the case itself.

    Args:
        device: torch device, ``cpu``, ``cuda`` or ``cuda:<i>``.
        threads: threads that the process computes with; set by the caller, kept here for the record.
        recipe: recipe of the catalog.
        weights: weight files that replace the catalog's, by model.
    """

    device: str = "cpu"
    threads: int = 1
    recipe: str = "probing"
    weights: Mapping[str, Path] = field(default_factory=dict)


class Workspace:
    """Everything that cases share, each piece computed once: kept in the process, blocks and sweeps in the cache too.

    A piece that failed fails again with the same error, without being tried anew.

    Args:
        catalog: models, tasks, recipes and adaptations.
        settings: device, threads, recipe and replaced weights.
        progress: starts the progress of each long piece of work.

    Raises:
        ContractError: the settings name a recipe or a model that the catalog lacks.
    """

    def __init__(self, catalog: Catalog, settings: Settings, progress: StartProgress = LogProgress) -> None:
        self.catalog = catalog
        self.settings = settings
        self.recipe = catalog.recipe(settings.recipe)
        for slug in settings.weights:
            catalog.model(slug)
        self.progress = progress
        self._pieces = Memo()
        # Models are large and cases come model by model: the last one is kept, the others are loaded again if need be.
        self._backbones = Memo(keep=1)

    def with_recipe(self, slug: str) -> "Workspace":
        """Return the workspace under another recipe, made once; itself where it has that recipe.

        Raises:
            ContractError: the catalog lacks the recipe.
        """
        if self.recipe.slug == slug:
            return self
        settings = replace(self.settings, recipe=slug)
        return self.memo(("recipe", slug), lambda: Workspace(self.catalog, settings, self.progress))

    def __repr__(self) -> str:
        known = f"{len(self.catalog.models)} models, {len(self.catalog.tasks)} tasks"
        return f"Workspace({known}, recipe {self.recipe.slug}, {self.settings.device})"

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute something once for all cases."""
        return self._pieces.get(key, compute)

    def splits(self, task: str) -> dict[str, Split]:
        """Train, val and test split of a task; the split ``all`` alone where shuffle splits are cut from it.

        Raises:
            Unavailable: the data are absent.
            DataError: the data are not what the task declares.
        """
        return self._pieces.get(("splits", task), lambda: open_splits(self.catalog.task(task), self.progress))

    def budget(self, task: str) -> LabelBudget:
        """Label subsets of a task and how each is validated, the same for every model.

        Raises:
            Unavailable: the data are absent.
            GeofmError: the data are not what the task declares, or too few.
        """
        spec = self.catalog.task(task)
        return self._pieces.get(
            ("budget", task), lambda: label_budget(spec, self.splits(task), self.recipe.val_budget, spec.seed)
        )

    def adapter(self, model: str, task: str) -> InputAdapter:
        """Turns a task's images into a model's input.

        Raises:
            ContractError: the task lacks a band that the model must have.
        """
        return self._pieces.get(
            ("adapter", model, task),
            lambda: InputAdapter(self.catalog.model(model), self.catalog.task(task), self.recipe),
        )

    def backbone(self, model: str, task: str) -> LoadedBackbone:
        """A frozen model for a task's channels, on the device of the settings.

        Raises:
            Unavailable: weights or a package are absent.
            WeightsError: the weights are not what the catalog says.
        """
        adapter = self.adapter(model, task)
        return self._backbones.get(
            (model, adapter.bands),
            lambda: load_backbone(
                self.catalog.model(model),
                adapter,
                weights=self.settings.weights.get(model),
                device=self.settings.device,
            ),
        )

    def blocks(self, model: str, task: str) -> dict[str, FeatureBlock]:
        """Feature blocks of all splits of a task, extracted where the cache lacks them.

        Raises:
            Unavailable: data, weights or a package are absent.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        return {split: self.block(model, task, split) for split in self.splits(task)}

    def block(self, model: str, task: str, split: str) -> FeatureBlock:
        """Feature block of one split of a task; see :meth:`blocks`."""
        return self._pieces.get(("block", model, task, split), lambda: _extracted(self, model, task, split))

    def sweep(self, model: str, task: str, adaptation: str) -> Sweep:
        """The solved probe of every tap, label fraction and draw, solved where the cache lacks it.

        A regression target is solved with all others that the catalog has for the same items in the same suites.

        Raises:
            Unavailable: data, weights or a package are absent.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        return self._pieces.get(("sweep", model, task, adaptation), lambda: _solved(self, model, task, adaptation))

    def dense_probe(self, model: str, task: str) -> DenseProbe:
        """What the dense probe of a model on a task is made of; nothing is encoded yet.

        Raises:
            Unavailable: data, weights or a package are absent.
            GeofmError: the data are not what the task declares.
        """
        return _dense_probe(self, model, task)

    def dense_sweep(self, model: str, task: str) -> DenseSweep:
        """The solved dense probe of every tap and label subset, solved where the cache lacks it."""
        return self.memo(("dense", model, task), lambda: self._dense(model, task))

    def _dense(self, model: str, task: str) -> DenseSweep:
        probe = self.dense_probe(model, task)
        with device_turn(self.settings.device):
            return probe.stored()

    def ceiling(self, task: str, size: int, grid: tuple[int, int]) -> float:
        """Test score of an oracle that knows what every token of a window covers."""
        return self.memo(("ceiling", task, size, grid), lambda: grid_ceiling(self.splits(task)["test"], size, grid))

    def chips(self, task: str, fraction: float, draw: int) -> ChipBudget:
        """Chips of a label fraction of a dense task, the same for every model."""
        splits = self.splits(task)
        strata = self.memo(("strata", task), lambda: {name: chip_strata(splits[name]) for name in ("train", "val")})
        return chip_budget(strata, fraction, draw, self.recipe.val_budget, self.catalog.task(task).seed)


def _extracted(workspace: Workspace, model: str, task: str, split: str) -> FeatureBlock:
    items, loaded, adapter = (
        workspace.splits(task)[split],
        workspace.backbone(model, task),
        workspace.adapter(model, task),
    )
    device = workspace.settings.device
    with device_turn(device):
        return extract(loaded, adapter, items, device=device, progress=workspace.progress)


def _dense_probe(workspace: Workspace, model: str, task: str) -> DenseProbe:
    spec, splits = workspace.catalog.task(task), workspace.splits(task)
    size = window_size(workspace.catalog.model(model).image_size, splits["train"].shapes)
    device = torch.device(workspace.settings.device)
    encoder = TokenEncoder(workspace.backbone(model, task), workspace.adapter(model, task), size, device)
    asked = label_subsets(spec.label_fractions, spec.draws)
    budgets = {subset: workspace.chips(task, *subset) for subset in asked}
    kept = distinct({subset: budget.train for subset, budget in budgets.items()})
    tell_equal(spec, (fraction for fraction, _ in asked), kept)
    budgets = {subset: budget for subset, budget in budgets.items() if subset[0] in kept}
    return DenseProbe(encoder, splits, budgets, spec.seed, workspace.progress)


def _solved(workspace: Workspace, model: str, task: str, adaptation: str) -> Sweep:
    chosen = workspace.catalog.adaptation(adaptation)
    spec = workspace.catalog.model(model)
    if chosen.pooling not in spec.poolings:
        raise ContractError(
            f"{adaptation} pools by '{chosen.pooling}', which {model} lacks: it has {', '.join(spec.poolings)}"
        )
    job = ProbeJob(
        model,
        workspace.catalog.task(task),
        chosen,
        workspace.blocks(model, task),
        workspace.splits(task),
        workspace.budget(task),
        workspace.recipe.val_budget,
        workspace.settings.device,
    )
    return job.solved(lambda: _siblings(workspace, job), workspace.progress)


def _siblings(workspace: Workspace, job: ProbeJob) -> list[ProbeJob]:
    """What remains to be solved of the other targets on the same features; those that cannot be are left out."""
    if job.adaptation.probe != "ridge":
        return []
    found = []
    for task in workspace.catalog.tasks.values():
        if not differ_in_target(task, job.task):
            continue
        try:
            sibling = replace(job, task=task, splits=workspace.splits(task.slug), budget=workspace.budget(task.slug))
            if _features_of(workspace, sibling) == job.features and sibling.wanting and sibling.problem:
                found.append(sibling)
        except GeofmError as error:  # which the sibling's own cases will meet
            log.info("%s is not solved together with %s: %s", task.slug, job.task.slug, error)
    return found


def _features_of(workspace: Workspace, job: ProbeJob) -> dict[str, str]:
    model, slug = job.model, job.task.slug
    loaded, adapter = workspace.backbone(model, slug), workspace.adapter(model, slug)
    return {name: block_key(loaded, adapter, split) for name, split in job.splits.items()}
