"""What README shows works as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from benchmarks.studies.samples import SAMPLE, advice_sample
from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.records import unpack


def block_of(readme: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def test_a_timm_model_needs_one_entry(readme: str, tmp_path: Path):
    entry = block_of(readme, "toml")
    assert len(entry.splitlines()) <= 20
    (tmp_path / "my.toml").write_text(entry)
    catalog = load_catalog([tmp_path / "my.toml"])
    twin = catalog.model("mine_vits16_random")
    adapter = InputAdapter(twin, catalog.task("eurosat_sim"), catalog.recipe("probing"))
    assert load_backbone(twin, adapter).backbone.taps == twin.taps


def test_another_architecture_needs_one_file(readme: str, tmp_path: Path):
    code = block_of(readme, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (tmp_path / "backbone.py").write_text(code)
    entry = block_of(readme, "toml").replace("timm_vit", "backbone.py:build").replace("prefix = 1\n", "")
    entry = re.sub(r"options = .*\n|image_size = .*\n", "", entry).replace(
        "depth = 12\nwidth = 384", "depth = 2\nwidth = 32"
    )
    (tmp_path / "my.toml").write_text(entry)
    catalog = load_catalog([tmp_path / "my.toml"])
    twin = catalog.model("mine_vits16_random")
    adapter = InputAdapter(twin, catalog.task("eurosat_sim"), catalog.recipe("probing"))
    loaded = load_backbone(twin, adapter)
    batch = ModelInput(torch.randn(2, 6, 64, 64), torch.ones(2, 64, 64, dtype=torch.bool), (True,) * 6)
    with torch.inference_mode():
        taps = loaded.backbone(batch)
    assert list(taps) == ["embed", "block00", "block01", "final"]
    assert {tuple(tokens.shape) for tokens in taps.values()} == {(2, 64, 32)}


@pytest.mark.parametrize(
    "option", ["--suite", "--models", "--run", "--resume", "--require-all", "--weights", "--catalog"]
)
def test_the_options_that_readme_lists_exist(readme: str, option: str, repository: Path):
    assert f"`{option}" in readme
    assert f'"{option}"' in (repository / "fixtures" / "options.py").read_text(encoding="utf-8")


def test_the_sample_of_advice_is_what_the_committed_reference_says(repository: Path):
    """To renew it: python -m benchmarks.studies.samples."""
    found = SAMPLE.search((repository / "docs" / "advise.md").read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == advice_sample(unpack(repository / "reports" / "reference" / "study.tar.xz"))


def test_the_notebook_page_runs_as_written(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (repository / "docs" / "notebook.md").read_text(encoding="utf-8")
    measured, arrays, frame = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for block in (measured, arrays, frame):
        assert len([line for line in block.splitlines() if line.strip()]) <= 12
    archive = repository / "reports" / "reference" / "study.tar.xz"
    names: dict[str, object] = {}
    exec(measured, names)
    assert names["score"].interval.low < names["score"].value < names["score"].interval.high
    exec(arrays, names)
    assert names["found"].chosen == {1.0: "deep"}
    exec(frame.replace("reports/runs/bench", str(archive)), names)
    assert len(names["frame"]) > 2000
    assert {"pocket_mae", "band_stats"} <= set(names["frame"].model)
