"""A decoder trained on a backbone, frozen or tuned, with every seed. A case asserts that its trainings are sound."""


def test_segment(training, metric_range):
    low, high = metric_range
    (score,) = training.record.scores.values()
    assert low <= score.value <= high, f"{score.metric} {score.value}, not in {low}..{high}"
    assert score.n == training.test_items, f"{score.n} test chips scored, the task has {training.test_items}"
    assert training.moved in ({True}, {False}), f"only some seeds changed the backbone: {training.moved}"
    assert training.moved == {training.tuned}, f"tuning = {training.tuned}, backbone changed = {training.moved}"
