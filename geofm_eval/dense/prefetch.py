"""Batches prepared in threads while a GPU computes: reading chips must not keep it waiting."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from geofm_eval.dense.batches import Batch

GPU_THREADS = 4
"""Readers beside a GPU; each also is a batch that waits in memory."""


class Prefetcher:
    """The batches of consecutive steps, made ahead of time by some threads.

    What a batch holds is decided by its step alone, so that threads change no number.

    Args:
        make: prepares the batch of a step.
        threads: 0 makes every batch when it is asked for.
        end: number of the first step that there is not.

    Example:
        >>> ahead = Ahead(load_batch, threads=4, end=100)  # doctest: +SKIP
        >>> first, second = ahead.take(0), ahead.take(1)  # doctest: +SKIP
    """

    def __init__(self, make: Callable[[int], Batch], threads: int, end: int) -> None:
        self._make, self._threads, self._end = make, threads, end
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._waiting: deque[tuple[int, Future[Batch]]] = deque()

    def take(self, step: int) -> Batch:
        """The batch of a step; an error of its preparation is raised here."""
        if self._pool is None:
            return self._make(step)
        if self._waiting and self._waiting[0][0] != step:
            self._drop()
        begun = step + len(self._waiting)
        for coming in range(begun, min(step + self._threads + 1, self._end)):
            self._waiting.append((coming, self._pool.submit(self._make, coming)))
        return self._waiting.popleft()[1].result()

    def close(self) -> None:
        """Stop the threads."""
        self._drop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _drop(self) -> None:
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
