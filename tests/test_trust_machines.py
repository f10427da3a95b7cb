"""The machine table: what variants set, what is kept of them, and what the table says."""

import dataclasses
import json
import os
import platform
import sys

import pytest

from benchmarks.studies.trust.machines import __main__ as command
from benchmarks.studies.trust.machines import report
from benchmarks.studies.trust.machines.facts import Facts, Scored, read_facts, write_facts
from benchmarks.studies.trust.machines.running import Workplace, all_finished, finished, measure
from benchmarks.studies.trust.machines.switches import DEFAULT, PRESET, described, variants
from geofm_eval.errors import DataError
from tests.small_suite import PLUGINS, QUICK_TIMING, ROOT, install

WIDE = {"numpy_uses": ["X86_V3", "X86_V4", "AVX512_ICL"]}
MACHINE = {
    "processor": "Some CPU", "flags": ["avx2"], "architecture": "x86_64", "cores": 2, "python": "3.11.7",
    "torch": "2.15.0", "torch_uses": "AVX512", "mkl": "2024.2", "onednn": "3.13", "numpy": "2.4.6",
    "numpy_uses": ["X86_V3"], "openblas": ["0.3.31 (Haswell)"], "variables": {"MKL_CBWR": "AVX2"},
}  # fmt: skip
SCORES = {
    "probe a-t-linear-final 0.1": Scored(0.5, "accuracy", 0.4, 0.6),
    "probe a-t-linear-final 1.0": Scored(0.6, "accuracy", 0.5, 0.7),
    "probe b-t-ridge-final 1.0": Scored(0.7, "r2", None, None),
}
PENALTIES = {"a-t-linear-final 0.1 0": 1e-3, "a-t-linear-final 0.1 1": 1e-2}


def facts(variant=DEFAULT, **fields):
    usual = {
        "title": variant, "machine": MACHINE, "selection": (), "code": "abc", "status": 0, "seconds": 61.2,
        "resumed": False, "scores": SCORES, "penalties": PENALTIES, "taps": {"t-linear a 1.0": "final"},
    }  # fmt: skip
    return Facts(variant=variant, **{**usual, **fields})


def test_a_variable_that_a_machine_presets_is_unset_with_the_one_that_belongs_to_it():
    base = dict.fromkeys(PRESET, "7") | {"PATH": "/bin", "OMP_NUM_THREADS": "1"}
    known = variants(WIDE)
    assert known["openblas_unset"].environment(base) == {
        "PATH": "/bin",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    haswell = known["openblas_haswell"].environment(base)
    assert haswell["OPENBLAS_CORETYPE"] == "Haswell"
    assert "OPENBLAS_L2_SIZE" not in haswell
    assert known["threads_2"].environment(base)["OMP_NUM_THREADS"] == "2"
    assert set(known[DEFAULT].environment(base)) >= set(base), "the machine as it is"


def test_numpy_is_told_to_leave_out_only_what_it_would_use():
    assert variants(WIDE)["numpy_no_avx512"].variables == {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL"}
    assert "numpy_no_avx512" not in variants({"numpy_uses": ["X86_V3"]})
    older = variants({"numpy_uses": ["AVX2", "AVX512F", "AVX512_SKX"]})["no_avx512"]
    assert older.variables["NPY_DISABLE_CPU_FEATURES"] == "AVX512F AVX512_SKX"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="instruction sets of x86-64")
def test_variables_take_effect_in_the_processes_of_a_variant():
    here = described(sys.executable, os.environ, ROOT)
    known = variants(here)
    plain = described(sys.executable, known["aten_default"].environment(os.environ), ROOT)
    assert plain["torch_uses"] in ("DEFAULT", "NO AVX")
    assert plain["variables"]["ATEN_CPU_CAPABILITY"] == "default"
    if "numpy_no_avx512" in known:
        narrow = described(sys.executable, known["numpy_no_avx512"].environment(os.environ), ROOT)
        assert narrow["numpy_uses"]
        assert not any(name == "X86_V4" or name.startswith("AVX512") for name in narrow["numpy_uses"])


def test_a_python_without_torch_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="cannot be described"):
        described(sys.executable, {**os.environ, "PYTHONPATH": str(_without_torch(tmp_path))}, ROOT)


def _without_torch(folder):
    (folder / "torch.py").write_text("raise ImportError('no torch here')")
    return folder


def test_the_table_counts_what_differs_from_the_default_variant():
    moved = {
        "probe a-t-linear-final 0.1": Scored(0.599, "accuracy", 0.4, 0.6),
        "probe a-t-linear-final 1.0": Scored(0.702, "accuracy", 0.5, 0.7),
        "probe b-t-ridge-final 1.0": Scored(0.7, "r2", None, None),
    }
    other = facts(
        "mkl_avx2", status=1, scores=moved, penalties={**PENALTIES, "a-t-linear-final 0.1 1": 1e-1},
        taps={"t-linear a 1.0": "block01"},
    )  # fmt: skip
    header, _, default, changed = report.table([facts(), other])
    assert header.count("|") == default.count("|") == changed.count("|")
    assert default == "| default | 3 | - | - | 0 / 0 / 1 | - | - | 1 min 01 s | **no** |", (
        "a score without a range is not judged"
    )
    assert changed == "| mkl_avx2 | 3 | 2 of 3 | 10 points | 1 / 1 / 1 | 1 of 2 | 1 of 1 | 1 min 01 s | **no** |"


