"""Time saved by solving targets of the same samples together: eight at once versus one at a time."""

import time

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from geofm_eval.data.shuffle_splits import shuffled_subsets
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import solve_together

N, WIDTH, TARGETS = 600, 256, 8
FRACTIONS = (0.1, 1.0)


def make_problems() -> list[ProbeProblem]:
    """Make eight linear targets of the same features, with forty shuffles each."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N, WIDTH), dtype=np.float32)
    problems = []
    for number in range(TARGETS):
        labels = features @ rng.standard_normal(WIDTH) + 5 * rng.standard_normal(N)
        subsets, plans = shuffled_subsets(labels, FRACTIONS, seed=number)
        cpu = torch.device("cpu")
        problems.append(ProbeProblem(lambda *_: features, {"all": labels}, ("final",), subsets, plans, 0, cpu))
    return problems


def test_eight_targets_cost_far_less_than_eight_times_one(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    problems = make_problems()
    with threadpool_limits(1):
        started = time.perf_counter()
        together = solve_together("ridge", problems, "mean")
        middle = time.perf_counter()
        alone = [solve_together("ridge", [problem], "mean")[0] for problem in problems]
        ended = time.perf_counter()
    for one, other in zip(together, alone, strict=True):
        assert [row.test_score for row in one.rows] == [row.test_score for row in other.rows]
    ratio = (ended - middle) / (middle - started)
    with capsys.disabled():
        print(f"\neight targets: {ended - middle:.1f} s one at a time, {middle - started:.1f} s together: {ratio:.1f}x")
    assert ratio > 1.5
