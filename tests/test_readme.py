"""Commands, entries and links that README and its index show work as they are written there."""

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from typer.core import TyperGroup
from typer.main import get_command

from benchmarks.studies.samples import SAMPLE, advice_sample
from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.cli import app
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.workspace import Settings, Workspace

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INDEX = ROOT / "docs" / "README.md"

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in INDEX.parent.glob("*.md"))]

MARK = "<!-- needs (?:data|a run) -->"
"""Before a block whose commands need weights or data, or only the records of a run that earlier blocks measure."""

TRIED_ELSEWHERE = {"make bench", "make test", "source .venv/bin/activate"}
"""Installation, measurement and the tests themselves."""

BLOCK = re.compile(rf"(?P<mark>{MARK}\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?P<target>[^)#]*)(?:#(?P<anchor>[^)]*))?\)")


@dataclass(frozen=True)
class CommandBlock:
    """One block of commands.

    Args:
        text: as README shows it.
        marked: it needs data or a run.
    """

    text: str
    marked: bool

    @property
    def commands(self) -> list[list[str]]:
        """Words of every command, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


BLOCKS = [CommandBlock(one["text"], bool(one["mark"])) for one in BLOCK.finditer(README) if one["language"] == "bash"]
RUNNABLE = [
    block
    for block in BLOCKS
    if not block.marked and not {" ".join(words) for words in block.commands} <= TRIED_ELSEWHERE
]


def named(block: CommandBlock) -> str:
    return " ".join(block.commands[0][:4])


def block_of(page: str, language: str) -> str:
    found = next(one for one in BLOCK.finditer(page) if one["language"] == language)
    return found["text"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commands need of the repository, so that nothing is written to it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("fixtures", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def test_every_block_says_what_it_is():
    assert {one["language"] for one in BLOCK.finditer(README)} == {"bash", "toml"}
    assert README.count("```") == 2 * len(list(BLOCK.finditer(README)))


@pytest.mark.slow
@pytest.mark.parametrize("block", RUNNABLE, ids=named)
def test_commands_that_need_no_data_run(block: CommandBlock, checkout: Path):
    """Those that measure collect their cases."""
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTEST_ADDOPTS": "--collect-only -q",
    }
    environment = {**os.environ, **own}
    done = subprocess.run(
        ["bash", "-euc", block.text], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.marked], ids=named)
def test_commands_that_need_data_have_the_options_that_they_name(block: CommandBlock):
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    of_pytest = (ROOT / "fixtures" / "options.py").read_text(encoding="utf-8")
    for program, *words in block.commands:
        if program == "geofm-eval":
            group.commands[words[0]].make_context(words[0], words[1:])
        elif program == "pytest":
            assert [word for word in words if word.startswith("--") and f'"{word}"' not in of_pytest] == []
        else:
            assert program == "export"


def test_a_timm_model_needs_one_entry(tmp_path: Path):
    entry = block_of(README, "toml")
    assert len(entry.splitlines()) <= 20
    (tmp_path / "my.toml").write_text(entry)
    catalog = load_catalog([tmp_path / "my.toml"])
    twin = catalog.model("mine_vits16_random")
    adapter = InputAdapter(twin, catalog.task("eurosat_sim"), catalog.recipe("probing"))
    assert load_backbone(twin, adapter).backbone.taps == twin.taps


def test_another_architecture_needs_one_file(tmp_path: Path):
    code = block_of((ROOT / "docs" / "backbones.md").read_text(encoding="utf-8"), "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (tmp_path / "backbone.py").write_text(code)
    entry = block_of(README, "toml").replace("timm_vit", "backbone.py:build").replace("prefix = 1\n", "")
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


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", README))))
def test_the_options_that_readme_lists_exist(option: str):
    assert f"`{option}" in README
    assert f'"{option}"' in (ROOT / "fixtures" / "options.py").read_text(encoding="utf-8")


def test_the_sample_of_advice_is_what_the_committed_reference_says(
    unpacked_reference: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """To renew it: python -m benchmarks.studies.samples."""
    found = SAMPLE.search((ROOT / "docs" / "advise.md").read_text(encoding="utf-8"))
    assert found is not None
    monkeypatch.setenv("GEOFM_CACHE", str(shared_cache))
    assert found.group() == advice_sample(unpacked_reference)


def headings(page: Path) -> set[str]:
    """Anchors that GitHub gives the headings of a page."""
    lines = (line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings_that_exist(page: str):
    text = CODE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        target = (ROOT / page).parent / link["target"] if link["target"] else ROOT / page
        if "://" not in link["target"]:
            assert target.exists(), link[0]
            assert link["anchor"] is None or link["anchor"] in headings(target), link[0]


def test_the_index_names_every_page():
    found = {link["target"] for link in LINK.finditer(INDEX.read_text(encoding="utf-8"))}
    assert {page.name for page in INDEX.parent.glob("*.md")} - {INDEX.name} <= found


def test_the_glossary_has_one_entry_per_term_in_lower_case():
    terms = re.findall(r"^## (.*)$", (INDEX.parent / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(terms) == len(set(terms)) > 30
    assert [term for term in terms if term != term.lower()] == ["CKA"]


def test_the_notebook_page_runs_as_written(shared_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(shared_cache))  # other tests need its stand-in and the reference too
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    measured, arrays, frame = (one["text"] for one in BLOCK.finditer(page))
    for block in (measured, arrays, frame):
        assert len([line for line in block.splitlines() if line.strip()]) <= 12
    archive = ROOT / "reports" / "reference" / "study.tar.xz"
    names: dict[str, object] = {}
    exec(measured, names)
    assert names["score"].interval.low < names["score"].value < names["score"].interval.high
    exec(arrays, names)
    assert names["found"].chosen == {1.0: "deep"}
    exec(frame.replace("reports/runs/bench", str(archive)), names)
    assert len(names["frame"]) > 2000
    assert {"pocket_mae", "band_stats"} <= set(names["frame"].model)


@pytest.mark.parametrize("page", [*PAGES, "reports/README.md"])
def test_python_in_the_manual_imports_what_exists(page: str):
    for block in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(block["text"])) if block["language"] == "python" else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("geofm_eval"):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("value", [load_catalog(), Workspace(load_catalog(), Settings())], ids=["Catalog", "Workspace"])
def test_what_a_notebook_shows_is_short(value: object):
    assert len(repr(value)) < 120


def test_contributing_names_every_version_and_only_files_that_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "geofm_eval").rglob("*.py"))
    versions = set(re.findall(r"^([A-Z]+(?:_[A-Z]+)*_VERSION)\b", sources, re.MULTILINE))
    assert set(re.findall(r"`([A-Z_]+_VERSION)`", page)) == versions
    paths = [path for path in re.findall(r"`([\w.]+/[\w./]*)`", page) if not re.search(r"NAME|TASK|^site/", path)]
    assert len(paths) > 30
    assert [path for path in paths if not any((ROOT / top / path).exists() for top in ("", "geofm_eval"))] == []
