"""Which cases exist, how they are named, marked and selected, and that finding out stays cheap."""

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.cases import quarters, throughput_cases
from fixtures.options import _check
from fixtures.suite import select_cases
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.catalog.marking import markers
from geofm_eval.errors import ContractError
from tests.small_suite import ADAPTATIONS, OPTIONS, forked, install

CATALOG = load_catalog()


def collect(repository: Path, *arguments: str) -> list[str]:
    """Names of the collected tests, such as ``test_probe[...]``."""
    done = forked(repository, dict(os.environ), "benchmarks", "--collect-only", "-q", *arguments)
    return [line.partition("::")[2] for line in done.text.splitlines() if "::" in line]


def test_names_are_selected_exactly(tmp_path: Path) -> None:
    install(tmp_path)
    own = ("--catalog", "small.toml")
    found = collect(tmp_path, *own, "--models", "oak,elm", "--tasks", "colours", "--layers", "final,embed")
    expected = {
        f"test_probe[{model}-colours-{adaptation}-{layer}]"
        for model in ("oak", "elm")
        for adaptation in ADAPTATIONS
        for layer in ("embed", "final")
    }
    assert set(found) == expected
    assert len(found) == len(expected), "a case is collected twice"


def test_expressions_select_variants_and_real_data(repository: Path) -> None:
    found = collect(
        repository, "-m", "not sim", "-k", "eurosat_spatial", "--models", "pocket_random", "--adaptations", "knn"
    )
    layers = CATALOG.model("pocket_random").taps
    assert found == [f"test_probe[pocket_random-eurosat_spatial-knn-{layer}]" for layer in layers]
    assert collect(repository, "-m", "not sim", "--suite", "bench") == []


def test_collecting_loads_neither_torch_nor_timm(repository: Path) -> None:
    program = (
        "import sys, pytest\n"
        "status = pytest.main(['benchmarks', '--collect-only', '-q'])\n"
        "loaded = sorted({'torch', 'timm', 'torchgeo', 'rasterio', 'matplotlib'} & set(sys.modules))\n"
        "print('status', int(status), 'loaded', loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "status 0 loaded []"


def test_collecting_leaves_no_run_behind(tmp_path: Path) -> None:
    install(tmp_path)
    collect(tmp_path, "--catalog", "small.toml", "--models", "oak", "--tasks", "colours")
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": ("pocket_ramdon",)}, "--models: 'pocket_ramdon' is unknown; did you mean pocket_random"),
        ({"tasks": ("eurosat_rbg",)}, "--tasks: 'eurosat_rbg' is unknown; did you mean eurosat_rgb"),
        ({"adaptations": ("liner",)}, "--adaptations: 'liner' is unknown; did you mean linear"),
        (
            {"adaptations": ("upernet_frozen_p000",)},
            "adamw_mended, <decoder>_<tuning>_p<percent in three digits>, for example lightms_frozen_p010",
        ),
        (
            {"models": ("band_stats",), "tasks": ("sen1floods11_sim",), "adaptations": ("lightms_full_p100",)},
            "or none has the required pooling or blocks",
        ),
        (
            {"tasks": ("sen1floods11_sim",), "adaptations": ("pooled_full_p010",)},
            "needs one label per sample, but sen1floods11_sim has one label per pixel; use lightms_full_p100",
        ),
        (
            {"tasks": ("eurosat_sim",), "adaptations": ("lightms_full_p100",)},
            "needs one label per pixel, but eurosat_sim has one label per sample; use pooled_full_p100",
        ),
        ({"layers": ("block7",)}, "--layers: 'block7' is unknown; did you mean block07"),
        ({"weights": {"pocket_randm": Path()}}, "--weights: 'pocket_randm' is unknown; did you mean pocket_random"),
        ({"models": ("imagenet_vitb16",), "layers": ("zzz",)}, "--layers: 'zzz' is unknown; known: embed, block00"),
        ({"models": ("galileo_nano",), "adaptations": ("knn_cls",)}, "no case of suite 'bench' is selected"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(change: dict[str, object], message: str) -> None:
    with pytest.raises((pytest.UsageError, ContractError)) as refused:
        select_cases(replace(OPTIONS, **change), CATALOG)  # type: ignore[arg-type]
    assert message in str(refused.value)


def test_mixed_precision_is_for_gpus() -> None:
    with pytest.raises(pytest.UsageError, match="--dtype bf16 needs a GPU; add --device cuda"):
        _check(replace(OPTIONS, dtype="bf16"))
    _check(replace(OPTIONS, dtype="bf16", device="cuda"))


def test_every_case_has_its_markers() -> None:
    assert markers(Case("probe", "pocket_random", "eurosat_sim", "knn", "embed"), CATALOG) == (
        "sim",
        "closed",
        "control",
    )
    assert markers(Case("probe", "galileo_nano", "eurosat_rgb", "linear", "final"), CATALOG) == ("real", "closed")


def test_timings_stop_at_each_quarter_of_the_depth() -> None:
    assert quarters(CATALOG.model("pocket_random")) == ("block02", "block05", "block08", "block11")
    assert quarters(CATALOG.model("galileo_nano")) == ("block00", "block01", "block02", "block03")
    assert quarters(CATALOG.model("band_stats")) == ("final",)
    tasks = ("eurosat_sim", "eurosat_rgb", "eurosat")
    cases = throughput_cases([Case("probe", "pocket_random", task, "knn", "embed") for task in tasks], CATALOG)
    first = [f"pocket_random-eurosat_rgb-frozen-{layer}" for layer in ("block02", "block05")]
    assert [case.id for case in cases][:2] == first, "a stand-in is timed only where nothing else is"
    assert len(cases) == 4, "one task per model is enough to time it"


def test_selecting_an_adaptation_leaves_the_timings_out() -> None:
    assert select_cases(replace(OPTIONS, adaptations=("knn",)), CATALOG)["throughput"] == ()
    assert select_cases(OPTIONS, CATALOG)["throughput"] != ()


def test_bodies_of_benchmarks_are_short(repository: Path) -> None:
    for path in sorted((repository / "benchmarks").glob("test_*.py")):
        for function in (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)):
            last = function.body[-1].end_lineno
            assert last is not None
            assert last - function.lineno <= 8, f"{path.name}: the body of {function.name} has more than 8 lines"
