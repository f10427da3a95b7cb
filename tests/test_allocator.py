"""Reuse of freed memory within a process."""

import ctypes
import platform
from types import SimpleNamespace

import pytest

from fixtures.allocator import HEAP_BYTES, KEPT_BYTES, keep_freed_memory


@pytest.mark.parametrize(("library", "expected"), [("glibc", [(-1, KEPT_BYTES), (-3, HEAP_BYTES)]), ("", [])])
def test_only_glibc_is_told_to_keep_freed_memory(
    library: str, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *given: told.append(given)))
    keep_freed_memory()
    assert told == expected


def test_a_c_library_without_that_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    keep_freed_memory()
