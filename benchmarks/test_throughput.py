"""Speed of the frozen forward pass, stopped after each quarter of the depth."""


def test_throughput(benchmark, forward, keep_timing, case):
    benchmark.group = case.model
    tokens = benchmark(forward)
    assert len(tokens) == forward.images, f"samples returned: {len(tokens)}, expected: {forward.images}"
    assert tokens.isfinite().all(), "the backbone returned tokens that are not finite"
    keep_timing(forward, benchmark)
