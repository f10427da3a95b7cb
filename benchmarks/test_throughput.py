"""Speed of the frozen forward pass, stopped at each quarter of the depth: what an early layer saves."""


def test_throughput(benchmark, forward, keep_timing, case):
    benchmark.group = case.model
    tokens = benchmark(forward)
    assert len(tokens) == forward.images, f"{len(tokens)} items came back, {forward.images} went in"
    assert tokens.isfinite().all(), "the backbone gave tokens that are not finite"
    keep_timing(forward, benchmark)
