"""A frozen backbone, one tap of it, one probe, one task. A case asserts that it is sound, and as expected."""


def test_probe(measurement, metric_range, range_verdict):
    low, high = metric_range
    for fraction, score in measurement.record.scores.items():
        assert low <= score.value <= high, f"{score.metric} {score.value} at {fraction} labels, not in {low}..{high}"
        assert score.n == measurement.test_items, f"{score.n} test items scored, the task has {measurement.test_items}"
    stuck = measurement.unconverged
    assert not stuck, f"no optimum was reached in {len(stuck)} solves, (label fraction, draw): {stuck}"
    assert range_verdict.holds, range_verdict.sentence
