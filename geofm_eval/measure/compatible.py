"""A separate process that computes as on other processors, with the MKL code path that all processors share.

MKL reads ``MKL_CBWR`` once, before its first product, so the variable has no effect in a process that has computed.
"""

import functools
import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from geofm_eval.errors import GeofmError

T = TypeVar("T")

VARIABLE, VALUE = "MKL_CBWR", "COMPATIBLE"


def available(device: str) -> bool:
    """Return whether this is possible: on a CPU, if torch has MKL."""
    return torch.device(device).type == "cpu" and bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]


def compute(function: Callable[..., T], *args: Any) -> T:
    """Call a module-level function in the separate process, with the same number of threads.

    Raises:
        GeofmError: the process ended, for example because it ran out of memory.
    """
    try:
        result: T = pickle.loads(_process().submit(_answer, torch.get_num_threads(), function, *args).result())
    except BrokenProcessPool:
        _process.cache_clear()
        raise GeofmError(
            f"the process that solves with {VARIABLE}={VALUE} was killed; free some memory and repeat the command, "
            "which resumes where it stopped"
        ) from None
    return result


@functools.cache
def _process() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = VALUE
    try:
        pool.submit(os.getpid).result()
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    return pool


def _answer(threads: int, function: Callable[..., object], *args: Any) -> bytes:
    # As bytes, because torch would pass tensors in shared memory, which ends with the process.
    torch.set_num_threads(threads)
    return pickle.dumps(function(*args))
