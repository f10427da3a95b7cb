"""Processes of their own for tests, forked from one that has loaded the package: a new one takes seconds to load it."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["geofm_eval.workspace"])


def process(target: Callable[..., object], *arguments: Any, name: str | None = None) -> BaseProcess:
    """A process that is not started yet; it gets the present environment, not that of the process it is forked from."""
    return CONTEXT.Process(target=_run, args=(dict(os.environ), target, arguments), name=name)


def _run(environment: dict[str, str], target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    set_environment(environment)
    target(*arguments)


def set_environment(environment: dict[str, str]) -> None:
    """Replace the environment of this process."""
    os.environ.clear()
    os.environ.update(environment)
