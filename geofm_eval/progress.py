"""Progress of long work and downloads: speed and remaining time on a terminal, one log line per finished piece."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

_REFRESH_SECONDS = 0.2
_CLEAR_LINE = "\r\x1b[K"


class Progress(Protocol):
    """Follows one piece of work, for example the extraction of one split."""

    def update(self, n: int) -> None:
        """Report that ``n`` more items are finished."""

    def done(self) -> None:
        """Report that the work has ended, whether complete or not."""


StartProgress = Callable[[str, int], Progress]
"""Starts to follow a piece of work, given its name and its number of items."""


class LogProgress:
    """Logs one line at the end of the work.

    Example: ``galileo_nano on eurosat_rgb/train: 2000 items in 11.2 s (179 items/s)``.
    """

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.count = 0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def rate(self) -> float:
        """Finished items per second."""
        return self.count / max(self.seconds, 1e-9)

    def update(self, n: int) -> None:
        """Report that ``n`` more items are finished."""
        self.count += n

    def done(self) -> None:
        """Log the line."""
        reached = f"{self.count}" if self.count == self.total else f"stopped after {self.count} of {self.total}"
        log.info("%s: %s items in %.1f s (%.0f items/s)", self.name, reached, self.seconds, self.rate)


class TerminalProgress(LogProgress):
    """Updates one line of a terminal a few times per second, and clears it before the log line.

    Example: ``galileo_nano on eurosat_rgb/train: 640/2000 items, 179 items/s, 8 s left``.
    """

    def __init__(self, name: str, total: int, stream: TextIO) -> None:
        super().__init__(name, total)
        self._stream = stream
        self._shown = 0.0

    def update(self, n: int) -> None:
        """Report that ``n`` more items are finished, and refresh the line if it is due."""
        super().update(n)
        if self.seconds - self._shown >= _REFRESH_SECONDS:
            self._shown = self.seconds
            left = (self.total - self.count) / max(self.rate, 1e-9)
            line = f"{self.name}: {self.count}/{self.total} items, {self.rate:.0f} items/s, {_duration(left)} left"
            self._write(_CLEAR_LINE + line)

    def done(self) -> None:
        """Clear the line and log the final one."""
        if self._shown:
            self._write(_CLEAR_LINE)
        super().done()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def progress_on(stream: TextIO) -> StartProgress:
    """Return a live line for a terminal; only the log for a file, a pipe or a worker."""
    if not stream.isatty():
        return LogProgress
    return lambda name, total: TerminalProgress(name, total, stream)


def _duration(seconds: float) -> str:
    """Format a duration as ``8 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class TransferLog(LogProgress):
    """Counts bytes and logs one line at the end of a transfer.

    Example of the line: ``CROMA_base-0238d814.pt: 777.6 MB in 61.2 s (12.7 MB/s)``.
    """

    def done(self) -> None:
        """Log the line."""
        size = f"{self.count / 1e6:.1f} MB"
        reached = size if self.count >= self.total else f"stopped after {size} of {self.total / 1e6:.1f} MB"
        log.info("%s: %s in %.1f s (%.1f MB/s)", self.name, reached, self.seconds, self.rate / 1e6)


class TransferBar(TransferLog):
    """Shows a bar with bytes, speed and remaining time, and logs one line at the end."""

    def __init__(self, name: str, total: int, console: "Console") -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        super().__init__(name, total)
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(name, total=total or None)
        self._bar.start()

    def update(self, n: int) -> None:
        """Record that ``n`` more bytes have arrived."""
        super().update(n)
        self._bar.advance(self._task, n)

    def done(self) -> None:
        """Remove the bar and log the line."""
        self._bar.stop()
        super().done()


def transfer_on(console: "Console") -> StartProgress:
    """Return a bar for terminal output, and only the log for a file or pipe."""
    if not console.is_terminal:
        return TransferLog
    return lambda name, total: TransferBar(name, total, console)
