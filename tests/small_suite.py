"""A copy of the pytest layer over a tiny catalog and data set, run in processes of its own by the suite's tests."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from PIL import Image

from fixtures.options import Options
from tests.session_server import Request, SessionServer

ROOT = Path(__file__).resolve().parent.parent

# Only what the suite needs: other installed plugins cost every session a second or two.
PLUGINS = ("-p", "xdist.plugin", "-p", "pytest_benchmark.plugin")

QUICK_TIMING = ("--benchmark-max-time", "0.02", "--benchmark-min-rounds", "1")

CLASSES = ("Bright", "Dark", "Green")
PER_CLASS = {"train": 20, "val": 15, "test": 10}
ITEMS = len(CLASSES) * sum(PER_CLASS.values())
LAYERS = ("embed", "block00", "block01", "final")
ADAPTATIONS = ("knn", "linear")

OPTIONS = Options(
    suite="bench",
    models=(),
    tasks=(),
    adaptations=(),
    layers=(),
    recipe=None,
    training=None,
    seeds=3,
    first_seed=0,
    batch=None,
    dtype="float32",
    catalogs=(),
    run=None,
    resume=False,
    require_all=False,
    device="cpu",
    threads=1,
    weights={},
    baseline=None,
    fail_on="regression",
    family="family",
)
"""What a user gets who asks for the suite ``bench`` and nothing else."""

CATALOG = """
[models.{model}]
title = "{model}"
family = "control"
architecture = "backbone.py:build"
depth = 2
width = 6
bands = ["B04", "B03", "B02"]
product = "any"
normalisation = {{ high = 2750.0 }}
random_seed = {seed}
{weights}
"""

TASKS = """
[tasks.{task}]
title = "Colours"
reader = "eurosat"
root = "{root}"
options = {{ edition = "rgb", split_lists = "eurosat" }}
bands = ["B04", "B03", "B02"]
product = "L1C"
scale = 10.784313725490197
plausible = {{ DN = [20.0, 2750.0] }}
statistics = {{ mean = [1300.0, 1300.0, 1300.0], std = [250.0, 250.0, 250.0], source = "drawn" }}
classes = ["Bright", "Dark", "Green"]
label_fractions = {fractions}
draws = 2
how_to_get = "Draw them."
{variant}
"""

BACKBONE = '''
"""Colour means through two random blocks; what goes wrong with it is told by the environment."""

import os
import pathlib
import signal
import time

import torch
from threadpoolctl import threadpool_info

from geofm_eval.backbones.base import Backbone, TokenLayout

HERE = pathlib.Path(__file__).parent


class Small(Backbone):
    def __init__(self, spec, channels):
        super().__init__(spec.taps, spec.width)
        self.slug = spec.slug
        self.stem = torch.nn.Linear(channels, spec.width)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(spec.width, spec.width) for _ in range(2))

    def layout(self, batch):
        return TokenLayout((2, 2), prefix=0, groups=("all",))

    def forward(self, batch):
        with open(HERE / "passes.txt", "a") as file:
            file.write(f"{self.slug} {len(batch.pixels)}\\n")
        with open(HERE / "threads.txt", "a") as file:
            file.write(f"{max(torch.get_num_threads(), *(pool['num_threads'] for pool in threadpool_info()))}\\n")
        misbehave(self.slug)
        tokens = self.forward_to(batch, 0)
        found = {"embed": tokens}
        for index, block in enumerate(self.blocks):
            tokens = torch.tanh(block(tokens))
            found[f"block{index:02d}"] = tokens
        final = tokens * float("nan") if self.slug == "broken" else tokens.relu()
        return {**found, "final": final}

    def forward_to(self, batch, blocks):
        patches = torch.nn.functional.adaptive_avg_pool2d(batch.pixels, (2, 2)).flatten(2).transpose(1, 2)
        tokens = self.stem(patches)
        for block in self.blocks[:blocks]:
            tokens = torch.tanh(block(tokens))
        return tokens


def misbehave(slug):
    first = HERE / f"{slug}.started"
    if os.environ.get("WAITS") == slug:
        first.touch()
        time.sleep(600)
    if os.environ.get("DIES_ONCE") == slug and not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("DIES_ALWAYS") == slug:
        os.kill(os.getpid(), signal.SIGKILL)


def build(spec, channels):
    return Small(spec, channels)
'''


@dataclass(frozen=True)
class Session:
    """One finished pytest process."""

    status: int
    text: str


@dataclass(frozen=True)
class SmallSuite:
    """Models ``oak``, ``elm``, ``broken`` (NaN), ``absent`` (no weights); tasks ``colours``, ``colours_few``.

    Args:
        folder: where everything lies; sessions start there.
        paths: what they collect from.
    """

    folder: Path
    paths: tuple[str, ...] = ("benchmarks",)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pytest", *PLUGINS, *self.paths, "--catalog", "small.toml", *arguments]

    def environment(self, **extra: str) -> dict[str, str]:
        dropped = ("PYTEST_", "GEOFM_", "OMP_", "MKL_", "OPENBLAS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        own = {"PYTHONPATH": str(ROOT), "GEOFM_CACHE": str(self.folder / "cache"), "COLUMNS": "200"}
        return {**kept, **own, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **extra}

    def run(self, *arguments: str, **extra: str) -> Session:
        """Run a session that draws no figures, in a fork of a process that has loaded torch."""
        return forked(self.folder, self.environment(**extra), *self.command(*arguments)[3:])

    def run_fresh(self, *arguments: str, **extra: str) -> Session:
        """Run a session as a user does, in a process that has loaded nothing."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=150,
        )
        return Session(done.returncode, done.stdout)

    def records(self, run: str) -> dict[str, dict[str, Any]]:
        """Parsed records of a run by case id."""
        paths = (self.folder / "reports" / "runs" / run / "probe").glob("*.json")
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}

    def items_passed(self) -> dict[str, int]:
        """How many items each model's complete forward pass has seen."""
        seen: dict[str, int] = {}
        log = self.folder / "passes.txt"
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
            model, count = line.split()
            seen[model] = seen.get(model, 0) + int(count)
        return seen


