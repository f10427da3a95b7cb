"""What tuning changed inside a backbone. A case asserts that what must not change does not, and what must does."""


def test_drift(drift):
    found = drift.record.drift
    for arm in ("again", "still"):
        moved = drift.largest(arm)
        assert moved < 1e-6, f"{moved} of total drift with {arm} weights: the same numbers must give the same features"
    assert drift.largest("tuned") > 1e-6, "tuning left every tap as it was"
    assert found.n == drift.test_items, f"{found.n} items compared, {drift.test_items} chosen"
