"""Admissible choices of the dense probe: tokens are encoded once and solved again with noise in their last digits."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.dense.fits import LinearMap
from geofm_eval.dense.probe import DenseProbe
from geofm_eval.dense.token_problem import Key, TokenProblem
from geofm_eval.dense.tokens import TokenSample
from geofm_eval.devices import device_turn
from geofm_eval.expected.admissible import DEVIATIONS, ROUNDING, Admitted, Choices, choices
from geofm_eval.extraction import exact_float32
from geofm_eval.measure import compatible
from geofm_eval.measure.noise import (
    FOLDER,
    MANIFEST,
    NOISE_VERSION,
    UNPERTURBED,
    ByScore,
    Perturbation,
    check_key,
    described,
    noisy,
    solves_of,
)
from geofm_eval.measure.scores import probe_metric
from geofm_eval.paths import geofm_cache
from geofm_eval.records import Record, fraction_key
from geofm_eval.stats.counts import count_score
from geofm_eval.store import content_hash, publish_directory
from geofm_eval.workspace import Workspace

FILE = "admitted.json"

Samples = Mapping[str, TokenSample]


@dataclass(frozen=True)
class TokenSolve:
    """Solution for one tap and label subset.

    Args:
        losses: (L,) mean validation loss of the tokens.
        index: position of the chosen penalty.
        apply: linear map at that penalty.
    """

    losses: NDArray[np.float64]
    index: int
    apply: LinearMap


def admitted_dense(workspace: Workspace, record: Record) -> ByScore:
    """Return the scores of a dense probe under admissible choices, for all taps at once; the result is cached.

    Args:
        workspace: workspace with the recipe and device of the record.
        record: a case of the dense probe.

    Raises:
        DataError: data, weights or probe differ from those of the record.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    probe = workspace.dense_probe(record.case.model, record.case.task)
    check_key(record, probe.key)
    solves = solves_of(workspace.settings.device)
    path = path_of(probe.key, solves)

    def write(folder: Path) -> dict[str, Any]:
        progress = workspace.progress(described(record), len(solves))
        with device_turn(workspace.settings.device), torch.inference_mode(), exact_float32():
            found = _admitted(probe, solves, progress.update)
        progress.done()
        content = {tap: {name: asdict(one) for name, one in scores.items()} for tap, scores in found.items()}
        (folder / FILE).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        return {}

    publish_directory(path, write, MANIFEST)
    content = json.loads((path / FILE).read_text(encoding="utf-8"))
    return {tap: {name: _read(one) for name, one in scores.items()} for tap, scores in content.items()}


def path_of(key: str, solves: Sequence[Perturbation]) -> Path:
    """Return the path of a cached result."""
    rule = {"deviations": DEVIATIONS, "rounding": ROUNDING}
    content = {"sweep": key, "solves": [one.name for one in solves], "version": NOISE_VERSION, **rule}
    return geofm_cache() / "noise" / FOLDER / content_hash(content)


def _read(content: dict[str, Any]) -> Admitted:
    draws = tuple(Choices(tuple(one["indices"]), one["gap"]) for one in content.pop("draws"))
    return Admitted(**content, draws=draws)


def _admitted(probe: DenseProbe, solves: Sequence[Perturbation], solved: Callable[[int], None]) -> ByScore:
    """Solve under every perturbation, then test all relevant maps in one pass."""
    samples = probe.sampled()
    exact = probe.problem.solved(samples)
    solved(1)
    others: dict[Perturbation, dict[Key, TokenSolve]] = {}
    for one in solves:
        if one != UNPERTURBED:
            others[one] = _solve(probe.problem, samples, one)
            solved(1)
    found: dict[Key, Choices] = {}
    for key, own in exact.items():
        losses = [solve[key].losses for solve in others.values()]
        above = own.losses - own.losses.min()
        found[key] = choices(above, [one - one.min() for one in losses], own.index, float(own.losses.min()))
    asked: dict[tuple[Key, object], LinearMap] = {
        (key, k): exact[key].fit.at(k) for key, own in found.items() for k in own.indices
    }
    # Maps fitted on tokens with different noise differ, even at the same penalty.
    asked |= {(key, one): solve[key].apply for one, solve in others.items() for key in exact}
    scores = _scores(probe, asked)
    return _by_score(found, scores, [one for one in solves if one != UNPERTURBED])


def _solve(problem: TokenProblem, samples: Samples, one: Perturbation) -> dict[Key, TokenSolve]:
    if one.compatible:
        return compatible.compute(solve_tokens, problem, samples)
    return solve_tokens(problem, {name: _noisy(sample, one, name) for name, sample in samples.items()})


def solve_tokens(problem: TokenProblem, samples: Samples) -> dict[Key, TokenSolve]:
    """Solve a probe on token samples; can run in a separate process."""
    with torch.inference_mode(), exact_float32():
        return {key: TokenSolve(one.losses, one.index, one.apply) for key, one in problem.solved(samples).items()}


def _noisy(sample: TokenSample, one: Perturbation, split: str) -> TokenSample:
    return replace(sample, features={tap: noisy(values, one, tap, split) for tap, values in sample.features.items()})


def _scores(probe: DenseProbe, asked: Mapping[tuple[Key, object], LinearMap]) -> dict[tuple[Key, object], float]:
    """Test score of every map, as in records."""
    metric = probe_metric(probe.splits["test"].task)
    counts = probe.tested(asked)
    return {key: float(count_score(own[None], metric)[0]) for key, own in counts.items()}


def _by_score(
    found: Mapping[Key, Choices], scores: Mapping[tuple[Key, object], float], others: Sequence[Perturbation]
) -> ByScore:
    result: ByScore = {}
    for tap, fraction in dict.fromkeys((tap, fraction) for tap, (fraction, _) in found):
        keys = sorted(key for key in found if (key[0], key[1][0]) == (tap, fraction))
        reached = [[scores[key, k] for k in found[key].indices] for key in keys]
        solves = {one.name: float(np.mean([scores[key, one] for key in keys])) for one in others}
        result.setdefault(tap, {})[fraction_key(fraction)] = Admitted(
            low=float(np.mean([min(own) for own in reached])),
            high=float(np.mean([max(own) for own in reached])),
            solves={UNPERTURBED.name: float(np.mean([own[0] for own in reached])), **solves},
            draws=tuple(found[key] for key in keys),
        )
    return result