def forked(folder: Path, environment: dict[str, str], *arguments: str) -> Session:
    """Run a session that draws no figures, in a fork of a process that has loaded torch."""
    with NamedTemporaryFile("r", encoding="utf-8") as output:
        status = _server().run(Request(list(arguments), str(folder), environment, output.name))
        return Session(status, output.read())


@cache
def _server() -> SessionServer:
    return SessionServer(ROOT)


def install(folder: Path) -> SmallSuite:
    """Copy the pytest layer into a folder and write the catalog, the backbone and the data next to it."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "fixtures", folder / "fixtures", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "benchmarks").mkdir()
    for path in (ROOT / "benchmarks").glob("test_*.py"):
        shutil.copy(path, folder / "benchmarks" / path.name)
    (folder / "backbone.py").write_text(BACKBONE, encoding="utf-8")
    write_images(folder / "data")
    weights = {"absent": 'weights = { file = "weights/absent.safetensors", how_to_get = "Train it." }'}
    models = "".join(
        CATALOG.format(model=model, seed=seed, weights=weights.get(model, ""))
        for seed, model in enumerate(("oak", "elm", "broken", "absent"))
    )
    tasks = "".join(
        TASKS.format(task=task, root=folder / "data", fractions=fractions, variant=variant)
        for task, fractions, variant in (
            ("colours", "[0.1, 1.0]", ""),
            ("colours_few", "[0.2]", 'variant_of = "colours"'),
        )
    )
    (folder / "small.toml").write_text(models + tasks, encoding="utf-8")
    return SmallSuite(folder)


def write_images(root: Path) -> None:
    """Write noisy images of three colours in EuroSAT's RGB layout, with a split list of their own."""
    generator = np.random.default_rng(0)
    means = {"Bright": (140, 140, 140), "Dark": (110, 110, 110), "Green": (115, 135, 115)}
    lines = ["file,class,split"]
    for label, mean in means.items():
        (root / label).mkdir(parents=True)
        splits = [split for split, count in PER_CLASS.items() for _ in range(count)]
        for number, split in enumerate(splits, start=1):
            shade = np.array(mean) + generator.normal(0, 22, 3)
            pixels = np.clip(shade + generator.normal(0, 10, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{label}_{number}.jpg", quality=95)
            lines.append(f"{label}/{label}_{number}.jpg,{label},{split}")
    (root / "splits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
