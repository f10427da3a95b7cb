"""Content keys are as before: a key that changes by accident lets every stored case be measured again."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from geofm_eval.catalog import Case, load_catalog
from geofm_eval.measure import Context, measurement_of
from geofm_eval.measure import case as measuring
from geofm_eval.measure.throughput import measure_throughput, truncated_forward
from geofm_eval.records import content_key
from geofm_eval.workspace import Settings, Workspace

GOLDEN = Path(__file__).parent / "golden" / "content_keys.json"

RENEW = "GEOFM_RENEW=1 pytest tests/test_content_keys.py"

CASES = (
    Case("probe", "band_stats", "eurosat_sim", "knn", "final"),
    Case("probe", "pocket_mae", "eurosat_sim", "linear", "block03"),
    Case("probe", "pocket_mae", "eurosat_sim", "linear_cls", "final"),
    Case("probe", "pocket_mae", "neuco_sim_biomass_mean", "ridge", "block07"),
    Case("probe", "pocket_mae", "sen1floods11_sim", "linear", "block05"),
    Case("segment", "pocket_mae", "sen1floods11_sim", "lightms_frozen_p010", "multi"),
    Case("segment", "pocket_mae", "sen1floods11_sim", "lightms_full_p100", "multi"),
    Case("tune", "pocket_mae", "eurosat_sim", "pooled_lora_p010", "multi"),
    Case("drift", "pocket_mae", "eurosat_sim", "pooled_full_p010", "multi"),
    Case("similarity", "band_stats", "eurosat_sim", "frozen", "multi"),
)
"""None reads a random backbone, whose drawn weights another processor may round differently."""


class KeyKnownError(Exception):
    """Ends a case before anything is measured."""


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return Workspace(load_catalog(), Settings())


@pytest.fixture
def asked(isolated_folders: None, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Keys by node name, of cases that end as soon as their key is known."""
    keys: dict[str, str] = {}

    def stop(nodename: str, *content: Any) -> NoReturn:
        keys[nodename] = content_key(nodename, *content)
        raise KeyKnownError

    monkeypatch.setenv("GEOFM_CACHE", str(shared_cache))  # with stand-ins of full size, which other tests need too
    monkeypatch.setattr(measuring, "content_key", stop)
    return keys


def test_the_golden_file_has_these_cases():
    assert list(json.loads(GOLDEN.read_text(encoding="utf-8"))) == [case.nodename for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.nodename)
def test_the_content_key_is_as_before(case: Case, workspace: Workspace, asked: dict[str, str]):
    """To renew, together with a raised version: ``RENEW``."""
    with pytest.raises(KeyKnownError):
        measurement_of(Context(workspace, similarity=CASES[-1:]), case)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("GEOFM_RENEW"):
        known = {**golden, **asked}
        golden = {one.nodename: known[one.nodename] for one in CASES if one.nodename in known}
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    key = asked[case.nodename]
    assert key == golden.get(case.nodename), f"the key of {case.nodename} changed; if its numbers changed too: {RENEW}"


def test_timings_have_no_key(workspace: Workspace, asked: dict[str, str]):
    case = Case("throughput", "band_stats", "eurosat_sim", "frozen", "final")
    found = measure_throughput(Context(workspace), case, truncated_forward(workspace, case), 0.1)
    assert found.record.content_key is None
    assert asked == {}
