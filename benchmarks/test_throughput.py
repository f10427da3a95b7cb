"""Speed of the frozen forward pass, stopped at each quarter of the depth: what an early layer saves."""


def test_throughput(benchmark, forward, tell_speed, case):
    benchmark.group = case.model
    tokens = benchmark(forward)
    assert len(tokens) == forward.images, f"{len(tokens)} items came back, {forward.images} went in"
    assert tokens.isfinite().all(), "the backbone gave tokens that are not finite"
    benchmark.extra_info["images_per_second"] = forward.images_per_second(benchmark)
    tell_speed(forward.images_per_second(benchmark))
