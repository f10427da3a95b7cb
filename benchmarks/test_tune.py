"""A backbone tuned with a linear decoder on a task with one label per sample, with every seed."""


def test_tune(training, metric_range, range_verdict):
    low, high = metric_range
    (score,) = training.record.scores.values()
    assert low <= score.value <= high, f"{score.metric} {score.value}, not in {low}..{high}"
    assert score.n == training.test_items, f"test samples scored: {score.n}, expected: {training.test_items}"
    assert training.moved == {training.tuned}, f"tuning = {training.tuned}, but backbone changed = {training.moved}"
    assert range_verdict.holds, range_verdict.sentence
