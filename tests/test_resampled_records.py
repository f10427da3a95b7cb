"""Validation scores on resampled items: next to the outcomes of a record, in its archive, and of dense probes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.dense.inference import quality, resampled_quality
from geofm_eval.dense.sweep import DenseRow, DenseSweep
from geofm_eval.errors import ContractError, DataError
from geofm_eval.measure.scores import near_taps
from geofm_eval.records import pack, read_outcomes, read_record, read_records, read_resamples, unpack, write_record
from geofm_eval.results.comparison import Subject
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.reselected import reselect, selected_difference
from tests.planted.taps import planted_taps, right_items
from tests.synthetic_run import MODELS, make_record

CATALOG = load_catalog()
MODEL = next(model for model in MODELS if model.slug == "galileo_nano")


def written(folder: Path, **resamples: np.ndarray):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    arrays = {f"val_{key.replace('_', '.')}": array for key, array in resamples.items()}
    return read_record(write_record(record, {**outcomes, **arrays}, folder))


def test_resamples_read_back_and_leave_outcomes_and_their_hash_as_they_are(tmp_path: Path):
    plain = written(tmp_path / "plain")
    record = written(tmp_path, **{"1_0": np.linspace(0.5, 0.6, 7), "0_1": np.zeros(7)})
    assert record.outcomes_sha256 == plain.outcomes_sha256
    assert (plain.resamples_sha256, record.resamples_sha256 is None) == (None, False)
    found = read_resamples(tmp_path, record)
    assert sorted(found) == ["0.1", "1.0"]
    assert found["1.0"] == pytest.approx(np.linspace(0.5, 0.6, 7))
    outcomes = read_outcomes(tmp_path, record)
    assert outcomes is not None
    assert sorted(outcomes.correct) == ["0.01", "0.1", "1.0"]
    assert read_resamples(tmp_path / "plain", plain) == {}


@pytest.mark.parametrize(
    "bad",
    [
        {"0_5": np.zeros(3)},
        {"1_0": np.zeros((2, 3))},
        {"1_0": np.zeros(3), "0_1": np.zeros(4)},
        {"1_0": np.array([0.1, np.nan])},
    ],
)
def test_resamples_that_do_not_fit_a_record_are_refused(tmp_path: Path, bad: dict[str, np.ndarray]):
    with pytest.raises(ContractError, match="validation resamples of"):
        written(tmp_path, **bad)


def test_foreign_resamples_are_named(tmp_path: Path):
    record = written(tmp_path, **{"1_0": np.zeros(3)})
    written(tmp_path, **{"1_0": np.ones(3)})
    with pytest.raises(DataError, match="differ from those that the record was written with"):
        read_resamples(tmp_path, record)
    assert read_outcomes(tmp_path, record) is not None


def test_an_archive_keeps_the_resamples_of_every_tap_and_the_outcomes_of_few(tmp_path: Path):
    rng = np.random.default_rng(0)
    levels = (0.4, 0.6, 0.6, 0.6)
    run = tmp_path / "run"
    subject = planted_taps(run, right_items(rng, levels, 200), right_items(rng, levels, 300))
    kept = {record.case.id for tap, record in subject.taps.items() if tap == "final"}
    archive = tmp_path / "run.tar.xz"
    assert pack(run, archive, kept) == 4
    folder = unpack(archive)
    found, problems = read_records(folder)
    assert problems == []
    again = Subject(subject.model, {record.case.layer: record for record in found}, {})
    ordered = Subject(subject.model, {tap: again.taps[tap] for tap in subject.taps}, {})
    assert reselect(ordered, "1.0", Pairs(folder)) == replace(
        reselect(subject, "1.0", Pairs(run)), chosen=reselect(ordered, "1.0", Pairs(folder)).chosen
    )
    for record in found:
        assert (record.outcomes_sha256 is None) == (record.case.id not in kept)
        assert read_resamples(folder, record).keys() == {"1.0"}
        assert (read_outcomes(folder, record) is None) == (record.case.id not in kept)
    difference = selected_difference(ordered, "final", "1.0", Pairs(folder))
    assert difference is not None
    assert difference.value == selected_difference(subject, "final", "1.0", Pairs(run)).value


def test_the_same_run_packs_to_the_same_bytes(tmp_path: Path):
    rng = np.random.default_rng(0)
    run = tmp_path / "run"
    planted_taps(run, right_items(rng, (0.5,) * 3, 50), right_items(rng, (0.5,) * 3, 50))
    for name in ("a", "b"):
        pack(run, tmp_path / f"{name}.tar.xz", set())
    assert (tmp_path / "a.tar.xz").read_bytes() == (tmp_path / "b.tar.xz").read_bytes()


def test_resampled_chips_score_as_repeated_ones_do():
    task = CATALOG.task("sen1floods11_sim")
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 50, (12, len(task.classes), len(task.classes)))
    weights = rng.multinomial(12, np.full(12, 1 / 12), 5).astype(np.float32)
    found = resampled_quality(task, counts, weights)
    expected = [quality(task, np.repeat(counts, own.astype(int), axis=0)) for own in weights]
    assert found == pytest.approx(expected)


def test_a_class_that_a_resample_lacks_is_left_out_there():
    task = CATALOG.task("sen1floods11_sim")
    counts = np.array([[[9, 1], [0, 0]], [[5, 0], [1, 4]]])
    found = resampled_quality(task, counts, np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert found == pytest.approx([0.9, quality(task, counts)])


def test_a_record_lists_the_taps_near_the_best_by_score_loss_and_resamples():
    taps = ("embed", "block00", "final")
    rng = np.random.default_rng(0)
    again = np.array([0.5, 0.7, 0.69])[:, None] + 0.02 * rng.standard_normal((3, 200))
    validated = {1.0: [[(0.5, 1.0)], [(0.7, 0.9)], [(0.69, 0.8)]], 0.1: [[(0.4, None), (0.6, None)]] * 3}
    found = near_taps(taps, validated, {1.0: again, 0.1: np.zeros((3, 5))})
    assert found == {"1.0": ("block00", "final"), "0.1": taps}
    assert near_taps(taps, validated, {}) == {}


def row(tap: str, score: float, loss: float) -> DenseRow:
    return DenseRow(tap, 1.0, 0, 5, 5, False, 9, 1.0, False, (9.0, loss), score, True, 1, 0)


def test_blocks_of_equal_score_are_chosen_by_loss_then_depth():
    rows = (
        row("block00", 0.6, 0.5),
        row("block01", 0.6 + 1e-12, 0.5),
        row("block02", 0.6, 0.4),
        row("block03", 0.1, 0.1),
    )
    sweep = DenseSweep("", rows, np.zeros(0), (), {}, (1, 1), 8)
    assert sweep.best_taps(1) == ("block02",)
    assert sweep.best_taps(2) == ("block00", "block02")
    assert sweep.best_taps(9) == ("block00", "block01", "block02", "block03")
