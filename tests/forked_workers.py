"""Workers of pytest-xdist as forks of a process that has loaded torch: each would load it again, for seconds.

They get the working folder and the environment that a new process would get.
"""

import atexit
import json
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from execnet import gateway_io
from execnet.gateway_base import ExecModel, Popen2IO

MOST_BYTES = 2**20
"""Limit of a folder and an environment as JSON."""


def fork_workers() -> None:
    """Let pytest-xdist fork its workers; call this before pytest starts, because they begin as this process is now."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _serve(theirs)
    theirs.close()

    class ForkedWorker(Popen2IO):
        """Pipes to a new worker, in place of those to a new interpreter."""

        def __init__(self, args: list[str], execmodel: ExecModel) -> None:
            (stdin, to_worker), (from_worker, stdout) = os.pipe(), os.pipe()
            socket.send_fds(ours, [json.dumps([os.getcwd(), dict(os.environ)]).encode()], [stdin, stdout])
            self.process = os.pidfd_open(int(ours.recv(MOST_BYTES)))
            os.close(stdin)
            os.close(stdout)
            super().__init__(os.fdopen(to_worker, "wb"), os.fdopen(from_worker, "rb"), execmodel=execmodel)

        def wait(self) -> None:
            select.select([self.process], [], [])

        def kill(self) -> None:
            signal.pidfd_send_signal(self.process, signal.SIGKILL)

    gateway_io.Popen2IOMaster = ForkedWorker  # type: ignore[misc, assignment]


def _serve(requests: socket.socket) -> NoReturn:
    """Fork a worker per request until the session has ended."""
    while True:
        content, pipes, _, _ = socket.recv_fds(requests, MOST_BYTES, 2)
        if not content:
            os._exit(0)
        worker = os.fork()
        if worker == 0:
            requests.close()
            _work(pipes, *json.loads(content))
        for pipe in pipes:
            os.close(pipe)
        requests.send(str(worker).encode())


def _work(pipes: list[int], folder: str, environment: dict[str, str]) -> NoReturn:
    """Do what execnet lets a new interpreter do, see ``gateway_io.popen_bootstrapline``."""
    for target, pipe in enumerate(pipes):
        os.dup2(pipe, target)
        os.close(pipe)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.argv = os.fdopen(0), os.fdopen(1, "w"), ["-c"]
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(gateway_io.popen_bootstrapline, names)
    leave(0)


def leave(status: int) -> NoReturn:
    """End a fork after its exit handlers; Python would first take apart what it loaded, which takes a second."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
