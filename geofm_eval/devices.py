"""Turns on a GPU: the heavy steps of processes that share one follow each other, those on different GPUs do not."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from geofm_eval.sharing import locked


@contextmanager
def device_turn(device: str) -> Iterator[None]:
    """Wait for this process's turn on a GPU, so that the heavy steps of several processes do not share its memory."""
    kind = torch.device(device)
    if kind.type != "cuda":
        yield
        return
    with locked(turn_path(gpu_identity(kind.index or 0))):
        yield


def turn_path(identity: str) -> Path:
    """The file whose lock is a GPU's turn: one per GPU and user of this machine."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"geofm_eval-{user}-gpu-{identity}"


def gpu_identity(index: int) -> str:
    """Name a GPU as all processes of this machine do, whatever subset of the GPUs each of them sees.

    Every process numbers the GPUs that it sees from 0: on a cluster all of them have a ``cuda:0``, each another GPU.

    Args:
        index: of the GPU among those that this process sees.

    Returns:
        Its UUID. Where the driver gives none, what ``CUDA_VISIBLE_DEVICES`` says at this index, else the index.
    """
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    found = str(uuid) if uuid else visible[index] if index < len(visible) else str(index)
    return re.sub(r"[^A-Za-z0-9-]", "_", found)
