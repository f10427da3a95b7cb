"""What somebody would predict who knows the generator of a stand-in: its labels without their noise.

The score of these predictions bounds what any model can be expected to reach.
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
    """Label of every item of a stand-in without its noise, (n,); where labels have none, the labels themselves.

    Raises:
        ContractError: the data are no stand-in, or have a label per pixel.
    """
    _check_simulated(split)
    if split.task.kind != "regression":
        return split.labels
    known = _NOISE_FREE[str(split.task.standin)](split.task)
    return np.array([known[id] for id in split.ids])


def oracle_map(split: Split, index: int) -> npt.NDArray[Any]:
    """Label of every pixel of one item of a stand-in without its noise, (height, width).

    Args:
        split: a split of a stand-in with a label per pixel.
        index: position of the item.

    Raises:
        ContractError: the data are no stand-in, or have one label per item.
    """
    _check_simulated(split)
    known = _NOISE_FREE_MAPS.get(str(split.task.standin))
    return split.read_target(index) if known is None else known(split.ids[index], split.task)


def _check_simulated(split: Split) -> None:
    if not split.task.simulated:
        raise ContractError(f"task '{split.task.slug}' is no stand-in: only a simulation has an oracle")
