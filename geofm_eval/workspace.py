"""Compute splits, backbones, feature blocks and solved probes from names in the catalog, each once.

Example:
    >>> workspace = Workspace(load_catalog(), Settings())
    >>> workspace.sweep("galileo_nano", "eurosat_rgb", "linear").row("block02", 1.0, 0).test_score  # doctest: +SKIP
"""

import functools
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
from geofm_eval.feature_blocks import FeatureBlock, block_key, extract, look_up
from geofm_eval.memo import Memo
from geofm_eval.plurals import counted
from geofm_eval.probes.codings import check_worth_coding
from geofm_eval.probes.job import ProbeJob, differ_in_target
from geofm_eval.probes.sweep import Sweep
from geofm_eval.progress import LogProgress, StartProgress

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """Settings of a run that apply to all of its cases.

    Args:
        device: torch device, ``cpu``, ``cuda`` or ``cuda:<i>``.
        threads: number of threads of the process; set by the caller and stored in records.
        recipe: recipe of the catalog.
        weights: weight files that replace the catalog's, by model.
    """

    device: str = "cpu"
    threads: int = 1
    recipe: str = "probing"
    weights: Mapping[str, Path] = field(default_factory=dict)


class Workspace:
    """Pieces that cases share. Each is computed once per process; feature blocks and sweeps are also cached on disk.

    All methods raise Unavailable if data, weights or a package are missing, and another GeofmError if the data, the
    weights or the catalog's entries are wrong, or the cache cannot be written. Later calls raise the same error again
    without another attempt.

    Args:
        catalog: models, tasks, recipes and adaptations.
        settings: device, threads, recipe and replaced weights.
        progress: starts a progress display for every long step.

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
        # Models are large and cases are ordered by model, so only the last one is kept.
        self._backbones = Memo(keep=1)

    def with_recipe(self, slug: str) -> "Workspace":
        """Return the workspace of another recipe; this one if it has that recipe."""
        if self.recipe.slug == slug:
            return self
        settings = replace(self.settings, recipe=slug)
        return self.memo(("recipe", slug), lambda: Workspace(self.catalog, settings, self.progress))

    def __repr__(self) -> str:
        known = f"{counted(len(self.catalog.models), 'model')}, {counted(len(self.catalog.tasks), 'task')}"
        return f"Workspace({known}, recipe {self.recipe.slug}, {self.settings.device})"

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of a key, computed on the first call."""
        return self._pieces.get(key, compute)

    def splits(self, task: str) -> dict[str, Split]:
        """Return train, val and test split of a task, or only the split ``all`` if the task uses shuffle splits."""
        return self.memo(("splits", task), lambda: open_splits(self.catalog.task(task), self.progress))

    def budget(self, task: str) -> LabelBudget:
        """Return the label subsets of a task and their validation plans, the same for every model."""
        spec, validation = self.catalog.task(task), self.recipe.val_budget
        return self.memo(("budget", task), lambda: label_budget(spec, self.splits(task), validation, spec.seed))

    def adapter(self, model: str, task: str) -> InputAdapter:
        """Return the adapter that turns a task's images into a model's input."""
        specs = self.catalog.model(model), self.catalog.task(task)
        return self.memo(("adapter", model, task), lambda: InputAdapter(*specs, self.recipe))

    def backbone(self, model: str, task: str) -> LoadedBackbone:
        """Return a frozen model for a task's channels, on the device of the settings."""
        adapter, weights = self.adapter(model, task), self.settings.weights.get(model)
        spec, device = self.catalog.model(model), self.settings.device
        load = functools.partial(load_backbone, spec, adapter, weights=weights, device=device)
        return self._backbones.get((model, adapter.bands), load)

    def blocks(self, model: str, task: str) -> dict[str, FeatureBlock]:
        """Return the feature blocks of all splits of a task; they are extracted if the cache lacks them."""
        return {split: self.block(model, task, split) for split in self.splits(task)}

    def block(self, model: str, task: str, split: str) -> FeatureBlock:
        """Return the feature block of one split of a task; it is extracted if the cache lacks it."""
        return self.memo(("block", model, task, split), lambda: _extracted(self, model, task, split))

    def sweep(self, model: str, task: str, adaptation: str) -> Sweep:
        """Return the solved probe of every tap, label fraction and draw; it is solved if the cache lacks it.

        A regression target is solved together with all other targets of the same samples in the same suites.
        """
        return self.memo(("sweep", model, task, adaptation), lambda: _solved(self, model, task, adaptation))

    def dense_probe(self, model: str, task: str) -> DenseProbe:
        """Return the dense probe of a model on a task; nothing is encoded yet."""
        spec, splits = self.catalog.task(task), self.splits(task)
        size = window_size(self.catalog.model(model).image_size, splits["train"].shapes)
        device = torch.device(self.settings.device)
        encoder = TokenEncoder(self.backbone(model, task), self.adapter(model, task), size, device)
        asked = label_subsets(spec.label_fractions, spec.draws)
        budgets = {subset: self.chips(task, *subset) for subset in asked}
        kept = distinct({subset: budget.train for subset, budget in budgets.items()})
        tell_equal(spec, (fraction for fraction, _ in asked), kept)
        budgets = {subset: budget for subset, budget in budgets.items() if subset[0] in kept}
        return DenseProbe(encoder, splits, budgets, spec.seed, self.progress)

    def dense_sweep(self, model: str, task: str) -> DenseSweep:
        """Return the solved dense probe of every tap and label subset; it is solved if the cache lacks it."""
        return self.memo(("dense", model, task), lambda: self._dense(model, task))

    def _dense(self, model: str, task: str) -> DenseSweep:
        probe = self.dense_probe(model, task)
        with device_turn(self.settings.device):
            return probe.stored()

    def ceiling(self, task: str, size: int, grid: tuple[int, int]) -> float:
        """Return the test score of an oracle that knows the labels below every token of a window."""
        return self.memo(("ceiling", task, size, grid), lambda: grid_ceiling(self.splits(task)["test"], size, grid))

    def chips(self, task: str, fraction: float, draw: int) -> ChipBudget:
        """Return the chips of a label fraction of a dense task, the same for every model."""
        splits = self.splits(task)
        strata = self.memo(("strata", task), lambda: {name: chip_strata(splits[name]) for name in ("train", "val")})
        return chip_budget(strata, fraction, draw, self.recipe.val_budget, self.catalog.task(task).seed)


