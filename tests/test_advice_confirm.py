"""An advised cut carried out on a tiny data set, and timings that leave a record."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from fixtures.outcomes import measured, settle
from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite, select_cases
from geofm_eval.advice import advise
from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.cli import app
from geofm_eval.errors import ContractError
from geofm_eval.measure import measurement_of
from geofm_eval.measure.confirming import confirm_first
from geofm_eval.records import Record, fraction_key, read_record, record_path, write_record
from geofm_eval.report.advice import Advised, advised
from geofm_eval.results.run import read_run
from geofm_eval.workspace import Settings, Workspace
from tests import small_suite
from tests.small_suite import OPTIONS

pytest.importorskip("timm")
TASK, MODEL, TAP = "colours", "beech", "block00"

MODELS = """
[models.beech]
title = "Beech"
family = "reconstruction"
architecture = "timm_vit"
options = { model = "vit_tiny_patch16_224", patch_size = 8, num_heads = 2 }
depth = 3
width = 16
prefix = 1
image_size = 16
bands = ["B04", "B03", "B02"]
product = "any"
normalisation = { high = 2750.0 }
random_seed = 3

[models.oak]
title = "Oak"
family = "reconstruction"
architecture = "{oak}:build"
depth = 2
width = 6
bands = ["B04", "B03", "B02"]
product = "any"
normalisation = { high = 2750.0 }
random_seed = 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a catalog, and the cache that all tests here share."""
    made = tmp_path_factory.mktemp("colours")
    small_suite.write_images(made / "data")
    (made / "backbone.py").write_text(small_suite.BACKBONE, encoding="utf-8")
    task = small_suite.TASKS.format(task=TASK, root=made / "data", fractions="[0.1, 1.0]", variant="")
    models = MODELS.replace("{oak}", str(made / "backbone.py"))
    (made / "own.toml").write_text(models + task, encoding="utf-8")
    return made


@pytest.fixture(autouse=True)
def shared_cache(folder: Path, isolated_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", str(folder / "cache"))


@pytest.fixture(scope="module")
def catalog(folder: Path) -> Catalog:
    return load_catalog([folder / "own.toml"])


def suite_of(catalog: Catalog, run: Path) -> Suite:
    options = replace(OPTIONS, models=(MODEL, "oak"), tasks=(TASK,))
    return Suite(options, catalog, select_cases(options, catalog), RunFolder(run.name, run, resume=False), "main")


def planted(record: Record) -> Record:
    """Make one tap the choice of validation, so that there is a cut to confirm."""
    own = tuple(replace(one, val_score=0.9 if record.case.layer == TAP else 0.5) for one in record.selection.choices)
    return record.model_copy(update={"selection": record.selection.model_copy(update={"choices": own})})


@pytest.fixture
def run(catalog: Catalog, tmp_path: Path) -> Path:
    suite, workspace = suite_of(catalog, tmp_path / "mine"), Workspace(catalog, Settings())
    for case in suite.cases["probe"]:
        if case.adaptation == "linear":
            found = measurement_of(context_of(suite, workspace), case)
            write_record(planted(found.record), found.outcomes, suite.run.folder)
    return suite.run.folder


def edited(run: Path, model: str, edit) -> None:
    """Change a record, without outcomes that would contradict it: an archive has none at most taps."""
    path = record_path(run, "probe", f"{model}-{TASK}-linear-{TAP}")
    write_record(edit(read_record(path)), None, run)


def worse(record: Record) -> Record:
    """A record that claims another score than was measured."""
    key = fraction_key(1.0)
    value = record.scores[key].value - 0.3
    score = record.scores[key].model_copy(update={"value": value, "per_draw": (value,), "interval": None})
    return record.model_copy(update={"scores": {**record.scores, key: score}})


def test_a_cut_backbone_gives_the_recorded_score_and_is_smaller(run, catalog):
    known = read_run(run)
    (advice,) = advise(known, TASK, MODEL)
    found = confirm_first(advice, known, catalog)
    assert found.holds
    assert (found.tap, found.kept, found.fraction, found.metric) == (TAP, 1, 1.0, "accuracy")
    assert found.difference == 0 < found.largest
    assert found.score == pytest.approx(found.recorded, abs=1e-9)
    assert found.penalties == (1, 1)
    block = found.whole_parameters - found.parameters
    assert found.parameters < found.whole_parameters < found.parameters + 1.01 * block
    assert found.timed.images == 8
    assert 0 < found.timed.ratio < 1.5
    low, high = found.timed.quartiles
    assert low <= found.timed.ratio <= high
    text = Advised(known, (advice,), (), ()).text(found)
    assert f"confirmation: {MODEL} cut after {TAP} (1 block left)" in text
    assert "penalty as recorded in 1 of 1 draw\n  equal to the record" in text
    wrong = replace(found, score=0.2, problems=("the score is 0.2000, the record has 0.9000",))
    assert "  NOT equal to the record: the score is 0.2000" in Advised(known, (advice,), (), ()).text(wrong)


def test_the_status_says_whether_the_record_was_confirmed(run, folder):
    command = ["advise", str(run), "--task", TASK, "--model", MODEL, "--confirm", "--catalog", str(folder / "own.toml")]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "equal to the record" in done.stdout) == (0, True), done.output
    edited(run, MODEL, worse)
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 1
    assert '"holds": false' in done.stdout
    assert "the record has" in done.stdout


def test_other_weights_or_data_than_the_record_s_are_not_compared(run, catalog):
    def other(record: Record) -> Record:
        changed = record.provenance.model_copy(update={"weights_sha256": "b" * 64, "items_sha256": {"train": "c" * 64}})
        return record.model_copy(update={"provenance": changed})

    known = read_run(run)
    (advice,) = advise(known, TASK, MODEL)
    edited(run, MODEL, other)
    with pytest.raises(ContractError, match="was measured with different weights and samples; pass"):
        confirm_first(advice, read_run(run), catalog)


def test_what_cannot_be_cut_or_needs_no_cut_is_refused(run, catalog):
    known = read_run(run)
    (oak,) = advise(known, TASK, "oak")
    with pytest.raises(ContractError, match="Small does not implement submodules"):
        confirm_first(oak, known, catalog)
    with pytest.raises(ContractError, match="no cut of oak on colours to confirm: nothing shallower than the la"):
        confirm_first(replace(oak, cuts=()), known, catalog)
    with pytest.raises(ContractError, match="to confirm: no tap has a validation score"):
        confirm_first(replace(oak, cuts=(), missing={"cut at 1.0": "no tap has a validation score"}), known, catalog)


# Timings.


def timed(catalog: Catalog, run: Path, case_id: str, median: float | None) -> Suite:
    """Let a timing end as pytest would: ``median`` is None where pytest-benchmark does not time."""
    from geofm_eval.measure.throughput import measure_throughput, truncated_forward

    suite, workspace = suite_of(catalog, run), Workspace(catalog, Settings())
    case = next(one for one in suite.cases["throughput"] if one.id == case_id)
    forward = truncated_forward(workspace, case)
    assert len(forward()) == forward.images
    item = SimpleNamespace(callspec=SimpleNamespace(params={"case": case}), stash=pytest.Stash())
    if median is not None:
        item.stash[measured] = measure_throughput(context_of(suite, workspace), case, forward, median)
    call = pytest.CallInfo.from_call(lambda: None, when="call")
    report = pytest.TestReport("benchmarks/test_throughput.py::x", ("x", 1, "x"), {}, "passed", None, "call")
    settle(item, call, report, suite)
    assert report.passed, report.longrepr
    return suite


def test_a_timing_leaves_a_record_that_advice_reads(run, catalog):
    for layer, median in (("block00", 0.002), ("block01", 0.003), ("block02", 0.004)):
        timed(catalog, run, f"{MODEL}-{TASK}-frozen-{layer}", median)
    record = read_record(record_path(run, "throughput", f"{MODEL}-{TASK}-frozen-block00"))
    assert (record.case.kind, record.outcome.status) == ("throughput", "passed")
    assert (record.evidence, record.scores, record.outcomes_sha256) == (None, {}, None)
    assert (record.cost.seconds, record.cost.images_per_second) == ({"forward": 0.002}, 4000)
    assert record.provenance.weights_source == "random:seed=3"
    assert record.provenance.inputs.real_bands == ("B04", "B03", "B02")
    (advice,) = advised(run, catalog, TASK, MODEL).advices
    saving = advice.cuts[0].saving
    assert (saving.layer, saving.exact, saving.time) == (TAP, True, 0.5)
    found = confirm_first(advice, read_run(run), catalog)
    assert (saving.parameters, saving.whole_parameters) == (found.parameters, found.whole_parameters)


def test_what_was_not_timed_leaves_no_record(run, catalog):
    suite = timed(catalog, run, f"{MODEL}-{TASK}-frozen-block00", None)
    assert not (suite.run.folder / "throughput").exists()


def test_what_cannot_be_cut_is_timed_without_a_count(run, catalog):
    timed(catalog, run, f"oak-{TASK}-frozen-block00", 0.002)
    record = read_record(record_path(run, "throughput", f"oak-{TASK}-frozen-block00"))
    assert (record.cost.parameters, record.cost.seconds) == (None, {"forward": 0.002})
