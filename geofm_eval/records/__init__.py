"""Records: one JSON file per case, per-item outcomes beside it, what was skipped (manual: ``reports/README.md``)."""

from geofm_eval.records.files import (
    CORRECT,
    MIGRATIONS,
    Outcomes,
    read_outcomes,
    read_record,
    read_run,
    record_path,
    write_record,
)
from geofm_eval.records.keys import content_key
from geofm_eval.records.manifest import RunManifest, read_manifest, write_manifest
from geofm_eval.records.schema import (
    SCHEMA_VERSION,
    CaseInfo,
    Choice,
    Cost,
    ExpectedRange,
    Inputs,
    IntervalInfo,
    Outcome,
    Provenance,
    Record,
    RunInfo,
    Score,
    Selection,
    fraction_key,
)
from geofm_eval.records.skips import Skip, append_skip, read_skips

__all__ = [
    "CORRECT",
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "CaseInfo",
    "Choice",
    "Cost",
    "ExpectedRange",
    "Inputs",
    "IntervalInfo",
    "Outcome",
    "Outcomes",
    "Provenance",
    "Record",
    "RunInfo",
    "RunManifest",
    "Score",
    "Selection",
    "Skip",
    "append_skip",
    "content_key",
    "fraction_key",
    "read_manifest",
    "read_outcomes",
    "read_record",
    "read_run",
    "read_skips",
    "record_path",
    "write_manifest",
    "write_record",
]
