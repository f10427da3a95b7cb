"""A saved probe gives the scores that were measured, and the page's snippets run as they are."""

import contextlib
import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from geofm_eval import cli, load_catalog, load_probe
from geofm_eval.errors import ContractError, DataError
from geofm_eval.exporting import export_probe
from geofm_eval.probes.saved import ENTRY, FORMAT
from geofm_eval.records import Record
from geofm_eval.report.web.usage import UseIt, use_it
from geofm_eval.seals import sealed
from geofm_eval.version import __version__
from geofm_eval.workspace import Settings, Workspace

MODEL, CLASSES, NUMBERS = "pocket_mae", "eurosat_sim", "neuco_sim_biomass_mean"


@pytest.fixture(scope="module")
def workspace(shared_cache: Path) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(shared_cache))
        yield Workspace(load_catalog(), Settings())


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", str(shared_cache))


@pytest.fixture(scope="module")
def saved(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Probe of band statistics, which have classes."""
    return export_probe(workspace, "band_stats", CLASSES, "linear", "final", tmp_path_factory.mktemp("probe"))


@pytest.fixture(scope="module")
def by_case(reference_records: list[Record]) -> dict[str, Record]:
    return {record.case.id: record for record in reference_records if record.case.kind == "probe"}


def run_snippet(use: UseIt, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the command, then the snippet, in one folder; return what the snippet prints."""
    monkeypatch.chdir(folder)
    if use.command:
        monkeypatch.setattr("sys.argv", shlex.split(use.command))
        with pytest.raises(SystemExit) as done:
            cli.run()
        assert not done.value.code
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(use.code, "snippet", "exec"), {})
    return printed.getvalue()


@pytest.mark.slow
def test_a_saved_probe_repeats_the_test_score_of_the_record(workspace, saved, by_case):
    probe, test = load_probe(saved), workspace.splits(CLASSES)["test"]
    features = workspace.block("band_stats", CLASSES, "test").features("final")
    truth = np.array(probe.classes)[test.labels]
    record = by_case[f"band_stats-{CLASSES}-linear-final"]
    assert float((probe.predict(features) == truth).mean()) == pytest.approx(record.scores["1.0"].value, abs=1e-12)
    assert (probe.test_score, probe.n_test) == (record.scores["1.0"].value, record.scores["1.0"].n)
    assert probe.weights_sha256 == record.provenance.weights_sha256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "task", "adaptation"), [("band_stats", CLASSES, "linear"), (MODEL, NUMBERS, "ridge")]
)
def test_a_saved_probe_says_what_its_record_says(workspace, by_case, tmp_path, model, task, adaptation):
    probe = load_probe(export_probe(workspace, model, task, adaptation, "final", tmp_path))
    record = by_case[probe.case]
    score = record.scores["1.0"]
    assert (probe.score, probe.interval) == (score.value, (score.interval.low, score.interval.high))
    assert probe.inputs == record.provenance.inputs.model_dump(mode="json")
    assert (probe.bands, probe.version) == (load_catalog().task(task).bands, __version__)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "printed"),
    [
        (f"band_stats-{CLASSES}-linear-final", "'"),
        (f"{MODEL}-{NUMBERS}-ridge-block05", "["),
        (f"{MODEL}-{NUMBERS}-ridge-final", "["),
    ],
)
def test_the_snippet_of_the_page_loads_cuts_normalises_and_predicts(case, printed, by_case, tmp_path, monkeypatch):
    use = use_it(by_case[case], load_catalog())
    assert len([line for line in use.code.splitlines() if line]) <= 13
    assert printed in run_snippet(use, tmp_path, monkeypatch)


def test_a_damaged_probe_is_refused(saved, tmp_path):
    arrays, path = load_file(saved), tmp_path / "probe.safetensors"
    with pytest.raises(DataError, match="no such file"):
        load_probe(path)
    path.write_bytes(saved.read_bytes()[:-8])
    with pytest.raises(DataError, match="not a complete safetensors file"):
        load_probe(path)
    save_file(arrays, path)
    with pytest.raises(DataError, match=r"with bias, weight, expected a probe"):
        load_probe(path)
    entry = {"format": FORMAT + 1}
    save_file(arrays, path, {ENTRY: json.dumps(sealed(entry))})
    with pytest.raises(DataError, match="this version reads"):
        load_probe(path)
    raw = bytearray(saved.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="not those that were saved"):
        load_probe(path)
    path.write_bytes(saved.read_bytes().replace(b"band_stats", b"band_stots"))
    with pytest.raises(DataError, match="description is damaged"):
        load_probe(path)


def test_features_of_another_width_are_refused(saved):
    with pytest.raises(ContractError, match=r"\(2, 5\), expected \(n, 26\)"):
        load_probe(saved).predict(np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("task", "adaptation", "reason"),
    [
        (CLASSES, "knn", "has no weights"),
        (CLASSES, "ridge", "does not fit"),
        (CLASSES, "linear_int8", "has no weights"),
        ("sen1floods11_sim", "linear", "a label per pixel"),
    ],
)
def test_what_has_no_probe_to_save_is_refused(workspace, tmp_path, task, adaptation, reason):
    with pytest.raises(ContractError, match=reason):
        export_probe(workspace, "band_stats", task, adaptation, "final", tmp_path)
