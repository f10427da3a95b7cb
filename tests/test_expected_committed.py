"""The ranges in this repository: readable, claimed by cases, and what was published."""

import re
from pathlib import Path

import pytest

from geofm_eval.catalog import Case, dense_cases, load_catalog
from geofm_eval.expected import FOLDER, Ranges, read_folder, write_ranges
from geofm_eval.expected.claims import unclaimed
from geofm_eval.expected.ranges import Key

CATALOG = load_catalog()

PANGAEA = {
    "hls_burn_scars": (83.62, 81.58, 81.72, 81.91),
    "mados": (49.98, 51.76, 49.37, 49.90),
    "pastis": (33.93, 34.49, 36.18, 32.03),
    "sen1floods11": (90.37, 89.26, 88.61, 87.79),
    "ai4smallfarms": (26.86, 25.38, 25.62, 24.69),
}
"""Table 5 of arXiv 2412.04204v2: Prithvi, S12-MoCo, S12-DINO, S12-MAE."""
MODELS = ("prithvi_v1", "moco_vits16", "dino_vits16", "mae_vits16")


@pytest.fixture(scope="module")
def committed(repository: Path) -> dict[str, Ranges]:
    return read_folder(repository / FOLDER, [path.stem for path in (repository / FOLDER).glob("*.toml")])


def test_every_range_is_claimed_by_a_case(committed: dict[str, Ranges]):
    assert committed
    assert unclaimed(committed.values(), CATALOG) == []


def test_every_file_is_written_as_it_stands(committed: dict[str, Ranges], repository: Path, tmp_path: Path):
    for task, ranges in committed.items():
        write_ranges(ranges, tmp_path / "again.toml")
        text = (repository / FOLDER / f"{task}.toml").read_text(encoding="utf-8")
        assert (tmp_path / "again.toml").read_text(encoding="utf-8") == text, task


@pytest.mark.parametrize("task", PANGAEA)
def test_published_numbers_of_another_protocol_are_kept_and_judge_nothing(task: str, committed: dict[str, Ranges]):
    for model, number in zip(MODELS, PANGAEA[task], strict=True):
        found = committed[task].ranges[Key("segment", f"{model}-upernet_frozen_p100-multi", "1.0", "any", "any")]
        assert found.rule == "other_protocol"
        assert found.lo == found.mean == found.hi == pytest.approx(number / 100)
        assert "table 5; docs/parity.md lists what differs" in found.origin.why
        assert Case("segment", model, task, "upernet_frozen_p100", "multi") in dense_cases(
            CATALOG, "study", tasks=[task]
        )


def test_a_published_range_exists_only_where_every_row_of_the_parity_table_is_equal(
    committed: dict[str, Ranges], repository: Path
):
    rows = re.findall(r"\| (equal|differs) \|", (repository / "docs" / "parity.md").read_text(encoding="utf-8"))
    assert len(rows) > 20
    judging = [
        key.name for ranges in committed.values() for key, one in ranges.ranges.items() if one.rule == "published"
    ]
    assert not judging or "differs" not in rows, f"{judging[0]} is judged by a number of another protocol"
