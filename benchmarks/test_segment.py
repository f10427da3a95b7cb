"""A decoder trained on a backbone, frozen or tuned, with every seed: its trainings are sound, its score as expected."""


def test_segment(training, metric_range, range_verdict):
    low, high = metric_range
    (score,) = training.record.scores.values()
    assert low <= score.value <= high, f"{score.metric} {score.value}, not in {low}..{high}"
    assert score.n == training.test_items, f"{score.n} test chips scored, the task has {training.test_items}"
    assert training.moved in ({True}, {False}), f"only some seeds changed the backbone: {training.moved}"
    assert training.moved == {training.tuned}, f"tuning = {training.tuned}, backbone changed = {training.moved}"
    assert range_verdict.holds, range_verdict.sentence
