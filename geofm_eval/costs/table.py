"""Mean seconds per stage of the cases of a run, small enough to be read at every start."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from geofm_eval.catalog import Case, Catalog
from geofm_eval.costs.forward_pass import operations
from geofm_eval.records import Record

Stages = dict[str, float]
"""Seconds by stage, for example ``{"extract": 11.1, "solve": 33.0}``."""

Table = dict["CostKey", Stages]

TRAINED_KINDS = ("segment", "tune", "drift")

REFERENCE = Path(__file__).with_name("reference.json")
"""Costs of the committed reference, written with it by ``python -m benchmarks.studies.reference``."""


class CostKey(NamedTuple):
    """Cases that differ by layer only. Probes of all layers are solved together."""

    kind: str
    model: str
    task: str
    adaptation: str

    @classmethod
    def of(cls, case: Case) -> "CostKey":
        """Return the key of a case."""
        return cls(case.kind, case.model, case.task, case.adaptation)

    @property
    def shared(self) -> bool:
        """Whether the seconds of a record are those of all its layers together."""
        return self.kind == "probe"


def table_of(records: Iterable[Record]) -> Table:
    """Return the mean seconds per stage of every key; for probes, each record has the seconds of all layers."""
    found: dict[CostKey, list[Mapping[str, float]]] = {}
    for record in records:
        if record.cost.seconds:
            case = record.case
            found.setdefault(CostKey(case.kind, case.model, case.task, case.adaptation), []).append(record.cost.seconds)
    return {
        key: {stage: sum(one.get(stage, 0.0) for one in costs) / len(costs) for stage in dict.fromkeys(costs[0])}
        for key, costs in found.items()
    }


def least_of_equal(table: Table, catalog: Catalog) -> Table:
    """Give trained cases the least seconds of equally large models, because other work on the machine adds some."""
    groups: dict[tuple[object, ...], list[CostKey]] = {}
    for key in table:
        if key.kind in TRAINED_KINDS and key.model in catalog.models:
            size = operations(catalog.models[key.model], catalog.tasks[key.task].pixels or 64)
            groups.setdefault((key.kind, key.task, key.adaptation, size), []).append(key)
    found = dict(table)
    for own in groups.values():
        found |= dict.fromkeys(own, min((table[key] for key in own), key=lambda stages: sum(stages.values())))
    return found


def write_table(table: Table, path: Path = REFERENCE) -> None:
    """Write a table, one line per key, seconds with three digits."""
    lines = (
        f"{json.dumps(' '.join(key))}: {json.dumps({stage: float(f'{value:.3g}') for stage, value in stages.items()})}"
        for key, stages in sorted(table.items())
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_table(path: Path = REFERENCE) -> Table:
    """Read a table that was written by :func:`write_table`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {CostKey(*name.split(" ")): stages for name, stages in content.items()}
