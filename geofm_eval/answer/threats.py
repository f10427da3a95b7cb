"""What limits the answer on a task: inputs that models lack, splits, data and weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from geofm_eval.catalog import Catalog
from geofm_eval.catalog.notes import notes_of
from geofm_eval.ranking import Entry, Setting
from geofm_eval.records import Record, marks
from geofm_eval.results.random_splits import compare_random_splits
from geofm_eval.results.run import Run
from geofm_eval.stats.difference import Difference

Kind = Literal["simulated", "sample", "excluded", "filled", "product", "random", "flattered", "embedding", "dropped"]


@dataclass(frozen=True)
class Threat:
    """One threat.

    Args:
        kind: what it is.
        models: models that it concerns; empty for all.
        text: bands, products, reasons or notes, as recorded.
        difference: of a random split, how much it flatters; None if it was not measured.
    """

    kind: Kind
    models: tuple[str, ...] = ()
    text: str = ""
    difference: Difference | None = None


def threats_of(setting: Setting, run: Run, catalog: Catalog) -> tuple[Threat, ...]:
    """Return what limits the answer that one setting gives."""
    backbones = [entry for entry in setting.entries if not entry.is_control]
    found = [*_of_data(setting, run, catalog), *_of_inputs(backbones)]
    task = catalog.tasks.get(setting.task)
    specs = [catalog.models[entry.model] for entry in backbones if entry.model in catalog.models]
    if task is not None:
        found += [Threat("embedding", text=note) for note in notes_of(specs, task)]
    return tuple(found)


def _of_data(setting: Setting, run: Run, catalog: Catalog) -> Iterator[Threat]:
    record = setting.record
    if record.evidence == "simulated":
        yield Threat("simulated")
    if record.evidence == "sample":
        yield Threat("sample")
    flattered = [one for one in compare_random_splits(run, catalog) if setting.table in one.slugs]
    if record.provenance.split_rule.get("by") == "random" and not flattered:
        yield Threat("random")
    yield from (Threat("flattered", text=one.random.record.case.task, difference=one.difference) for one in flattered)
    dropped = sum(count for reasons in record.provenance.dropped.values() for count in reasons.values())
    if dropped:
        yield Threat("dropped", text=str(dropped))


def _of_inputs(backbones: Sequence[Entry]) -> Iterator[Threat]:
    """Marked models, then filled bands and other products of the rest; equal ones together."""
    groups: dict[tuple[Kind, str], list[str]] = {}
    for entry in backbones:
        for kind, text in _of_record(entry.record):
            groups.setdefault((kind, text), []).append(entry.model)
    yield from (Threat(kind, tuple(models), text) for (kind, text), models in groups.items())


def _of_record(record: Record) -> Iterator[tuple[Kind, str]]:
    if reasons := marks(record):
        yield "excluded", " and ".join(reasons)
    inputs = record.provenance.inputs
    if inputs is None:
        return
    if inputs.filled_bands and not reasons:
        yield "filled", f"{len(inputs.filled_bands)} of {len(inputs.expected_bands)}"
    if inputs.product_mismatch:
        yield "product", f"{inputs.product_found} instead of {inputs.product_expected}"
