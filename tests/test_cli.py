"""The command line as a user meets it: what it prints, and that a mistake ends in one sentence and status 1."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geofm_eval import cli
from geofm_eval.cli.application import console
from tests.http_files import CONTENT, serving

SCRIPT = Path(sys.executable).parent / "geofm-eval"

OWN = """
[models.{name}]
title = "A model of one's own"
family = "reconstruction"
architecture = "timm_vit"
options = {{ model = "vit_small_patch16_224" }}
depth = 12
width = 384
prefix = 1
bands = ["B02"]
product = "L2A"
normalisation = {{ high = 10000.0 }}
weights = {{ file = "weights/{name}.pt", url = "{url}/{name}.pt" }}
"""


def run(*arguments: str, home: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: most of the seconds that a process of its own takes are spent loading torch."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        patch.setattr(console, "width", 260)  # set when the module is loaded, by whichever test does
        if home is not None:
            patch.setenv("GEOFM_HOME", str(home))
        if cwd is not None:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as done:
            cli.run()
    return subprocess.CompletedProcess(list(arguments), done.value.code or 0, out.getvalue(), err.getvalue())


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, in a process that has loaded nothing."""
    wide = {**os.environ, "COLUMNS": "260"}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, env=wide)


@pytest.fixture
def small_home(tmp_path: Path) -> Path:
    """EuroSAT RGB, three images per split."""
    root = tmp_path / "home" / "data" / "eurosat_rgb"
    (root / "Forest").mkdir(parents=True)
    rows = ["file,class,split"]
    for number, split in enumerate(["train"] * 3 + ["val"] * 3 + ["test"] * 3):
        pixels = np.random.default_rng(number).integers(20, 120, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "Forest" / f"Forest_{number}.jpg")
        rows.append(f"Forest/Forest_{number}.jpg,Forest,{split}")
    (root / "splits.csv").write_text("\n".join(rows))
    return tmp_path / "home"


def test_models_says_what_is_runnable():
    done = run_script("models", "--all")
    assert done.returncode == 0
    assert re.search(r"mae_vits16 .*reconstruction.*13 L1C.*224 px.*CC-BY-4.0.*no: weights", done.stdout)
    assert re.search(r"mae_vits16_random .*control.*yes", done.stdout)


def test_tasks_lists_simulated_and_real_data():
    done = run("tasks")
    assert done.returncode == 0
    assert re.search(r"eurosat_sim .*simulated.*yes", done.stdout)
    assert {"spectral", "arrangement", "oracle"} <= set(re.findall(r"\w+", done.stdout)), "what stand-ins declare"
    assert re.search(r"eurosat_rgb .*data/eurosat_rgb.*no: data", done.stdout)


def test_doctor_says_what_each_missing_piece_needs(small_home: Path):
    done = run("doctor", "--all", home=small_home)
    assert done.returncode == 0
    runnable = re.search(r"^  eurosat_rgb: (.*)$", done.stdout, re.MULTILINE)
    assert runnable is not None
    assert {"galileo_nano_random", "band_stats", "rcf"} <= set(runnable.group(1).split(", "))
    assert "terramind_v1_s1_random" not in runnable.group(1)
    assert "B13_vits16_mae_ep99_enc.pth" in done.stdout
    assert "https://huggingface.co/wangyi111/SSL4EO-S12" in done.stdout


@pytest.mark.parametrize("names", [("galileo_nano_random", "eurosat_rgb"), ("eurosat_rgb", "galileo_nano_random")])
def test_check_shows_every_channel_and_draws_one_item(names: tuple[str, str], small_home: Path, tmp_path: Path):
    picture = tmp_path / "one.png"
    done = run("check", *names, "--picture", str(picture), home=small_home)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d .*B02.*data.*L1C.*DN", done.stdout)
    assert re.search(r"\d .*B12.*masked", done.stdout)
    assert re.search(r"bands masked because the task lacks them: .*B05, B06, B07", done.stdout)
    with Image.open(picture) as image:
        assert min(image.size) > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "mae_vits17", "eurosat_sim"), "'mae_vits17' is neither a model nor a task; did you mean"),
        (("check", "terramind_v1_s1", "eurosat_rgb"), "GEOFM_HOME is not set"),
        (("check", "mae_vits16", "moco_vits16"), "mae_vits16 and moco_vits16 are both models"),
        (("check", "eurosat"), "data unavailable: data/eurosat (GEOFM_HOME is not set)"),
        (("models", "--catalog", "nowhere.toml"), "nowhere.toml: catalog file does not exist"),
        (("report", "no_such_run"), "no_such_run"),
        (("fetch", "galileo_nano"), "galileo_nano: weights unavailable: GEOFM_HOME is not set"),
        (("fetch", "band_stats", "galileo_nono"), "neither a model nor a task; did you mean galileo_nano"),
    ],
)
def test_a_mistake_ends_in_one_sentence_and_status_one(arguments: tuple[str, ...], message: str, tmp_path: Path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_ends_the_script_without_a_traceback():
    done = run_script("fetch", "galileo_nono")
    assert done.returncode == 1
    assert "neither a model nor a task; did you mean galileo_nano" in done.stderr
    assert "Traceback" not in done.stderr


def test_fetch_goes_on_after_a_failure_and_ends_with_status_one(tmp_path: Path):
    with serving({"/good.pt": CONTENT}) as server:
        (tmp_path / "own.toml").write_text("".join(OWN.format(name=name, url=server.url) for name in ("gone", "good")))
        done = run("fetch", "gone", "good", "good_random", "--catalog", "own.toml", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "error: gone: weights unavailable" in done.stderr
    assert "the server responded 404" in done.stderr
    assert f"good: {tmp_path}/weights/good.pt fetched, 3.1 MB" in done.stdout
    assert "good_random: is randomly initialised" in done.stdout
    assert "Traceback" not in done.stderr
    assert (tmp_path / "weights" / "good.pt").read_bytes() == CONTENT


def test_fetch_says_what_it_would_do_and_check_reads_what_is_there(small_home: Path):
    planned = run("fetch", "terramind_v1", "eurosat_rgb", "--dry-run", home=small_home)
    assert planned.returncode == 0
    assert f"terramind_v1: would fetch 1,518.7 MB to {small_home}/weights/TerraMind_v1_base.pt" in planned.stdout
    assert f"{small_home}/data/eurosat_rgb (exists)" in planned.stdout
    assert not (small_home / "weights").exists()
    checked = run("check", "eurosat_rgb", home=small_home)
    assert checked.returncode == 0
    assert re.search(r"val +3.* samples.*the first, Forest/Forest_3\.jpg, is 3 x 64 x 64, 100% valid", checked.stdout)


def test_cache_lists_and_prunes(small_home: Path):
    assert run("cache").returncode == 0
    assert "removed 0 entries" in run("cache", "--prune", "features").stdout
