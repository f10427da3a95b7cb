"""Solves of a probe on features that differ in their last digits, which determine its admissible penalties.

Every value of a feature block is multiplied by 1 + s z, with independent standard normal z and s = 1e-7 or 1e-6,
because processors, libraries and versions of torch round float32 features in the seventh digit (the median relative
difference between two instruction sets was 1.7e-7). One more solve uses the features without noise and the MKL code
path that all processors share. Labels, draws and validation samples are the same in all solves.
"""

import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.devices import device_turn
from geofm_eval.errors import DataError
from geofm_eval.expected.admissible import Admitted
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import FeatureBlock, stored_block
from geofm_eval.measure import compatible
from geofm_eval.paths import geofm_cache
from geofm_eval.probes.job import ProbeJob
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import Probe, Sweep, solve_together
from geofm_eval.records import Record
from geofm_eval.seeds import generator
from geofm_eval.store import content_hash, problem_with, publish_directory
from geofm_eval.workspace import Workspace

log = logging.getLogger(__name__)

NOISE_VERSION = 2
"""Part of every cache key; raised by any change that affects results."""

FOLDER = f"v{NOISE_VERSION}"
MANIFEST = "noise.json"
FILE = "solve.npz"

ByScore = dict[str, dict[str, Admitted]]
"""By tap and label fraction."""


@dataclass(frozen=True)
class Perturbation:
    """Difference between a solve and that of a record.

    Args:
        noise: standard deviation of the noise, relative to each value.
        number: number of the solve, which selects the noise.
        compatible: compute in the process of :mod:`geofm_eval.measure.compatible`.
    """

    noise: float = 0.0
    number: int = 0
    compatible: bool = False

    @property
    def name(self) -> str:
        """Name in cache keys, for example ``noise 1e-07, solve 3``."""
        if self.compatible:
            return f"{compatible.VARIABLE}={compatible.VALUE}"
        return f"noise {self.noise:g}, solve {self.number}" if self.noise else "no noise"


UNPERTURBED = Perturbation()
PERTURBATIONS = (
    *(Perturbation(noise, number) for noise in (1e-7, 1e-6) for number in range(4)),
    Perturbation(compatible=True),
)
"""Solves in addition to the one without noise."""


@dataclass(frozen=True)
class PerturbedSolve:
    """One solve of a probe over all its rows, which are taps and label subsets.

    Attributes:
        above: (rows, L) float32, validation losses above the lowest of the row; L = 0 for a probe without penalties.
        lowest: (rows,) float64, lowest validation loss; NaN without validation samples.
        chosen: (rows,) int64, position of the chosen penalty; -1 for a probe without penalties.
        tested: (rows,) float64, test result at the choice: accuracy, or the summed squared error of ridge.
        explored: (rows, E) float64, see ``SweepRow.explored``; E = 0 if the rule does not use it.
    """

    above: NDArray[np.float32]
    lowest: NDArray[np.float64]
    chosen: NDArray[np.int64]
    tested: NDArray[np.float64]
    explored: NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """Features of a probe with the noise of one solve, determined by solve, tap and split; can be pickled."""

    blocks: Mapping[str, FeatureBlock]
    pooling: str
    perturbation: Perturbation

    def __call__(self, tap: str, split: str) -> NDArray[np.float32]:
        """Return the features (n, D) of a tap and split."""
        values = self.blocks[split].features(tap, self.pooling)
        if not self.perturbation.noise:
            return values
        return noisy(values, self.perturbation, tap, split)


def noisy(values: NDArray[np.float32], perturbation: Perturbation, *names: str) -> NDArray[np.float32]:
    """Add relative noise in float64, because float32 would round 1 + 1e-7 z to a few values."""
    rng = generator("feature noise", perturbation.noise, perturbation.number, *names)
    return np.asarray(values * (1 + perturbation.noise * rng.standard_normal(values.shape)), dtype=np.float32)


def solves_of(device: str) -> tuple[Perturbation, ...]:
    """Return all solves of a probe, the one without noise first; without MKL there is one less, with a warning."""
    if compatible.available(device):
        return UNPERTURBED, *PERTURBATIONS
    log.warning(
        "%s has no MKL, so ranges are based on one solve less (%s=%s)",
        device,
        compatible.VARIABLE,
        compatible.VALUE,
    )
    return UNPERTURBED, *(one for one in PERTURBATIONS if not one.compatible)


def described(record: Record) -> str:
    """Describe the work, for progress."""
    case = record.case
    return f"{case.adaptation} of {case.model} on {case.task}, solved with last-digit noise on its features"


