"""One probe of one target: solved if the cache lacks it, together with other targets of the same features."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from geofm_eval.catalog import Adaptation, TaskSpec
from geofm_eval.data.budget import LabelBudget
from geofm_eval.data.split import Split
from geofm_eval.devices import device_turn
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import FeatureBlock
from geofm_eval.paths import geofm_cache
from geofm_eval.probes.codings import coding_version, solve_coded
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import PROBE_VERSION, SWEEP_FORMAT, Sweep, load_sweep, save_sweep, solve_together
from geofm_eval.progress import StartProgress
from geofm_eval.sharing import locked
from geofm_eval.store import content_hash, problem_with, publish_directory

SWEEP_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ProbeJob:
    """One probe of one target over all taps, label fractions and draws of a model's blocks."""

    model: str
    task: TaskSpec
    adaptation: Adaptation
    blocks: Mapping[str, FeatureBlock]
    splits: Mapping[str, Split]
    budget: LabelBudget
    val_budget: Literal["matched", "full"]
    device: str

    @functools.cached_property
    def key(self) -> str:
        """Hash of everything that determines the result, including the probe's version."""
        return content_hash(
            {
                **({} if self.adaptation.coding == "float32" else coding_version(self.adaptation.coding)),
                **({"groups": self._groups} if self.task.own else {}),
                "blocks": self.features,
                "labels_sha256": {name: split.labels_sha256 for name, split in self.splits.items()},
                "classes": len(self.task.classes),
                "probe": self.adaptation.probe,
                "probe_version": PROBE_VERSION[self.adaptation.probe],
                "pooling": self.adaptation.pooling,
                "fractions": self.task.label_fractions,
                "draws": self.task.draws,
                "seed": self.task.seed,
                "val_budget": self.val_budget,
                "subsets": self.budget.identity,
                "device": self.device_kind,
            }
        )

    @property
    def _groups(self) -> dict[str, list[str] | None]:
        """Groups of the samples, which a user may change while labels and subsets stay the same."""
        return {name: None if split.groups is None else split.groups.tolist() for name, split in self.splits.items()}

    @property
    def device_kind(self) -> str:
        """``cpu`` or ``cuda``, which round differently; the model of a GPU makes no difference."""
        return torch.device(self.device).type

    @property
    def features(self) -> dict[str, str]:
        """Key of every split's block."""
        return {name: block.key for name, block in self.blocks.items()}

    @property
    def path(self) -> Path:
        """Path of the sweep in the cache."""
        return geofm_cache() / "sweeps" / SWEEP_FORMAT / self.key

    @property
    def wanting(self) -> bool:
        """True if the cache has no intact copy of the sweep."""
        return problem_with(self.path, SWEEP_MANIFEST) is not None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait, if the sweep is missing, for processes that solve other targets of these features.

        They may solve this target too.
        """
        if not self.wanting:
            yield
            return
        group = content_hash([self.features, self.adaptation.probe, self.adaptation.pooling, self.device_kind])
        with locked(self.path.with_name(f"targets-{group}")):
            yield

    def solved(self, siblings: Callable[[], Sequence["ProbeJob"]], progress: StartProgress) -> Sweep:
        """Return the sweep from the cache; solve it first if it is missing.

        Args:
            siblings: returns jobs of other targets of the same features that are missing too; they are solved together
                with this one, and cached.
            progress: starts a progress display.

        Raises:
            GeofmError: the problem cannot be solved, or the cache cannot be written.
        """
        with self.turn():
            publish_directory(
                self.path, lambda folder: self._write([self, *siblings()], folder, progress), SWEEP_MANIFEST
            )
        return load_sweep(self.path)

    def _write(self, jobs: Sequence["ProbeJob"], folder: Path, progress: StartProgress) -> dict[str, Any]:
        name = f"{self.adaptation.slug} of {self.model} on {', '.join(one.task.slug for one in jobs)}"
        bar = progress(name, sum(len(one.problem.taps) * len(one.problem.subsets) for one in jobs))
        own, *others = _run(jobs)
        bar.update(sum(len(sweep.rows) for sweep in (own, *others)))
        bar.done()
        for sibling, sweep in zip(jobs[1:], others, strict=True):
            publish_directory(sibling.path, functools.partial(_save, sweep), SWEEP_MANIFEST)
        return _save(own, folder)

    @functools.cached_property
    def problem(self) -> ProbeProblem:
        """The problem to solve; raises GeofmError if it is invalid."""
        return ProbeProblem(
            features=lambda tap, split: self.blocks[split].features(tap, self.adaptation.pooling),
            labels={name: split.labels for name, split in self.splits.items()},
            taps=next(iter(self.blocks.values())).taps,
            subsets=self.budget.subsets,
            plans=self.budget.plans,
            n_classes=len(self.task.classes),
            device=torch.device(self.device),
            task=self.task.slug,
            seed=self.task.seed,
            groups={name: split.groups for name, split in self.splits.items()},
            folds=max(split.fold_count for split in self.splits.values()),
        )

    def described(self, sweep: Sweep) -> Sweep:
        """Return the solved sweep with its key and the metadata of the job."""
        meta = {
            "feature_keys": self.features,
            "seed": self.task.seed,
            "device": self.device_kind,
            "val_budget": self.val_budget,
        }
        return replace(sweep, key=self.key, meta={**sweep.meta, **meta})


def _run(jobs: Sequence[ProbeJob]) -> list[Sweep]:
    problems, chosen = [job.problem for job in jobs], jobs[0].adaptation
    with exact_float32(), device_turn(jobs[0].device):
        if chosen.coding == "float32":
            sweeps = solve_together(chosen.probe, problems, chosen.pooling)
        else:
            sweeps = [solve_coded(chosen.probe, one, chosen.pooling, chosen.coding) for one in problems]
    return [job.described(sweep) for job, sweep in zip(jobs, sweeps, strict=True)]


def _save(sweep: Sweep, folder: Path) -> dict[str, Any]:
    save_sweep(sweep, folder)
    return {"seconds": sweep.seconds}


def differ_in_target(one: TaskSpec, other: TaskSpec) -> bool:
    """Return True for two targets of the same data and splits that are in the same suites."""
    return one.options != other.options and _but_target(one) == _but_target(other)


def _but_target(task: TaskSpec) -> tuple[Any, ...]:
    division = task.protocol, task.split, task.block_m
    return task.kind, task.reader, task.root, division, set(task.suites), task.options_without_target
