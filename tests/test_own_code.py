"""A user's code and weights are known by what they are: helper modules count, names and formats of files do not."""

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.own_code import code_sha256, source_files

CATALOG = load_catalog()
TASK = CATALOG.task("eurosat_sim")


def write(folder: Path, sources: dict[str, str]) -> Path:
    """Write modules by their path without .py."""
    for name, source in sources.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder / "own.py"


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("import helper", {"helper"}),
        ("import helper as h, other", {"helper", "other"}),
        ("from helper import scale", {"helper"}),
        ("def f():\n    from helper import scale", {"helper"}),
        ("from parts import inner", {"parts/__init__", "parts/inner", "other"}),
        ("from parts.inner import x", {"parts/__init__", "parts/inner", "other"}),
        ("import parts.inner", {"parts/__init__", "parts/inner", "other"}),
        ("import importlib\nimportlib.import_module('helper')", {"helper"}),
        ("import torch, numpy, json", set()),
        ("x = 1", set()),
        ("def broken(:", set()),
    ],
)
def test_what_a_file_imports_from_its_own_folder_counts(tmp_path: Path, source: str, counted: set[str]):
    more = {
        "helper": "",
        "other": "",
        "unused": "",
        "parts/__init__": "",
        "parts/inner": "from . import x\nimport other",
    }
    path = write(tmp_path, {"own": source, **more})
    found = {file.relative_to(tmp_path).with_suffix("").as_posix() for file in source_files(path)}
    assert found == {"own", *counted}


def test_modules_that_import_each_other_are_all_counted_once(tmp_path: Path):
    path = write(tmp_path, {"own": "import a", "a": "import b", "b": "import a, own"})
    assert [file.stem for file in source_files(path)] == ["a", "b", "own"]


def test_imports_of_a_package_by_its_own_name_count(tmp_path: Path):
    sources = {
        "models": "from pkg.layers import x\nfrom .deep.low import y",
        "layers": "",
        "deep/low": "from ..layers import x",
    }
    empty = dict.fromkeys(("__init__", "deep/__init__", "unused"), "")
    write(tmp_path / "pkg", {**sources, **empty})
    found = [file.relative_to(tmp_path).as_posix() for file in source_files(tmp_path / "pkg" / "models.py")]
    assert found == ["pkg/__init__.py", "pkg/deep/__init__.py", "pkg/deep/low.py", "pkg/layers.py", "pkg/models.py"]


def test_a_copy_of_the_code_is_the_same_code(tmp_path: Path):
    path = write(tmp_path / "one", {"own": "import helper", "helper": "x = 1"})
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert code_sha256(tmp_path / "two" / "own.py") == code_sha256(path)
    (tmp_path / "two" / "helper.py").write_text("x = 2")
    assert code_sha256(tmp_path / "two" / "own.py") != code_sha256(path)


OWN = """
from torch import nn
import gain_of_mine
from geofm_eval.backbones import Backbone, TokenLayout

class Mine(Backbone):
    def __init__(self, spec, channels):
        super().__init__(taps=spec.taps, width=spec.width)
        self.embed = nn.Conv2d(channels, spec.width, 8, 8)

    def layout(self, batch):
        return TokenLayout((batch.pixels.shape[2] // 8, batch.pixels.shape[3] // 8), 0, ("image",))

    def forward(self, batch):
        embed = self.embed(batch.pixels).flatten(2).transpose(1, 2) * gain_of_mine.GAIN
        return {"embed": embed, "block00": embed, "final": embed}
"""


@pytest.mark.parametrize("by", ["path", "name"])
def test_an_edited_helper_is_other_code_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, {"own_of_mine": OWN, "gain_of_mine": "GAIN = 1.0\n"})
    helper = tmp_path / "gain_of_mine.py"
    source = str(tmp_path / "own_of_mine.py") if by == "path" else "own_of_mine"
    spec = CATALOG.model("pocket_random").model_copy(
        update={"architecture": f"{source}:Mine", "depth": 1, "width": 6, "prefix": 0, "options": {}}
    )
    adapter = InputAdapter(spec, TASK, CATALOG.recipe("probing"))
    first, status = load_backbone(spec, adapter), helper.stat()
    gain = sys.modules["gain_of_mine"].GAIN
    helper.write_text("GAIN = 2.0\n")  # the same size, and the same time: Python would take its bytecode for right
    os.utime(helper, ns=(status.st_atime_ns, status.st_mtime_ns))
    importlib.invalidate_caches()
    second = load_backbone(spec, adapter)
    assert (gain, sys.modules["gain_of_mine"].GAIN) == (1.0, 2.0)
    assert first.code_sha256 != second.code_sha256
    assert load_backbone(spec, adapter).code_sha256 == second.code_sha256
    for name in ("own_of_mine", "gain_of_mine"):
        sys.modules.pop(name, None)


def test_weights_are_known_by_their_tensors(tmp_path: Path):
    spec = CATALOG.model("pocket_mae")
    adapter = InputAdapter(spec, TASK, CATALOG.recipe("probing"))
    own = load_backbone(spec, adapter)
    state = {name: value.clone() for name, value in own.backbone.network.state_dict().items()}
    torch.save(state, tmp_path / "any.pt")
    torch.save({"state_dict": dict(reversed(state.items())), "epoch": 3}, tmp_path / "other.pth")
    save_file(state, tmp_path / "third.safetensors", {"author": "somebody"})
    found = {load_backbone(spec, adapter, weights=path).weights_sha256 for path in tmp_path.iterdir()}
    assert found == {own.weights_sha256}
    next(iter(state.values())).view(-1)[0] += 1
    torch.save(state, tmp_path / "any.pt")
    assert load_backbone(spec, adapter, weights=tmp_path / "any.pt").weights_sha256 != own.weights_sha256