def job_of(workspace: Workspace, record: Record) -> ProbeJob:
    """Return the job that solved the probe of a record, with its blocks from the cache."""
    task = record.case.task
    job = ProbeJob(
        record.case.model,
        workspace.catalog.task(task),
        workspace.catalog.adaptation(record.case.adaptation),
        {split: stored_block(key) for split, key in record.provenance.feature_keys.items()},
        workspace.splits(task),
        workspace.budget(task),
        workspace.recipe.val_budget,
        workspace.settings.device,
    )
    check_key(record, job.key)
    return job


def check_key(record: Record, key: str) -> None:
    """Check that the current probe is that of a record."""
    if key != record.provenance.sweep_key:
        raise DataError(
            f"{record.case.id} of run '{record.run.name}': the current setup solves a different probe than the record; "
            "its weights, data, labels, recipe or method have changed. Run the case again here"
        )


def solved(
    workspace: Workspace, jobs: Mapping[str, ProbeJob], name: str
) -> dict[str, dict[Perturbation, PerturbedSolve]]:
    """Return every solve of targets on the same features; those that the cache lacks are computed in sequence."""
    names = solves_of(workspace.settings.device)
    progress = workspace.progress(name, len(names))
    found: dict[str, dict[Perturbation, PerturbedSolve]] = {task: {} for task in jobs}
    for one in names:
        for task, solve in _stored(jobs, one).items():
            found[task][one] = solve
        progress.update(1)
    progress.done()
    return found


def path_of(key: str, perturbation: Perturbation) -> Path:
    """Return the path of a cached solve."""
    content = {"sweep": key, "solve": perturbation.name, "version": NOISE_VERSION}
    return geofm_cache() / "noise" / FOLDER / content_hash(content)


def _stored(jobs: Mapping[str, ProbeJob], one: Perturbation) -> dict[str, PerturbedSolve]:
    """One solve of every target; those that the cache lacks are solved together."""
    paths = {task: path_of(job.key, one) for task, job in jobs.items()}
    wanting = [task for task, path in paths.items() if problem_with(path, MANIFEST) is not None]
    if wanting:
        for task, solve in zip(wanting, _solve([jobs[task] for task in wanting], one), strict=True):
            publish_directory(paths[task], lambda folder, solve=solve: _write(solve, folder), MANIFEST)  # type: ignore[misc]
    return {task: _read(path) for task, path in paths.items()}


def _write(solve: PerturbedSolve, folder: Path) -> dict[str, Any]:
    np.savez_compressed(folder / FILE, **vars(solve))
    return {}


def _read(path: Path) -> PerturbedSolve:
    try:
        with np.load(path / FILE, allow_pickle=False) as file:
            return PerturbedSolve(**{name: file[name] for name in file.files})
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable solve ({error}); delete the folder to solve it again") from None


def _solve(jobs: Sequence[ProbeJob], one: Perturbation) -> list[PerturbedSolve]:
    adaptation, device = jobs[0].adaptation, jobs[0].device
    problems = [
        replace(job.problem, features=Blocks(job.blocks, adaptation.pooling, one), explore=True) for job in jobs
    ]
    args = (adaptation.probe, problems, adaptation.pooling, one == UNPERTURBED)
    if one.compatible:
        return compatible.compute(_solve_here, *args)
    with device_turn(device):
        return _solve_here(*args)


def _solve_here(probe: Probe, problems: Sequence[ProbeProblem], pooling: str, explored: bool) -> list[PerturbedSolve]:
    with exact_float32():
        sweeps = solve_together(probe, problems, pooling)
    # Test results at other penalties are taken from the solve without noise; votes of kNN are compared in all solves.
    return [_kept(sweep, explored or probe == "knn") for sweep in sweeps]


def _kept(sweep: Sweep, explored: bool) -> PerturbedSolve:
    rows = sweep.rows
    losses = np.array([row.val_loss or (np.nan,) * len(row.candidates) for row in rows], dtype=np.float64)
    lowest = losses.min(axis=1) if losses.shape[1] else np.full(len(rows), np.nan)
    return PerturbedSolve(
        above=(losses - lowest[:, None]).astype(np.float32),
        lowest=lowest,
        chosen=np.array([-1 if row.chosen_index is None else row.chosen_index for row in rows], dtype=np.int64),
        tested=np.array([row.test_score if (at := row.chosen_index) is None else row.explored[at] for row in rows]),
        explored=np.array([row.explored if explored else () for row in rows], dtype=np.float64),
    )
