"""Runs with a real loss that must not pass, and runs with a chance difference that must: each planted, both settings.

Every row says how the gate ends by default and with ``--fail-on undecided``. The comments say how a gate ends that
pools a task over taps and models, and tests all of its taps and label fractions together.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.compare import compare
from geofm_eval.records import Outcome, RunManifest, append_skip, content_of, read_record, record_path, write_manifest
from geofm_eval.report.gate import json_of, lines_of, markdown_of
from geofm_eval.store import write_json
from tests.planted.compare import easy, moved, probe, trained

TAPS = ("embed", *(f"block{number:02d}" for number in range(12)), "final")
FRACTIONS = ("0.01", "0.1", "1.0")
NEW = {"weights": "b" * 64}
FINAL = "m_one-eurosat_sim-linear-final"
RIGHT = easy()


def both(old: Path, new: Path, layer: str = "block05", lost: int = 2, gained: int = 2, **how) -> None:
    """The tap that validation chose, in both runs: something else to compare."""
    probe(old, {"1.0": RIGHT}, layer, val=0.9, **how)
    probe(new, {"1.0": moved(RIGHT, lost, gained)}, layer, val=0.9, **how, **NEW)


def without_outcomes(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    probe(new, {"1.0": moved(RIGHT, 200, 0)}, val=0.8, outcomes=False, **NEW)


def foreign_outcomes(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    probe(new, {"1.0": moved(RIGHT, 50, 0)}, val=0.8, **NEW)
    own, other = (record_path(run, "probe", FINAL).with_suffix(".npz") for run in (new, old))
    own.write_bytes(other.read_bytes())


def missing_outcomes(old: Path, new: Path) -> None:
    foreign_outcomes(old, new)
    record_path(new, "probe", FINAL).with_suffix(".npz").unlink()


def foreign_outcomes_of_another_tap(old: Path, new: Path) -> None:
    foreign_outcomes(old, new)
    both(old, new, "final")
    both(old, new, "block04", 50, 0)
    name = FINAL.replace("final", "block04")
    own, other = (record_path(run, "probe", name).with_suffix(".npz") for run in (new, old))
    own.write_bytes(other.read_bytes())


def other_draws(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": np.stack([RIGHT] * 5)}, val=0.8)
    probe(new, {"1.0": np.stack([moved(RIGHT, 50, 0)] * 4)}, val=0.8, **NEW)


def other_version(old: Path, new: Path, lost: int = 200) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    probe(new, {"1.0": moved(RIGHT, lost, 0)}, val=0.8, version=2, **NEW)


def other_version_without_loss(old: Path, new: Path) -> None:
    other_version(old, new, lost=5)


def skipped(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    append_skip(new, "main", FINAL, "weights", "w.safetensors", "Train it.")


def never_reached(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    names = tuple(f"test_probe[{FINAL.replace('final', layer)}]" for layer in ("block05", "final"))
    write_manifest(new, RunManifest(name="new", cases=names))


def absent(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)


def absent_adaptation(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.9, adaptation="knn")


def unselected_model(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.9, model="m_two")


def crashed(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    probe(new, {"1.0": RIGHT}, val=0.8, **NEW)
    record = read_record(record_path(new, "probe", FINAL))
    outcome = Outcome(status="error", verdict="no_range", reason="the worker died in this case")
    lost = record.model_copy(update={"outcome": outcome, "scores": {}, "outcomes_sha256": None})
    write_json(record_path(new, "probe", FINAL), content_of(lost))


def unreadable(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    probe(new, {"1.0": RIGHT}, val=0.8, **NEW)
    record_path(new, "probe", FINAL).write_text("{")


def unreadable_baseline(old: Path, new: Path) -> None:
    both(old, new)
    probe(old, {"1.0": RIGHT}, val=0.8)
    probe(new, {"1.0": moved(RIGHT, 200, 0)}, val=0.8, **NEW)
    record_path(old, "probe", FINAL).write_text("{")


def among_taps(old: Path, new: Path, lost: int = 30, gained: int = 10, at: str = "final") -> None:
    """One tap of 14 loses at all labels; everywhere else as many items are lost as gained."""
    for number, layer in enumerate(TAPS):
        right = {fraction: easy(seed=100 * number + len(fraction)) for fraction in FRACTIONS}
        after = {fraction: moved(one, 20, 20, seed=number) for fraction, one in right.items()}
        if layer == at:
            after["1.0"] = moved(right["1.0"], lost, gained, seed=number)
        val = 0.9 if layer == "block05" else 0.8
        probe(old, right, layer, val=val)
        probe(new, after, layer, val=val, **NEW)


def nine_points_at_final(old: Path, new: Path) -> None:
    among_taps(old, new, lost=100, gained=10)


def at_another_tap(old: Path, new: Path) -> None:
    among_taps(old, new, lost=100, gained=10, at="block09")


def two_models(old: Path, new: Path) -> None:
    for model, lost, gained in (("m_one", 40, 10), ("m_two", 10, 40)):
        probe(old, {"1.0": RIGHT}, model=model)
        probe(new, {"1.0": moved(RIGHT, lost, gained)}, model=model, **NEW)


def counts(lost: int, gained: int, n: int = 1000) -> Callable[[Path, Path], None]:
    """One case of a family of its own."""

    def planted(old: Path, new: Path) -> None:
        right = easy(n)
        probe(old, {"1.0": right})
        probe(new, {"1.0": moved(right, lost, gained)}, **NEW)

    planted.__name__ = f"{lost}_lost_{gained}_gained_of_{n}"
    return planted


def one_class(old: Path, new: Path, others: int = 20) -> None:
    """Ten classes of 100 items: one loses 25 items, or 15, the others gain 20 in all, or none."""
    after = RIGHT.copy()
    first, rest = np.flatnonzero(RIGHT[:100]), 100 + np.flatnonzero(~RIGHT[100:])
    after[first[: 25 if others else 15]] = False
    after[rest[:others]] = True
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": after}, **NEW)


def one_class_alone(old: Path, new: Path) -> None:
    one_class(old, new, others=0)


def duplicates(old: Path, new: Path, grouped: bool = False) -> None:
    """250 items, each four times: 7 lost and 2 gained."""
    right = easy(250)
    after = moved(right, 7, 2)
    groups = np.repeat(np.arange(250), 4).astype(str) if grouped else None
    probe(old, {"1.0": np.repeat(right, 4)}, groups=groups)
    probe(new, {"1.0": np.repeat(after, 4)}, groups=groups, **NEW)


def grouped_duplicates(old: Path, new: Path) -> None:
    duplicates(old, new, grouped=True)


def four_chips(old: Path, new: Path, hits: tuple[int, ...] = (70, 75, 80, 85)) -> None:
    """Segmentation of four chips, all of which get ten percent worse."""
    for folder, right in ((old, np.array([80, 85, 90, 95])), (new, np.array(hits))):
        table = np.stack([right, 100 - right, 100 - right, right], -1).reshape(1, 4, 2, 2)
        trained(folder, np.repeat(table, 3, axis=0), **({} if folder == old else NEW))


def one_chip(old: Path, new: Path) -> None:
    four_chips(old, new, (80, 85, 90, 5))


def fewer_seeds(old: Path, new: Path) -> None:
    """Trained with one seed instead of three."""
    both(old, new)
    right = np.array([80, 85, 90, 95])
    table = np.stack([right, 100 - right, 100 - right, right], -1).reshape(1, 4, 2, 2)
    trained(old, np.repeat(table, 3, axis=0) + np.arange(3)[:, None, None, None])
    trained(new, table + 1, **NEW)


ROWS = [
    # Planted; fails by default, fails with --fail-on undecided. In comments the same for pooled tasks and one Holm.
    (without_outcomes, 1, 1),  # 0, 1
    (foreign_outcomes, 1, 1),  # 0, 1
    (missing_outcomes, 1, 1),  # 0, 1
    (foreign_outcomes_of_another_tap, 1, 1),  # 0, 1
    (other_draws, 1, 1),  # 0, 1
    (other_version, 1, 1),  # 0, 1
    (other_version_without_loss, 0, 1),  # 0, 1
    (skipped, 0, 1),  # 0, 1
    (never_reached, 0, 1),  # 0, 1
    (absent, 0, 1),  # 0, 0
    (absent_adaptation, 0, 1),  # 0, 0
    (unselected_model, 0, 0),  # 0, 0
    (crashed, 1, 1),  # 1, 1
    (unreadable, 1, 1),  # 1, 1
    (unreadable_baseline, 0, 1),  # 0, 0
    (fewer_seeds, 0, 1),  # 0, 1
    (among_taps, 1, 1),  # 0, 0
    (nine_points_at_final, 1, 1),  # 1, 1
    (at_another_tap, 0, 0),  # 1, 1
    (two_models, 1, 1),  # 1, 1
    (counts(20, 20), 0, 0),  # 0, 1
    (counts(30, 10), 1, 1),  # 1, 1
    (counts(25, 15), 0, 1),  # 0, 1
    (counts(10, 0), 1, 1),  # 1, 1
    (counts(9, 0), 0, 0),  # 0, 1
    (counts(6, 0, n=40), 1, 1),  # 1, 1
    (counts(8, 2, n=40), 0, 1),  # 0, 1
    (one_class, 0, 0),  # 0, 1
    (one_class_alone, 1, 1),  # 1, 1
    (duplicates, 1, 1),  # 1, 1
    (grouped_duplicates, 0, 1),  # 0, 1
    (four_chips, 1, 1),  # 1, 1
    (one_chip, 0, 1),  # 0, 1
]


@pytest.mark.parametrize(("planted", "default", "strict"), ROWS, ids=lambda one: getattr(one, "__name__", ""))
def test_the_gate_ends_as_decided(tmp_path, planted, default, strict):
    old, new = tmp_path / "old", tmp_path / "new"
    planted(old, new)
    found = compare(old, new)
    assert (bool(found.failures()), bool(found.failures("undecided"))) == (bool(default), bool(strict))
    for failures, how in ((default, "regression"), (strict, "undecided")):
        word = "GATE FAILS" if failures else "gate holds"
        assert lines_of(found, how)[0].text.startswith(word)
        assert markdown_of(found, how).startswith(f"**{word}")
        assert f'"holds": {"false" if failures else "true"}' in json_of(found, how)
