"""The main job in one object: from names in the catalog to splits, backbones, feature blocks and solved probes.

Example:
    >>> workspace = Workspace(load_catalog(), Settings())
    >>> workspace.sweep("galileo_nano", "eurosat_rgb", "linear").row("block02", 1.0, 0).test_score  # doctest: +SKIP
"""

import functools
import getpass
import hashlib
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from geofm_eval.backbones import load_backbone
from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.catalog import Adaptation, Catalog, TaskSpec
from geofm_eval.data.budget import LabelBudget, label_budget
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import Split, open_splits
from geofm_eval.errors import ContractError
from geofm_eval.extraction import exact_float32
from geofm_eval.features import FeatureBlock, extract
from geofm_eval.paths import geofm_cache
from geofm_eval.probes.sweep import PROBE_VERSION, SWEEP_FORMAT, Sweep, load_sweep, save_sweep, solve
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import content_hash, locked, publish_directory

SWEEP_MANIFEST = "manifest.json"

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
        self._progress = progress
        self._pieces = Memo()
        # Models are large and cases come model by model: the last one is kept, the others are loaded again if need be.
        self._backbones = Memo(keep=1)

    def splits(self, task: str) -> dict[str, Split]:
        """Train, val and test split of a task; the split ``all`` alone where shuffle splits are cut from it.

        Raises:
            Unavailable: the data are absent.
            DataError: the data are not what the task declares.
        """
        return self._pieces.get(("splits", task), lambda: open_splits(self.catalog.task(task)))

    def budget(self, task: str) -> LabelBudget:
        """Label subsets of a task and how each is validated, the same for every model.

        Raises:
            Unavailable: the data are absent.
            GeofmError: the data are not what the task declares, or too few.
        """
        return self._pieces.get(("budget", task), lambda: self._label_budget(self.catalog.task(task)))

    def _label_budget(self, task: TaskSpec) -> LabelBudget:
        return label_budget(task, self.splits(task.slug), self.recipe.val_budget, task_seed(task))

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
        return self._pieces.get(("blocks", model, task), lambda: self._extract(model, task))

    def _extract(self, model: str, task: str) -> dict[str, FeatureBlock]:
        splits = self.splits(task)
        loaded = self.backbone(model, task)
        adapter = self.adapter(model, task)
        with device_turn(self.settings.device):
            return {
                name: extract(loaded, adapter, split, device=self.settings.device, progress=self._progress)
                for name, split in splits.items()
            }

    def sweep(self, model: str, task: str, adaptation: str) -> Sweep:
        """The solved probe of every tap, label fraction and draw, solved where the cache lacks it.

        Raises:
            Unavailable: data, weights or a package are absent.
            GeofmError: a data, weights, contract or store error of the step that failed.
        """
        return self._pieces.get(("sweep", model, task, adaptation), lambda: self._solve(model, task, adaptation))

    def _solve(self, model: str, task: str, adaptation: str) -> Sweep:
        chosen = self.catalog.adaptation(adaptation)
        spec = self.catalog.model(model)
        if chosen.pooling not in spec.poolings:
            raise ContractError(
                f"{adaptation} pools by '{chosen.pooling}', which {model} lacks: it has {', '.join(spec.poolings)}"
            )
        blocks = self.blocks(model, task)
        job = _Solve(
            self.catalog.task(task),
            chosen,
            blocks,
            self.splits(task),
            self.budget(task),
            self.recipe.val_budget,
            self.settings.device,
        )

        def write(folder: Path) -> dict[str, Any]:
            progress = self._progress(f"{adaptation} of {model} on {task}", len(spec.taps) * len(job.budget.subsets))
            sweep = job.run()
            progress.update(len(sweep.rows))
            progress.done()
            save_sweep(sweep, folder)
            return {"seconds": sweep.seconds}

        path = geofm_cache() / "sweeps" / SWEEP_FORMAT / job.key
        publish_directory(path, write, SWEEP_MANIFEST)
        return load_sweep(path)


@dataclass(frozen=True)
class _Solve:
    """One probe over all taps, label fractions and draws of a model's blocks."""

    task: TaskSpec
    adaptation: Adaptation
    blocks: Mapping[str, FeatureBlock]
    splits: Mapping[str, Split]
    budget: LabelBudget
    val_budget: Literal["matched", "full"]
    device: str

    @functools.cached_property
    def key(self) -> str:
        """Hash of all that determines the result: features, labels, subsets, validation, device, probe version."""
        return content_hash(
            {
                "blocks": {name: block.key for name, block in self.blocks.items()},
                "labels_sha256": {name: split.labels_sha256 for name, split in self.splits.items()},
                "classes": len(self.task.classes),
                "probe": self.adaptation.probe,
                "probe_version": PROBE_VERSION[self.adaptation.probe],
                "pooling": self.adaptation.pooling,
                "fractions": self.task.label_fractions,
                "draws": self.task.draws,
                "seed": task_seed(self.task),
                "val_budget": self.val_budget,
                "subsets": self.budget.identity,
                "device": self.device_kind,
            }
        )

    @property
    def device_kind(self) -> str:
        """``cpu`` or ``cuda``: they round differently, and which GPU it is makes no difference."""
        return torch.device(self.device).type

    def run(self) -> Sweep:
        """Solve the probe."""
        with exact_float32(), device_turn(self.device):
            sweep = solve(
                self.adaptation.probe,
                lambda tap, split: self.blocks[split].features(tap, self.adaptation.pooling),
                {name: split.labels for name, split in self.splits.items()},
                next(iter(self.blocks.values())).taps,
                self.adaptation.pooling,
                self.budget.subsets,
                self.budget.plans,
                len(self.task.classes),
                device=self.device,
                task=self.task.slug,
            )
        meta = {
            "feature_keys": {name: block.key for name, block in self.blocks.items()},
            "seed": task_seed(self.task),
            "device": self.device_kind,
            "val_budget": self.val_budget,
        }
        return replace(sweep, key=self.key, meta={**sweep.meta, **meta})


def task_seed(task: TaskSpec) -> int:
    """Seed of everything random in a task (label subsets, validation plans, resamples), shared by all models."""
    digest = hashlib.sha256(f"{task.slug}/{task.version}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@contextmanager
def device_turn(device: str) -> Iterator[None]:
    """Wait for this process's turn on a GPU, so that the heavy steps of several workers do not share its memory."""
    kind = torch.device(device)
    if kind.type != "cuda":
        yield
        return
    with locked(Path(tempfile.gettempdir()) / f"geofm_eval-{getpass.getuser()}-cuda{kind.index or 0}"):
        yield


class Memo:
    """Computes a value once per key and gives every later caller the same value, or the same error.

    Args:
        keep: how many values are held, the latest ones; None holds all. Errors are small and always held.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._values: dict[Hashable, Any] = {}
        self._errors: dict[Hashable, Exception] = {}

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of ``key``, computed by the first call, or raise the error that the first call raised."""
        if key in self._errors:
            # Without the old traceback, which would grow with every call and keep the failed step's arrays alive.
            raise self._errors[key].with_traceback(None)
        if key not in self._values:
            if self._keep is not None and len(self._values) >= self._keep:
                del self._values[next(iter(self._values))]  # before the next one takes its memory
            try:
                self._values[key] = compute()
            except Exception as error:
                self._errors[key] = error
                raise
        kept: T = self._values[key]
        return kept
