"""Changes that tuning makes inside a backbone: controls must not drift, and the tuned backbone must."""


def test_drift(drift):
    found = drift.record.drift
    for arm in ("again", "still"):
        moved = drift.largest(arm)
        assert moved < 1e-6, f"total drift is {moved} with {arm} weights; the same weights must give the same features"
    assert drift.largest("tuned") > 1e-6, "tuning changed no tap"
    assert found.n == drift.test_items, f"samples compared: {found.n}, expected: {drift.test_items}"
