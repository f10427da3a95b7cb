"""Rankings follow from the numbers: planted orders and changes of order are found, noise is neither."""

from pathlib import Path

from tests.planted.ranking import orders_of, planted_run, rivalries_of

LADDER = {"m_best": 0.85, "m_good": 0.80, "m_fair": 0.75, "m_poor": 0.65}


def test_a_planted_order_is_recovered(tmp_path: Path):
    (found,) = orders_of(planted_run(tmp_path / "ladder", {"t_one": LADDER})).values()
    assert list(found.standings) == list(LADDER)
    assert [one.group for one in found.standings.values()] == ["a", "b", "c", "d"]
    assert [(one.low, one.high) for one in found.standings.values()] == [(n, n) for n in (1, 2, 3, 4)]
    assert found.standings["m_best"].best > 0.99


def test_equal_models_are_one_group(tmp_path: Path):
    equal = dict.fromkeys(LADDER, 0.8)
    (found,) = orders_of(planted_run(tmp_path / "equal", {"t_one": equal}, noise=0.0)).values()
    assert {one.group for one in found.standings.values()} == {"a"}
    assert {one.best for one in found.standings.values()} == {0.25}
    assert {(one.low, one.high, one.clear) for one in found.standings.values()} == {(1, 4, (1, 4))}


def test_noise_is_no_order(tmp_path: Path):
    near = {"m_best": 0.803, "m_good": 0.802, "m_fair": 0.801, "m_poor": 0.800}
    (found,) = orders_of(planted_run(tmp_path / "near", {"t_one": near}, noise=0.1)).values()
    assert {one.group for one in found.standings.values()} == {"a"}
    assert all(one.high - one.low >= 2 and one.best < 0.8 for one in found.standings.values())


def test_a_planted_change_of_order_is_found(tmp_path: Path):
    crossing = {"t_one": {"m_a": 0.85, "m_b": 0.80}, "t_two": {"m_a": 0.70, "m_b": 0.75}}
    (found,) = rivalries_of(planted_run(tmp_path / "crossing", crossing))
    assert found.crosses
    assert (found.ahead.setting.task, found.behind.setting.task) == ("t_one", "t_two")
    assert (round(found.ahead.difference.value, 3), round(found.behind.difference.value, 3)) == (0.05, -0.05)


def test_noise_is_no_change_of_order(tmp_path: Path):
    noise = {f"t_{n}": {"m_a": 0.80 + 0.002 * turn, "m_b": 0.80} for n, turn in enumerate((1, -1, 1, -1))}
    (found,) = rivalries_of(planted_run(tmp_path / "noise", noise, noise=0.1))
    assert found.opposite
    assert not found.crosses
    assert found.p > 0.2
