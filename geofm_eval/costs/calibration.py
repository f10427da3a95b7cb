"""Speed of this machine in proportion to that of the committed reference, by a short calculation."""

import time

import numpy as np
from threadpoolctl import threadpool_limits

REFERENCE_SECONDS = 0.0041
"""Seconds of one round on one thread of the machine that measured the reference."""

ROUNDS, MOST_SECONDS = 25, 1.0
SIDE, REPEATS = 256, 12


def speed_ratio(threads: int) -> float:
    """Return how many times longer this machine needs than the reference's; takes about a third of a second.

    A round multiplies matrices and applies an activation, the two kinds of work of a forward pass. The median of the
    rounds counts, so that a machine that is busy with other work is slow for the estimate as well.

    Args:
        threads: threads per process.
    """
    generator = np.random.default_rng(0)
    left, right = (generator.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(2))
    seconds: list[float] = []
    began = time.perf_counter()
    with threadpool_limits(threads):
        while len(seconds) < ROUNDS and time.perf_counter() - began < MOST_SECONDS:
            started = time.perf_counter()
            for _ in range(REPEATS):
                np.tanh(left @ right / SIDE)
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) / REFERENCE_SECONDS
