"""Computing environment of a result: code, versions, platform, device, threads and time."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geofm_eval.version import __version__

PACKAGES = ("torch", "timm", "torchgeo", "rslearn", "numpy", "scikit-learn", "rasterio", "pillow", "safetensors")
"""Distributions whose version can change a result."""

_ROOT = Path(__file__).resolve().parents[1]


def process_provenance(device: str = "cpu", threads: int = 1) -> dict[str, Any]:
    """Describe the code, the machine and the time, without host or user names.

    Args:
        device: torch device, for example ``cpu`` or ``cuda:0``.
        threads: threads per process.

    Returns:
        A new JSON-serialisable dictionary; unknown values are None.
    """
    return {
        "code": dict(_code()),
        "versions": dict(_versions()),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": {"name": device, "model": _device_model(device)},
        "threads": threads,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def _code() -> dict[str, Any]:
    """Version of this package and, in its checkout, the commit and whether tracked files differ from it."""
    commit = _git("rev-parse", "--verify", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"version": __version__, "commit": commit, "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    """Output of git in this package's checkout; None for an installed package, or if git fails."""
    if not (_ROOT / ".git").exists():
        return None
    # A status query must not take the index lock, because several workers may run it at once.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        command = ["git", "-C", str(_ROOT), *arguments]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip()


@functools.cache
def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


@functools.cache
def _device_model(device: str) -> str | None:
    """Product name of the device, on which expected ranges may depend."""
    if device.startswith("cuda"):
        import torch  # here, so that CPU-only provenance does not import torch

        return torch.cuda.get_device_name(device) if torch.cuda.is_available() else None
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None
