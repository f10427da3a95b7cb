"""Manifests and checkpoints carry checksums over what later steps read."""

import json
import logging
import random
from pathlib import Path

import pytest

from geofm_eval.seals import seal_bytes, unseal_bytes
from geofm_eval.store import problem_with, publish_directory, read_manifest, write_json

NAME = "training.json"
RESULT = {"result": {"val_score": 0.25, "rate": 1e-3, "losses": (1.0, 0.5)}, "by": {1: 2.0}}


def published(folder: Path) -> Path:
    def build(temporary: Path) -> dict[str, object]:
        (temporary / "x.bin").write_bytes(b"x" * 100)
        return dict(RESULT)

    publish_directory(folder / "key", build, NAME)
    return folder / "key"


def test_a_manifest_reads_back_with_its_checksum(tmp_path: Path):
    content = read_manifest(published(tmp_path), NAME)
    assert content["format"] == 2
    assert content["result"] == {"val_score": 0.25, "rate": 1e-3, "losses": [1.0, 0.5]}
    assert content["by"] == {"1": 2.0}
    assert problem_with(tmp_path / "key", NAME) is None


@pytest.mark.parametrize("field", ["val_score", "rate"])
def test_a_result_that_was_changed_in_a_manifest_is_built_again(
    tmp_path: Path, field: str, caplog: pytest.LogCaptureFixture
):
    path = published(tmp_path) / NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    content["result"][field] *= 2
    write_json(path, content)
    with caplog.at_level(logging.WARNING):
        published(tmp_path)
    assert read_manifest(tmp_path / "key", NAME)["result"][field] == RESULT["result"][field]  # type: ignore[index]
    assert "does not match its checksum" in caplog.text


def test_no_changed_byte_of_a_manifest_goes_unnoticed(tmp_path: Path):
    path = published(tmp_path) / NAME
    raw, whole, rng = path.read_bytes(), read_manifest(path.parent, NAME), random.Random(0)
    for _ in range(300):
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        if problem_with(path.parent, NAME) is None:
            assert read_manifest(path.parent, NAME) == whole


def test_a_manifest_without_checksum_and_one_of_another_key_are_not_taken(tmp_path: Path):
    path = published(tmp_path) / NAME
    path.parent.rename(tmp_path / "other")
    assert "belongs to key" in str(problem_with(tmp_path / "other", NAME))
    content = json.loads((tmp_path / "other" / NAME).read_text(encoding="utf-8"))
    content.pop("checksum")
    write_json(tmp_path / "other" / NAME, content)
    assert "does not match its checksum" in str(problem_with(tmp_path / "other", NAME))


def test_sealed_bytes_read_back():
    assert unseal_bytes(seal_bytes(b"content")) == b"content"


def test_no_changed_or_missing_byte_of_sealed_bytes_goes_unnoticed():
    raw, rng = seal_bytes(bytes(range(256)) * 4), random.Random(0)
    for number in range(300):
        damaged = bytearray(raw)
        if number % 3:
            damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        else:
            del damaged[rng.randrange(len(raw)) :]
        with pytest.raises(ValueError, match="checksum"):
            unseal_bytes(bytes(damaged))
