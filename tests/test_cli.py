"""The command line as a user meets it: what it prints, and that a mistake ends in one sentence and status 1."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(sys.executable).parent / "geofm-eval"


def run(*arguments: str, home: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    import os

    environment = dict(os.environ) if home is None else {**os.environ, "GEOFM_HOME": str(home)}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment, cwd=cwd, check=False)


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
    done = run("models")
    assert done.returncode == 0
    assert re.search(r"mae_vits16 .*reconstruction.*13 L1C.*224 px.*CC-BY-4.0.*no: weights", done.stdout)
    assert re.search(r"mae_vits16_random .*control.*yes", done.stdout)


def test_tasks_lists_simulated_and_real_data():
    done = run("tasks")
    assert done.returncode == 0
    assert re.search(r"eurosat_sim .*simulated.*yes", done.stdout)
    assert re.search(r"eurosat_rgb .*data/eurosat_rgb.*no: data", done.stdout)


def test_doctor_says_what_each_missing_piece_needs(small_home: Path):
    done = run("doctor", home=small_home)
    assert done.returncode == 0
    runnable = re.search(r"^  eurosat_rgb: (.*)$", done.stdout, re.MULTILINE)
    assert runnable is not None
    assert {"galileo_nano_random", "band_stats", "rcf"} <= set(runnable.group(1).split(", "))
    assert "mae_vits16_random" not in runnable.group(1)
    assert "B13_vits16_mae_ep99_enc.pth" in done.stdout
    assert "https://huggingface.co/wangyi111/SSL4EO-S12" in done.stdout


def test_preflight_shows_every_channel_and_draws_one_item(small_home: Path, tmp_path: Path):
    picture = tmp_path / "one.png"
    done = run("preflight", "galileo_nano", "eurosat_rgb", "--picture", str(picture), home=small_home)
    assert done.returncode == 0, done.stderr
    assert re.search(r"0 .*B02.*data.*L1C.*DN", done.stdout)
    assert re.search(r"9 .*B12.*masked", done.stdout)
    assert "bands masked because the task lacks them: B05" in done.stdout
    with Image.open(picture) as image:
        assert min(image.size) > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("preflight", "mae_vits17", "eurosat_sim"), "model 'mae_vits17' is unknown; did you mean"),
        (("preflight", "mae_vits16", "eurosat_rgb"), "B01"),
        (("preflight", "band_stats", "eurosat"), "GEOFM_HOME is not set"),
        (("models", "--catalog", "nowhere.toml"), "nowhere.toml: catalog file does not exist"),
        (("collate", "no_such_run"), "no_such_run"),
    ],
)
def test_a_mistake_ends_in_one_sentence_and_status_one(arguments: tuple[str, ...], message: str, tmp_path: Path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_cache_lists_and_prunes(small_home: Path):
    assert run("cache").returncode == 0
    assert "removed 0 entries" in run("cache", "--prune", "features").stdout
