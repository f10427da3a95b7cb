"""The first check of a GPU, on the CPU: it passes with tiny sizes, fails where it should, and needs few packages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu

BLOCKED = ("rasterio", "torchgeo", "zarr", "matplotlib", "requests", "segmentation_models_pytorch", "pandas", "pytest")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


def test_every_check_passes_on_the_cpu_without_packages_for_data(tmp_path: Path, repository: Path) -> None:
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({BLOCKED}))\n"  # an import of any of these raises ImportError
        "from benchmarks.gpu import main\n"
        f"sys.exit(main(['--device', 'cpu', '--tiny', '--out', {str(tmp_path / 'gpu.json')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["passed"]
    assert set(found["checks"]) == {"extraction", "batches", "probes", "training"}
    assert found["machine"]["torch"]
    assert found["checks"]["extraction"]["images_per_second"] > 0
    assert found["checks"]["training"]["resumed_apart"] == 0


def test_features_that_depend_on_the_batch_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = gpu.extracted

    def dependent(split: gpu.Split, device: str, batch: int) -> tuple[gpu.Features, float]:
        found, rate = honest(split, device, batch)
        return {tap: values * (1 + 0.01 * (batch == 7)) for tap, values in found.items()}, rate

    monkeypatch.setattr(gpu, "extracted", dependent)
    assert not gpu.check_batches("cpu", gpu.TINY)["passed"]


def test_a_resumed_training_that_begins_again_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, calls = gpu.fresh_weights, []

    def other_weights(seed: int) -> None:
        calls.append(seed)
        honest(seed + len(calls))

    monkeypatch.setattr(gpu, "fresh_weights", other_weights)
    monkeypatch.setattr("geofm_eval.dense.training.Checkpoint.resume", lambda *_: gpu.TrainingState())
    assert not gpu.check_training("cpu", gpu.TINY)["passed"]


def test_a_check_that_raises_has_failed_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str, size: gpu.Size) -> gpu.Result:
        raise RuntimeError("CUDA error: no kernel image is available")

    monkeypatch.setattr(gpu, "CHECKS", {"extraction": broken, "batches": lambda *_: {"passed": True}})
    found = gpu.report("cpu", gpu.TINY)
    assert not found["passed"]
    assert "no kernel image" in found["checks"]["extraction"]["error"]
    assert found["checks"]["batches"]["passed"]


def test_a_gpu_that_is_absent_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "PyTorch finds no GPU here" in capsys.readouterr().err
