"""How far the score of a solved probe moves where features differ as they do between machines: by a little noise.

Every number of a feature block is multiplied by 1 + 1e-4 z, with z standard normal and drawn anew for each: other
processors, libraries and versions of torch round float32 features in the sixth or seventh digit, and what a probe makes
of that is at most what it makes of so much more. The probe is solved again with the same labels, draws and selection.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.crossed import count_score
from geofm_eval.data.seeds import generator
from geofm_eval.data.split import ALL
from geofm_eval.dense.probe import DenseProbe
from geofm_eval.dense.sample import TokenEncoder
from geofm_eval.dense.windows import Window
from geofm_eval.errors import DataError
from geofm_eval.extraction import exact_float32
from geofm_eval.features import stored_block
from geofm_eval.metrics import pooled_r2
from geofm_eval.paths import geofm_cache
from geofm_eval.pipeline import ProbeJob, Workspace, device_turn
from geofm_eval.probes.sweep import Sweep, solve_together
from geofm_eval.records import Record, fraction_key
from geofm_eval.store import content_hash, problem_with, publish_directory

NOISE = 1e-4
"""Standard deviation of the noise, relative to each number."""

SOLVES = 20

NOISE_VERSION = 1
"""Part of every key: a change that moves any number raises it."""

MANIFEST = "noise.json"
FILE = "scores.json"

Scores = dict[str, dict[str, float]]
"""Score by tap and label fraction."""


def noisy_scores(workspace: Workspace, records: Sequence[Record]) -> dict[str, list[Scores]]:
    """Scores of some probes under noise, ``SOLVES`` times, solved where the cache lacks them: one solve after another.

    Args:
        workspace: under the recipe and device of the records.
        records: probe cases of one model and adaptation on the same features, whatever their taps and targets.

    Returns:
        By task, the scores of every solve.

    Raises:
        DataError: the feature blocks are not in the cache, or data, weights or probe are not those of the records.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    own = {record.case.task: record for record in records}
    if workspace.catalog.task(next(iter(own))).dense:
        return {task: _dense_scores(workspace, record) for task, record in own.items()}
    jobs = {task: _job(workspace, record) for task, record in own.items()}
    progress = workspace.progress(f"{_name(records[0])}, solved with noise on its features", SOLVES)
    found: dict[str, list[Scores]] = {task: [] for task in jobs}
    for number in range(SOLVES):
        for task, scores in _solved(jobs, number).items():
            found[task].append(scores)
        progress.update(1)
    progress.done()
    return found


def _name(record: Record) -> str:
    return f"{record.case.adaptation} of {record.case.model} on {record.case.task}"


def _job(workspace: Workspace, record: Record) -> ProbeJob:
    """What solved the probe of a record, with its blocks from the cache."""
    task = record.case.task
    job = ProbeJob(
        workspace.catalog.task(task),
        workspace.catalog.adaptation(record.case.adaptation),
        {split: stored_block(key) for split, key in record.provenance.feature_keys.items()},
        workspace.splits(task),
        workspace.budget(task),
        workspace.recipe.val_budget,
        workspace.settings.device,
    )
    _check(record, job.key)
    return job


def _check(record: Record, key: str) -> None:
    if key != record.provenance.sweep_key:
        raise DataError(
            f"{record.case.id} of run '{record.run.name}': what is here solves another probe than the record's: its "
            "weights, data, labels, recipe or method have changed since; run the case again here"
        )


def _path(key: str, number: int) -> Path:
    solve = content_hash({"sweep": key, "solve": number, "noise": NOISE, "version": NOISE_VERSION})
    return geofm_cache() / "noise" / "v1" / solve


def _read(path: Path) -> Scores:
    found: Scores = json.loads((path / FILE).read_text(encoding="utf-8"))
    return found


def _keep(path: Path, scores: Scores) -> Scores:
    """Scores as they are in the cache, kept there first where it lacks them."""

    def write(folder: Path) -> dict[str, Any]:
        (folder / FILE).write_text(json.dumps(scores, allow_nan=False), encoding="utf-8")
        return {}

    publish_directory(path, write, MANIFEST)
    return _read(path)


