"""Progress of downloads: one line in the log, or a bar on a terminal."""

import logging
from typing import TYPE_CHECKING

from geofm_eval.progress import LogProgress, StartProgress

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)


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
