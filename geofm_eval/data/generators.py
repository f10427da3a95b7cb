"""Versions of what draws stand-ins: their identity, because the bytes of simulated files differ between processors."""

from geofm_eval.catalog import TaskSpec

GENERATOR_VERSION = 2
"""Raised whenever files of the same seed are written with other content: simulated chips are known by it."""

LANDSCAPE_VERSION = 3
"""Raised whenever files of the same landscape are written with other content: simulated landscapes are known by it."""


def generator_version(task: TaskSpec) -> str:
    """Version of the generator that a stand-in is drawn by; another one draws other pixels under the same names."""
    return f"{GENERATOR_VERSION}" if task.standin == "eurosat" else f"landscape{LANDSCAPE_VERSION}"
