"""Variants of a machine: environment variables that disable instruction sets."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT = "default"
"""Name of the unmodified variant, with which the others are compared."""

HERE = Path(__file__).with_name("here.py")

PRESET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that some machines preset; they are unset together."""

_UNSET: Mapping[str, str | None] = dict.fromkeys(PRESET)


@dataclass(frozen=True)
class MachineVariant:
    """A variant of the environment.

    Args:
        name: name in files, runs and ``--only``.
        variables: variables to set, or to unset if None.
        threads: threads of each process.
        note: title in tables, in place of the variables.
    """

    name: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    threads: int = 1
    note: str = ""

    @property
    def title(self) -> str:
        """Title in tables, for example ``MKL_CBWR=AVX2``."""
        return self.note or self.variables_text

    @property
    def variables_text(self) -> str:
        """The variables as text."""
        return ", ".join(f"`{name}={value}`" if value else f"`{name}` unset" for name, value in self.variables.items())

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the variant's processes."""
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        changed = {**base, **threads, **self.variables}
        return {name: value for name, value in changed.items() if value is not None}


def variants(machine: Mapping[str, Any]) -> dict[str, MachineVariant]:
    """Return all variants that this machine can imitate, by name.

    Args:
        machine: machine as ``here.py`` describes it; numpy can disable only features that it would use.
    """
    wide = " ".join(name for name in machine["numpy_uses"] if name == "X86_V4" or name.startswith("AVX512"))
    without: dict[str, str | None] = {"NPY_DISABLE_CPU_FEATURES": wide}
    haswell: dict[str, str | None] = {**_UNSET, "OPENBLAS_CORETYPE": "Haswell"}
    found = [
        MachineVariant(DEFAULT, note="default, 1 thread"),
        MachineVariant("aten_default", {"ATEN_CPU_CAPABILITY": "default"}),
        MachineVariant("aten_avx2", {"ATEN_CPU_CAPABILITY": "avx2"}),
        MachineVariant("mkl_compatible", {"MKL_CBWR": "COMPATIBLE"}),
        MachineVariant("mkl_avx2", {"MKL_CBWR": "AVX2"}),
        MachineVariant("dnnl_avx2", {"DNNL_MAX_CPU_ISA": "AVX2"}),
        MachineVariant("dnnl_sse41", {"DNNL_MAX_CPU_ISA": "SSE41"}),
        MachineVariant("openblas_haswell", haswell),
        MachineVariant("openblas_unset", _UNSET),
        MachineVariant("threads_2", threads=2, note="2 threads"),
    ]
    if wide:
        every = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", **haswell, **without}
        found += [
            MachineVariant("numpy_no_avx512", without),
            MachineVariant("no_avx512", every, note="all without AVX-512"),
        ]
    return {variant.name: variant for variant in found}


def described(python: str, environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Describe the machine under a Python and an environment; see ``here.py``.

    Raises:
        SystemExit: the Python cannot import torch, numpy or threadpoolctl.
    """
    done = subprocess.run(
        [python, str(HERE)], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{python} cannot be described: {done.stderr.strip().splitlines()[-1:]}")
    machine: dict[str, Any] = json.loads(done.stdout)
    return machine
