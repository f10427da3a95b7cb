"""Sessions of pytest in forks of a process that has loaded torch already: loading it takes longer than most of them.

A fork has a working folder, environment and output of its own. Its session differs from ``python -m pytest`` in two
ways: torch and the package are loaded before the environment is set, and rankings get no figures. Workers of its
``-n`` are forks as well. Tests that depend on any of these use ``SmallSuite.run_fresh``.
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.forked_workers import fork_workers, leave

LIMIT = 150.0
"""Seconds that a session may take."""


@dataclass(frozen=True)
class Request:
    """A session to run: pytest's arguments, the folder to start in, the environment, the file for what it prints."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    output: str


class SessionServer:
    """The process whose forks run sessions; it ends with the process that started it."""

    def __init__(self, root: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GEOFM_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.session_server"],
            env={**kept, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.stop)

    def run(self, request: Request) -> int:
        """Run a session and return its exit status.

        Raises:
            RuntimeError: it did not end in time, or the server died.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(LIMIT, self.stop)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(vars(request)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not answer:
            raise RuntimeError(f"the session did not end within {LIMIT:g} s: {Path(request.output).read_text()}")
        return int(answer)

    def stop(self) -> None:
        """End the server and whatever session is still running in it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def serve() -> None:
    """Run the sessions that are asked for, one after the other, and answer with the exit status of each."""
    gc.freeze()  # or the first collection of a session copies every page that holds an object
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            leave(session(Request(**json.loads(line))))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def session(request: Request) -> int:
    """Run a session in this process, which is then of no further use."""
    import pytest

    from tests.collating import no_figures

    for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, request.output, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(name, mode), number)
    os.dup2(1, 2)
    os.chdir(request.folder)
    sys.path[0] = request.folder
    os.environ.clear()
    os.environ.update(request.environment)
    no_figures(pytest.MonkeyPatch())
    if "-n" in request.arguments:
        fork_workers()
    return int(pytest.main(request.arguments))


if __name__ == "__main__":
    # What sessions load: each of them would spend seconds on it.
    import pytest  # noqa: F401

    import geofm_eval.measure
    import geofm_eval.measure.similarity
    import geofm_eval.measure.training
    import geofm_eval.report.collation
    import geofm_eval.workspace  # noqa: F401
    import tests.collating  # noqa: F401

    serve()
