"""One probe at one tap of a frozen backbone on one task; the score must be valid and within its expected range."""


def test_probe(measurement, metric_range, range_verdict):
    low, high = metric_range
    for fraction, score in measurement.record.scores.items():
        assert low <= score.value <= high, f"{score.metric} {score.value} at {fraction} labels, not in {low}..{high}"
        assert score.n == measurement.test_items, f"test samples scored: {score.n}, expected: {measurement.test_items}"
    stuck = measurement.unconverged
    assert not stuck, f"not converged, as (label fraction, draw): {stuck}"
    assert range_verdict.holds, range_verdict.sentence