def _solved(jobs: Mapping[str, ProbeJob], number: int) -> dict[str, Scores]:
    """One solve of every target; those that the cache lacks are solved together."""
    paths = {task: _path(job.key, number) for task, job in jobs.items()}
    wanting = [task for task, path in paths.items() if problem_with(path, MANIFEST) is not None]
    found = {task: _read(path) for task, path in paths.items() if task not in wanting}
    if wanting:
        some = [jobs[task] for task in wanting]
        problems = [replace(job.problem, features=_Noisy(job, number)) for job in some]
        with exact_float32(), device_turn(some[0].device):
            sweeps = solve_together(some[0].adaptation.probe, problems, some[0].adaptation.pooling)
        for task, sweep in zip(wanting, sweeps, strict=True):
            found[task] = _keep(paths[task], _scores(jobs[task], sweep))
    return found


@dataclass(frozen=True)
class _Noisy:
    """Features of a job with the noise of one solve: a function of solve, tap and split alone."""

    job: ProbeJob
    number: int

    def __call__(self, tap: str, split: str) -> NDArray[np.float32]:
        values = self.job.problem.features(tap, split)
        rng = generator("feature noise", self.number, tap, split)
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        return np.asarray(values * (1 + np.float32(NOISE) * noise), dtype=np.float32)


def _scores(job: ProbeJob, sweep: Sweep) -> Scores:
    """Scores as records have them: the mean over draws, or the R2 of all shuffles pooled."""
    found: Scores = {}
    for tap in sweep.taps:
        rows = sweep.rows_for(tap)
        for fraction in dict.fromkeys(row.fraction for row in rows):
            own = [row for row in rows if row.fraction == fraction]
            if ALL in job.splits:
                score = pooled_r2(np.stack([row.outcomes for row in own]), job.splits[ALL].labels)
            else:
                score = float(np.mean([row.test_score for row in own]))
            found.setdefault(tap, {})[fraction_key(fraction)] = score
    return found


@dataclass(frozen=True)
class _NoisyEncoder(TokenEncoder):
    """An encoder whose maps have the noise of one solve, drawn in the order in which windows are encoded."""

    noise: torch.Generator

    def maps(self, image: Any, windows: list[Window]) -> Any:
        """See ``TokenEncoder.maps``."""
        for some, found in super().maps(image, windows):
            yield some, {tap: values * (1 + NOISE * self._normal(values)) for tap, values in found.items()}

    def _normal(self, values: torch.Tensor) -> torch.Tensor:
        # Drawn on the CPU, so that every device sees the same noise.
        return torch.randn(values.shape, generator=self.noise).to(values.device)


def _dense_scores(workspace: Workspace, record: Record) -> list[Scores]:
    probe = workspace.dense_probe(record.case.model, record.case.task)
    _check(record, probe.key)
    progress = workspace.progress(f"{_name(record)}, solved with noise on its features", SOLVES)
    found = []
    for number in range(SOLVES):
        path = _path(probe.key, number)
        wanting = problem_with(path, MANIFEST) is not None
        found.append(_keep(path, _dense_solve(probe, number, workspace)) if wanting else _read(path))
        progress.update(1)
    progress.done()
    return found


def _dense_solve(probe: DenseProbe, number: int, workspace: Workspace) -> Scores:
    encoder, task = probe.encoder, probe.splits["test"].task
    noise = torch.Generator().manual_seed(int(generator("feature noise", number).integers(2**62)))
    noisy = _NoisyEncoder(encoder.loaded, encoder.adapter, encoder.size, encoder.device, noise)
    with device_turn(workspace.settings.device):
        tested = replace(probe, encoder=noisy).tested()
    metric = "r2" if task.metric == "rmse" else task.metric
    found: Scores = {}
    for tap, fraction in dict.fromkeys((tap, fraction) for tap, (fraction, _) in tested):
        counts = [own for (name, (share, _)), own in tested.items() if (name, share) == (tap, fraction)]
        found.setdefault(tap, {})[fraction_key(fraction)] = float(count_score(np.stack(counts), metric).mean())
    return found
