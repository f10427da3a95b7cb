"""The simulation of false alarms over machines, on planted leads whose outcome is known."""

import numpy as np
import pytest
import scipy.stats

from benchmarks.studies.trust.ranges import MACHINES, OLD_NOISE, DrawTable, _probes, simulate
from geofm_eval.errors import DataError
from tests.synthetic_run import write_run


def planted(leads, scores, sd, draws=1, decision=0.001):
    """Cases of some draws each, with two penalties a draw."""
    rows = len(leads)
    deviations = np.tile([0.0, sd], (rows, 1))
    return DrawTable(
        case=np.arange(rows) // draws,
        weight=np.full(rows, 1 / draws),
        lead=np.column_stack([np.zeros(rows), leads]),
        score=np.array(scores, dtype=float),
        sd=deviations,
        sd_noise={1e-7: deviations, 1e-6: 10 * deviations, OLD_NOISE: deviations},
        decision=decision,
    )


def test_a_tie_that_few_machines_turn_raises_alarms_by_spread_and_none_by_admissible_choices():
    """5 % of machines turn the choice; an alarm needs 20 solves that agree with the machine that sets the range."""
    rows = planted([1.645e-5], [[0.47, 0.48]], sd=1e-5)
    found = simulate(rows, settings=1000)
    assert found["admissible choices"].alarms == 0
    rate = found["spread or floor"].alarms / found["spread or floor"].runs
    own = 1.645 + np.linspace(-6, 6, 2001)
    density = scipy.stats.norm.pdf(own - 1.645) * (own[1] - own[0])
    turned = scipy.stats.norm.cdf(-own)
    expected = np.where(own > 0, (1 - turned) ** 20 * 0.05, turned**20 * 0.95)
    assert rate == pytest.approx(float((density * expected).sum()), rel=0.15)


def test_admissible_choices_widen_a_range_by_what_the_tie_is_worth_and_no_other():
    rows = planted([1e-5, 1.0], [[0.47, 0.48], [0.5, 0.9]], sd=1e-5)
    found = simulate(rows, settings=20)["admissible choices"]
    assert found.widest == pytest.approx(0.01 + 2 * 0.001)
    clear = simulate(planted([1.0], [[0.5, 0.9]], sd=1e-5), settings=20)["admissible choices"]
    assert (clear.alarms, clear.widest) == (0, pytest.approx(0.002))


def test_draws_of_a_case_are_averaged():
    rows = planted([1e-5, 1.0], [[0.47, 0.48], [0.5, 0.9]], sd=1e-5, draws=2)
    assert rows.cases == 1
    assert rows.tied == 2
    assert rows.scores(np.array([[0, 0], [1, 1]])) == pytest.approx(np.array([[0.485], [0.69]]))
    assert simulate(rows, settings=20)["admissible choices"].widest == pytest.approx(0.005 + 0.002)


def test_a_drop_of_a_point_is_found_unless_the_range_is_wider():
    narrow = simulate(planted([1.0], [[0.5, 0.9]], sd=1e-5), settings=10)["admissible choices"]
    assert narrow.found == narrow.runs == 10 * MACHINES
    wide = simulate(planted([1e-5], [[0.47, 0.49]], sd=1e-5), settings=10)["admissible choices"]
    assert 0 < wide.found < wide.runs


def test_a_run_without_these_probes_is_refused(tmp_path):
    assert _probes(write_run(tmp_path / "run", tasks=("eurosat_sim",), adaptations=("linear",)))
    with pytest.raises(DataError, match="no linear probe of eurosat_sim; pass the folder of a run of suite bench"):
        _probes(write_run(tmp_path / "other", tasks=("eurosat_sim",), adaptations=("knn",)))