def test_a_variant_is_green_when_every_case_passed_and_every_score_was_judged():
    judged = {name: one for name, one in SCORES.items() if one.low is not None}
    assert facts(scores=judged).green
    assert not facts(scores=judged, status=1).green
    assert not facts(scores={**judged, "probe b-t-ridge-final 1.0": Scored(0.7, "r2", None, None)}).green


def test_the_last_digit_of_a_penalty_is_no_other_penalty():
    first = facts()
    rounded = {name: value * (1 + 2.3e-16) for name, value in first.penalties.items()}
    assert rounded != first.penalties
    *_, row = report.table([first, facts("x", penalties=rounded)])
    assert f"| 0 of {len(rounded)} |" in row


def test_a_difference_is_in_the_unit_of_its_metric():
    other = facts("x", scores={**SCORES, "probe b-t-ridge-final 1.0": Scored(0.70004, "r2", None, None)})
    *_, row = report.table([facts(), other])
    assert "| 1 of 3 | 4e-05 R2 |" in row


def test_notes_say_what_took_effect_and_what_is_not_comparable():
    plain = facts("aten_default", machine={**MACHINE, "torch_uses": "DEFAULT", "numpy_uses": []}, code="def")
    lines = list(report.notes([facts(), plain, facts("mkl_avx2", resumed=True)]))
    assert "aten_default uses torch DEFAULT; numpy " in lines
    assert "variants were run with different code: abc, def" in lines
    assert "resumed after an interruption (wall time covers only the last part): mkl_avx2" in lines


def test_the_machine_is_printed_with_what_is_preset():
    text = "\n".join(report.machine_lines(MACHINE))
    assert "processor: Some CPU, x86_64, 2 cores" in text
    assert "torch 2.15.0 (AVX512), MKL 2024.2, oneDNN 3.13" in text
    assert "variables set beforehand: MKL_CBWR=AVX2" in text


def test_what_is_kept_of_a_variant_reads_back(tmp_path):
    path = tmp_path / "default.json"
    write_facts(facts(), path)
    assert dataclasses.replace(read_facts(path), selection=()) == facts()
    path.write_text("{}")
    with pytest.raises(DataError, match="delete it and run the variant again"):
        read_facts(path)


def test_an_unknown_variant_is_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "mkl_none"])
    assert "unknown variants: mkl_none; this machine has: default," in capsys.readouterr().err


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The small suite under two variants; the run of the second was there already, as after an interruption."""
    suite = install(tmp_path_factory.mktemp("machines"))
    own = ("--catalog", "small.toml", "--models", "oak", "--tasks", "colours", *QUICK_TIMING)
    place = Workplace(suite.folder, "table", sys.executable, 0, False, (*PLUGINS, *own), suite.environment())
    known = variants({"numpy_uses": []})
    default = measure(place, known[DEFAULT])
    once = suite.items_passed()["oak"]
    probes = dataclasses.replace(suite, paths=("benchmarks/test_probe.py",))
    before = probes.run("--models", "oak", "--tasks", "colours", "--suite", "bench", "--run", "table-mkl_compatible")
    assert before.status == 0, before.text
    twice = suite.items_passed()["oak"]
    second = measure(place, known["mkl_compatible"])
    return suite, place, known, (default, second), (once, twice, suite.items_passed()["oak"])


def test_every_variant_has_a_run_and_a_cache_of_its_own_and_goes_on_where_it_stopped(measured):
    suite, place, _, (default, second), (once, twice, last) = measured
    assert (default.status, default.resumed, second.status, second.resumed) == (0, False, 0, True)
    assert twice > once, "from an empty cache"
    assert last == twice, "records of the interrupted session are used"
    assert not list((place.folder / "cache").iterdir()), "a cache goes with its variant"
    assert second.machine["variables"]["MKL_CBWR"] == "COMPATIBLE"
    assert len(default.scores) == len(second.scores) == 4 * 2 * 2
    assert set(default.taps) == {
        f"colours-{probe} oak {part}" for probe in ("knn", "linear") for part in ("0.1", "1.0")
    }
    assert len(default.penalties) == 4 * (2 + 1), "of the linear probe alone: two draws of a tenth, one of all"
    kinds = {path.parent.name for path in (suite.folder / "reports/runs/table-default").glob("*/*.json")}
    assert "similarity" in kinds, "by default all of make bench"
    assert not (suite.folder / "reports/runs/table-mkl_compatible/similarity").exists()
    assert [one.variant for one in all_finished(place)] == [DEFAULT, "mkl_compatible"]


def test_a_finished_variant_is_taken_from_its_file_and_another_selection_is_refused(measured):
    _, place, known, (default, _), _ = measured
    found = finished(place, known[DEFAULT])
    assert found is not None
    assert found.scores == default.scores
    assert finished(place, known["mkl_avx2"]) is None
    other = dataclasses.replace(place, options=("--models", "elm"))
    with pytest.raises(DataError, match="choose another --name, or delete the file"):
        finished(other, known[DEFAULT])


def test_a_session_that_did_not_reach_its_end_leaves_no_result(measured):
    _, place, known, _, _ = measured
    broken = dataclasses.replace(place, options=("--catalog", "absent.toml"))
    with pytest.raises(SystemExit, match="aten_avx2: pytest ended with status 4 before all cases had run"):
        measure(broken, known["aten_avx2"])
    assert not place.result(known["aten_avx2"]).exists()
    assert json.loads(place.result(known[DEFAULT]).read_text())["variant"] == DEFAULT
