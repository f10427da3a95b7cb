"""Versions of the stand-in generators.

They are the identity of simulated data, because the bytes of generated files can differ between processors.
"""

from geofm_eval.catalog import TaskSpec

GENERATOR_VERSION = 2
"""Increase whenever the same seed gives other chips; part of the identity of simulated chips."""

LANDSCAPE_VERSION = 3
"""Increase whenever the same seed gives another landscape; part of the identity of simulated landscapes."""


def generator_version(task: TaskSpec) -> str:
    """Return the version of the generator that draws the stand-in of a task."""
    return f"{GENERATOR_VERSION}" if task.standin == "eurosat" else f"landscape{LANDSCAPE_VERSION}"
