"""Predictions of an oracle that knows the generator of a stand-in: its labels without noise.

The score of these predictions is an upper bound on the expected score of any model.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.split import Split
from geofm_eval.errors import ContractError
from geofm_eval.simulation.standins import biomassters, fuel_moisture, hls_burn_scars, neuco, sen1floods11

_NOISE_FREE = {"neuco": neuco.noise_free, "fuel_moisture": fuel_moisture.noise_free}
_NOISE_FREE_MAPS: dict[str, Callable[[str, TaskSpec], npt.NDArray[Any]]] = {
    "biomassters": biomassters.noise_free,
    "hls_burn_scars": hls_burn_scars.noise_free,
    "sen1floods11": sen1floods11.noise_free,
}


def oracle_labels(split: Split) -> npt.NDArray[Any]:
    """Return the noise-free label of every sample of a stand-in, (n,); the labels themselves if they have no noise.

    Raises:
        ContractError: the data are not a stand-in, or have per-pixel labels.
    """
    _check_simulated(split)
    if split.task.kind != "regression":
        return split.labels
    known = _NOISE_FREE[str(split.task.standin)](split.task)
    return np.array([known[id] for id in split.ids])


def oracle_map(split: Split, index: int) -> npt.NDArray[Any]:
    """Return the noise-free per-pixel labels of one sample of a stand-in, (height, width).

    Args:
        split: a split of a stand-in with per-pixel labels.
        index: position of the sample.

    Raises:
        ContractError: the data are not a stand-in, or have one label per sample.
    """
    _check_simulated(split)
    known = _NOISE_FREE_MAPS.get(str(split.task.standin))
    return split.read_target(index) if known is None else known(split.ids[index], split.task)


def _check_simulated(split: Split) -> None:
    if not split.task.simulated:
        raise ContractError(f"task '{split.task.slug}' is not a stand-in; only simulated data have an oracle")
