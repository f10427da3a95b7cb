"""Scale and offset that a file declares for a band, compared with the task's."""

import math
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import canonical, unit_of
from geofm_eval.errors import DataError

PLAIN = (1.0, 0.0)
"""Scale and offset of a band without tags."""


def check_tag(path: Path, task: TaskSpec, band: str, tag: tuple[float, float], shift: float = 0.0) -> None:
    """Compare the scale and offset that a file declares for a band with the task's.

    Digital numbers are reflectance times 10,000; the tags of a file may refer to either.

    Args:
        path: the file, for messages.
        task: declares scale and offset; bands that it does not use are not compared.
        band: name of the band.
        tag: scale and offset of the file.
        shift: constant that the reader adds to stored values.

    Raises:
        DataError: the tags contradict the task.
    """
    names = [canonical(name) for name in task.bands]
    if tag == PLAIN or canonical(band) not in names:
        return
    position = names.index(canonical(band))
    scale = _of_band(task.scale, position)
    offset = _of_band(task.offset, position) + scale * shift
    factors = (1.0, 10_000.0) if unit_of(band) == "DN" else (1.0,)
    meant = [(factor * tag[0], factor * tag[1]) for factor in factors]
    if any(_close(scale, found) and (_close(offset, own) or abs(offset - own) < 1e-9) for found, own in meant):
        return
    wanted = meant[-1] if tag[0] < 0.01 else meant[0]
    raise DataError(
        f"{path}: its tags define {band} as value * {tag[0]:g} + {tag[1]:g}, but task '{task.slug}' declares scale "
        f"{scale:g} and offset {offset:g}. Set scale = {wanted[0]:g} and offset = {wanted[1]:g} in the task's catalog "
        "entry, or remove the tags if they are wrong"
    )


def _of_band(value: float | tuple[float, ...], position: int) -> float:
    return value[position] if isinstance(value, tuple) else value


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)
