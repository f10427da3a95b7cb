"""Print processor, libraries and their instruction sets as JSON.

Run as a script by the Python to be described, so it imports nothing from this project.
"""

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "DNNL_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NPY_DISABLE_CPU_FEATURES",
)
"""Environment variables that determine which instructions a library uses."""

FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_tile")
"""Processor flags by which libraries choose their kernels."""


def describe() -> dict[str, Any]:
    """Describe the processor and libraries of this process; unknown values are None or empty."""
    import numpy
    import torch
    from threadpoolctl import threadpool_info

    processor, flags = _processor()
    blas = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    return {
        "processor": processor,
        "flags": [flag for flag in FLAGS if flag in flags],
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_uses": torch.backends.cpu.get_cpu_capability(),
        "mkl": _version(r"Math Kernel Library Version (\S+)", torch.__config__.show()),
        "onednn": _version(r"MKL-DNN v(\S+)", torch.__config__.show()),
        "numpy": numpy.__version__,
        "numpy_uses": _numpy_features(),
        "openblas": sorted({f"{pool['version']} ({pool.get('architecture')})" for pool in blas}),
        "variables": {name: os.environ[name] for name in SWITCHES if name in os.environ},
    }


def _processor() -> tuple[str, set[str]]:
    """Name and flags from /proc/cpuinfo; without it, what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown", set()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return fields.get("model name", platform.processor() or "unknown"), set(fields.get("flags", "").split())


def _version(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found[1] if found else None


def _numpy_features() -> list[str]:
    """Instruction sets for which numpy has kernels and that it uses here."""
    from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched
    from numpy._core._multiarray_umath import __cpu_features__ as used

    return [name for name in dispatched if used.get(name)]


if __name__ == "__main__":
    print(json.dumps(describe()))