def _extracted(workspace: Workspace, model: str, task: str, split: str) -> FeatureBlock:
    samples, loaded = workspace.splits(task)[split], workspace.backbone(model, task)
    adapter, device = workspace.adapter(model, task), workspace.settings.device
    if loaded.spec.precomputed:
        return look_up(loaded, adapter, workspace.splits(task), split)
    with device_turn(device):
        return extract(loaded, adapter, samples, device=device, progress=workspace.progress)


def probe_job(workspace: Workspace, model: str, task: str, adaptation: str) -> ProbeJob:
    """Return the probe of a model on a task; its features are extracted if the cache lacks them.

    Raises:
        ContractError: the model lacks the pooling or coding of the adaptation.
    """
    chosen = workspace.catalog.adaptation(adaptation)
    spec = workspace.catalog.model(model)
    if chosen.pooling not in spec.poolings:
        raise ContractError(
            f"{adaptation} needs the pooling '{chosen.pooling}', but {model} has only {', '.join(spec.poolings)}; "
            "choose another adaptation"
        )
    check_worth_coding(spec, chosen.coding)
    return ProbeJob(
        model,
        workspace.catalog.task(task),
        chosen,
        workspace.blocks(model, task),
        workspace.splits(task),
        workspace.budget(task),
        workspace.recipe.val_budget,
        workspace.settings.device,
    )


def _solved(workspace: Workspace, model: str, task: str, adaptation: str) -> Sweep:
    job = probe_job(workspace, model, task, adaptation)
    return job.solved(lambda: _siblings(workspace, job), workspace.progress)


def _siblings(workspace: Workspace, job: ProbeJob) -> list[ProbeJob]:
    """Unsolved jobs of the other targets on the same features, without those whose data cannot be opened."""
    if job.adaptation.probe != "ridge" or job.adaptation.coding != "float32":
        return []
    found = []
    for task in workspace.catalog.tasks.values():
        if not differ_in_target(task, job.task):
            continue
        try:
            sibling = replace(job, task=task, splits=workspace.splits(task.slug), budget=workspace.budget(task.slug))
            if _features_of(workspace, sibling) == job.features and sibling.wanting and sibling.problem:
                found.append(sibling)
        except GeofmError as error:  # the sibling's own cases will report it
            log.info("%s is not solved together with %s: %s", task.slug, job.task.slug, error)
    return found


def _features_of(workspace: Workspace, job: ProbeJob) -> dict[str, str]:
    model, slug = job.model, job.task.slug
    loaded, adapter = workspace.backbone(model, slug), workspace.adapter(model, slug)
    return {name: block_key(loaded, adapter, split) for name, split in job.splits.items()}
