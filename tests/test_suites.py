"""Which cases the suites have on stand-ins, and that none was lost when they moved from one to another."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.runs import RunFolder
from fixtures.suite import Suite, select_cases
from fixtures.summary import header
from geofm_eval.catalog import SUITES, Case, load_catalog
from geofm_eval.catalog.dense import dense_adaptation
from tests.small_suite import OPTIONS

CATALOG = load_catalog()
GOLDEN = Path(__file__).parent / "golden" / "standin_cases.txt"
"""Cases on stand-ins; one line per kind, task, adaptation and layers (``*``: every tap) with the models."""


def standins(suite: str, **asked: tuple[str, ...]) -> dict[str, set[str]]:
    """Ids of the cases on stand-ins by kind; timings are of the models, on whatever task comes first."""
    found = select_cases(replace(OPTIONS, suite=suite, **asked), CATALOG)
    return {
        kind: {case.id for case in cases if CATALOG.task(case.task).simulated}
        for kind, cases in found.items()
        if kind != "throughput"
    }


def golden() -> Iterator[Case]:
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        fields, models = line.split(": ")
        kind, task, adaptation, layers = fields.split()
        for model in models.split():
            for layer in CATALOG.model(model).taps if layers == "*" else layers.split(","):
                yield Case(kind, model, task, adaptation, layer)


@pytest.fixture(scope="module")
def suites() -> dict[str, dict[str, set[str]]]:
    return {suite: standins(suite) for suite in SUITES}


def test_extended_has_every_case_on_stand_ins_that_ever_was(suites: dict[str, dict[str, set[str]]]) -> None:
    lost = [case.nodename for case in golden() if case.id not in suites["extended"][case.kind]]
    assert not lost


def test_the_default_suite_has_the_cases_of_bench_on_stand_ins(suites: dict[str, dict[str, set[str]]]) -> None:
    assert suites["study"] == suites["bench"]
    assert all(suites["bench"][kind] <= suites["extended"][kind] for kind in suites["bench"])


def test_bench_trains_at_most_sixteen_cases(suites: dict[str, dict[str, set[str]]]) -> None:
    trained = [identifier.split("-") for identifier in suites["bench"]["segment"]]
    assert 0 < len(trained) <= 16
    assert {task for _, task, _, _ in trained} == {"sen1floods11_sim"}
    models = {model for model, *_ in trained}
    assert len(models) == 4
    assert sum(CATALOG.model(model).is_control for model in models) == 1
    read = {adaptation: dense_adaptation(adaptation) for _, _, adaptation, _ in trained}
    assert {(found.head, found.tuning, found.fraction) for found in read.values() if found} == {
        ("lightms", tuning, fraction) for tuning in ("frozen", "full") for fraction in (0.1, 1.0)
    }
    assert not suites["bench"]["tune"]
    assert not suites["bench"]["drift"]


def test_what_is_named_is_measured_in_any_suite() -> None:
    one = {"models": ("pocket_mae",), "tasks": ("pastis_sim",)}
    assert standins("study", **one, adaptations=("lightms_full_p100",)) == {
        "probe": set(),
        "segment": {"pocket_mae-pastis_sim-lightms_full_p100-multi"},
        "tune": set(),
        "drift": {"pocket_mae-pastis_sim-lightms_full_p100-multi"},
        "similarity": set(),
    }
    assert standins("bench", models=("galileo_nano",), tasks=("eurosat_sim",))["probe"]


def test_a_named_adaptation_trains_every_model_of_the_suite() -> None:
    found = standins("bench", adaptations=("upernet_w064_frozen_p100",))["segment"]
    assert {identifier.split("-")[0] for identifier in found} >= {"pocket_contrast", "pocket_distill", "pocket_mae"}


def test_the_header_says_how_many_similarity_cases_an_adaptation_leaves_out(tmp_path: Path) -> None:
    options = replace(OPTIONS, models=("pocket_mae", "band_stats"), tasks=("eurosat_sim",), adaptations=("linear",))
    suite = Suite(options, CATALOG, select_cases(options, CATALOG), RunFolder("own", tmp_path, False), "main")
    (line,) = [line for line in header(suite) if "similarity" in line]
    assert line.startswith("2 similarity cases left out")
    everything = replace(options, adaptations=())
    whole = replace(suite, options=everything, cases=select_cases(everything, CATALOG))
    assert not any("similarity" in line for line in header(whole))
