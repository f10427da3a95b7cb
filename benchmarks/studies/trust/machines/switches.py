"""Variants of a machine: which variables switch which instructions off."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT = "default"
"""Name of the variant that the others are compared with: the machine as it is."""

HERE = Path(__file__).with_name("here.py")

PRESET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that some machines set for every user; they belong together."""

_UNSET: Mapping[str, str | None] = dict.fromkeys(PRESET)


@dataclass(frozen=True)
class Variant:
    """One way to compute.

    Args:
        name: of its files, its run and ``--only``.
        variables: that are set; those with None are removed from the environment.
        threads: of each process.
        note: what a table says in place of the variables.
    """

    name: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    threads: int = 1
    note: str = ""

    @property
    def title(self) -> str:
        """Such as ``MKL_CBWR=AVX2``, as a table has it."""
        return self.note or self.switches

    @property
    def switches(self) -> str:
        """Its variables in words."""
        return ", ".join(f"`{name}={value}`" if value else f"`{name}` unset" for name, value in self.variables.items())

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of its processes."""
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        changed = {**base, **threads, **self.variables}
        return {name: value for name, value in changed.items() if value is not None}


def variants(machine: Mapping[str, Any]) -> dict[str, Variant]:
    """All variants that this machine can imitate, by name.

    Args:
        machine: as ``here.py`` describes it; numpy can be told to leave out only what it would use.
    """
    wide = " ".join(name for name in machine["numpy_uses"] if name == "X86_V4" or name.startswith("AVX512"))
    without: dict[str, str | None] = {"NPY_DISABLE_CPU_FEATURES": wide}
    haswell: dict[str, str | None] = {**_UNSET, "OPENBLAS_CORETYPE": "Haswell"}
    found = [
        Variant(DEFAULT, note="as it is, 1 thread"),
        Variant("aten_default", {"ATEN_CPU_CAPABILITY": "default"}),
        Variant("aten_avx2", {"ATEN_CPU_CAPABILITY": "avx2"}),
        Variant("mkl_compatible", {"MKL_CBWR": "COMPATIBLE"}),
        Variant("mkl_avx2", {"MKL_CBWR": "AVX2"}),
        Variant("dnnl_avx2", {"DNNL_MAX_CPU_ISA": "AVX2"}),
        Variant("dnnl_sse41", {"DNNL_MAX_CPU_ISA": "SSE41"}),
        Variant("openblas_haswell", haswell),
        Variant("openblas_unset", _UNSET),
        Variant("threads_2", threads=2, note="2 threads"),
    ]
    if wide:
        every = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", **haswell, **without}
        found += [Variant("numpy_no_avx512", without), Variant("no_avx512", every, note="all without AVX-512")]
    return {variant.name: variant for variant in found}


def described(python: str, environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """What computes under some Python and variables; see ``here.py``.

    Raises:
        SystemExit: that Python cannot import torch, numpy or threadpoolctl.
    """
    done = subprocess.run(
        [python, str(HERE)], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{python} cannot be described: {done.stderr.strip().splitlines()[-1:]}")
    machine: dict[str, Any] = json.loads(done.stdout)
    return machine
