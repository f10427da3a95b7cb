"""A decoder trained on a frozen or tuned backbone, with every seed; the score must be valid and within its range."""


def test_segment(training, metric_range, range_verdict):
    low, high = metric_range
    (score,) = training.record.scores.values()
    assert low <= score.value <= high, f"{score.metric} {score.value}, not in {low}..{high}"
    assert score.n == training.test_items, f"test chips scored: {score.n}, expected: {training.test_items}"
    assert training.moved in ({True}, {False}), f"the backbone changed with some seeds only: {training.moved}"
    assert training.moved == {training.tuned}, f"tuning = {training.tuned}, but backbone changed = {training.moved}"
    assert range_verdict.holds, range_verdict.sentence
