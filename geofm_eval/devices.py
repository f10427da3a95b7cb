"""Turns on a GPU: processes that share a GPU run heavy steps one at a time."""

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
    """Wait for this process's turn on a GPU, so that heavy steps of several processes do not share its memory."""
    kind = torch.device(device)
    if kind.type != "cuda":
        yield
        return
    with locked(turn_path(gpu_identity(kind.index or 0))):
        yield


def turn_path(identity: str) -> Path:
    """Return the lock file of a GPU, one per GPU and user of this machine."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"geofm_eval-{user}-gpu-{identity}"


def gpu_identity(index: int) -> str:
    """Return a name of a GPU that is the same in all processes of this machine.

    Every process numbers its visible GPUs from 0, so on a cluster ``cuda:0`` can be a different GPU in each process.

    Args:
        index: index of the GPU among those visible to this process.

    Returns:
        The UUID; without it, the entry of ``CUDA_VISIBLE_DEVICES`` at this index; else the index.
    """
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    found = str(uuid) if uuid else visible[index] if index < len(visible) else str(index)
    return re.sub(r"[^A-Za-z0-9-]", "_", found)
