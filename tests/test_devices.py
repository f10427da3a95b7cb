"""Processes on one GPU take turns; those on different GPUs, whatever each of them calls its own, do not wait."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from geofm_eval.devices import device_turn, gpu_identity
from tests.processes import CONTEXT, process

UUIDS = ("aaaaaaaa-1111", "bbbbbbbb-2222")


def pretend(monkeypatch: pytest.MonkeyPatch, visible: list[int]) -> None:
    """GPUs of a machine of which this process sees some."""
    found: Any = lambda index: SimpleNamespace(uuid=UUIDS[visible[index]])  # noqa: E731
    monkeypatch.setattr(torch.cuda, "get_device_properties", found)


def hold(visible: int, folder: str, times: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", str(visible))
        patch.setattr("tempfile.gettempdir", lambda: folder)
        pretend(patch, [visible])
        with device_turn("cuda:0"):
            start = time.time()
            time.sleep(1.5)
            times.put((start, time.time()))


def overlap(folder: Path, *visible: int) -> bool:
    """True where two processes that see these GPUs were at work at the same time."""
    times = CONTEXT.Queue()
    processes = [process(hold, gpu, str(folder), times) for gpu in visible]
    for one in processes:
        one.start()
    (_, first), (second, _) = sorted(times.get(timeout=60) for _ in processes)
    for one in processes:
        one.join(30)
    return second < first


def test_two_processes_with_one_gpu_take_turns(tmp_path: Path) -> None:
    assert not overlap(tmp_path, 0, 0)


def test_processes_that_see_different_gpus_do_not_share_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    for gpu in (0, 1):
        pretend(monkeypatch, [gpu])
        with device_turn("cuda:0"):
            pass
    assert len(list(tmp_path.iterdir())) == 2
    pretend(monkeypatch, [1, 0])
    assert gpu_identity(0) == UUIDS[1]
    with device_turn("cuda:1"):
        pass
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cpu_needs_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with device_turn("cpu"):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("visible", "index", "name"),
    [("3,5", 1, "5"), ("GPU-8f2c/1", 0, "GPU-8f2c_1"), ("", 2, "2"), ("4", 1, "1")],
)
def test_without_a_uuid_the_visible_devices_tell(
    visible: str, index: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_identity(index) == name


def test_an_unwritable_temporary_folder_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [0])
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file" / "below"))
    with device_turn("cuda:0"):
        pass
