"""``geofm-eval expect``: set ranges from finished runs, summarise the changes, and write them if permitted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geofm_eval.catalog import Catalog
from geofm_eval.errors import DataError
from geofm_eval.expected.admissible import Admitted
from geofm_eval.expected.claims import unclaimed
from geofm_eval.expected.files import range_path, read_folder, write_ranges
from geofm_eval.expected.ranges import Range
from geofm_eval.expected.subject import key_of
from geofm_eval.expected.update import Change, Proposal, Solve, merged, propose, read_intact_records, take
from geofm_eval.plurals import counted
from geofm_eval.records import Record
from geofm_eval.results.units import MetricFormat, unit_named


@dataclass(frozen=True)
class Expected:
    """Result of the command.

    Args:
        text: summary of the changes.
        written: False if a range would have become looser without a reason, so that nothing was written.
    """

    text: str
    written: bool


def expect(runs: Sequence[Path], catalog: Catalog, folder: Path, tasks: Sequence[str] = (), why: str = "") -> Expected:
    """Set ranges from finished runs; seeds of a trained case are pooled over runs.

    Args:
        runs: folders of runs.
        catalog: catalog with the models and tasks of their cases.
        folder: folder of the range files.
        tasks: task slugs; empty takes all.
        why: reason for the changes; required if a range becomes looser.

    Raises:
        DataError: runs or range files cannot be read, records use different data, or there are none.
        GeofmError: an error of the step that failed when probes were solved again.
    """
    read = [read_intact_records(run) for run in runs]
    _check_tasks(tasks, sorted({record.case.task for records in read for record in records}))
    taken = take(read, tasks)
    old = read_folder(folder, {task for task, _ in taken.groups})
    proposal = propose(taken, _solver(catalog), old, why)
    refusing = bool(proposal.looser) and not why.strip()
    new = merged(old, proposal.changes)
    if not refusing:
        for task, ranges in new.items():
            write_ranges(ranges, range_path(folder, task))
    lines = [*_told(proposal), *_refused(proposal.refused)]
    lines += [f"unused range: {name}" for name in unclaimed(new.values(), catalog)]
    lines.append(_ending(proposal, refusing, folder))
    return Expected("\n".join(lines), not refusing)


def _check_tasks(asked: Sequence[str], known: Sequence[str]) -> None:
    """Reject mistyped names, which would otherwise look like tasks without scores."""
    missing = [task for task in asked if task not in known]
    if missing:
        raise DataError(
            f"no case of {', '.join(missing)} in these runs; choose among {', '.join(known)[:200] or 'no case'}"
        )


def _solver(catalog: Catalog) -> Solve:
    """Solves probes with the recipe and on the device of their records."""
    from geofm_eval.measure.admitted import admitted_scores  # here, because it imports torch
    from geofm_eval.workspace import Settings, Workspace

    made: dict[tuple[str, str], Workspace] = {}

    def solve(records: Sequence[Record]) -> Mapping[str, Mapping[str, Mapping[str, Admitted]]]:
        recipe = str((records[0].provenance.recipe or {})["slug"])
        device = key_of(records[0], next(iter(records[0].scores))).device
        if (recipe, device) not in made:
            made[recipe, device] = Workspace(catalog, Settings(device=device, recipe=recipe))
        return admitted_scores(made[recipe, device], records)

    return solve


def _told(proposal: Proposal) -> Iterator[str]:
    """New ranges counted by task and rule, changed ones with old and new ends, unchanged ones counted."""
    changes = proposal.changes
    groups: dict[tuple[str, str], list[Range]] = {}
    for change in changes:
        if change.old is None:
            groups.setdefault((change.task, change.new.rule), []).append(change.new)
    for (task, rule), ranges in groups.items():
        yield f"{task}: {len(ranges)} new, rule {rule}, {_widths(ranges)}"
    yield from (_moved(change) for change in changes if change.old is not None and change.changed)
    unchanged = Counter(change.task for change in changes if not change.changed)
    yield from (f"{task}: {count} unchanged" for task, count in sorted(unchanged.items()))


def _widths(ranges: Sequence[Range]) -> str:
    unit = _unit(ranges[0])
    halves = sorted((one.hi - one.lo) / 2 for one in ranges)
    least, middle, most = (unit.value(halves[at]) for at in (0, len(halves) // 2, -1))
    symbol = f" {unit.symbol}" if unit.symbol else ""
    return f"half widths {least} to {most}{symbol}, median {middle}{symbol}"


def _unit(found: Range) -> MetricFormat:
    """The metric's unit with one more decimal than tables, because ranges can be that narrow."""
    unit = unit_named(str(found.basis.setting["metric"]))
    return replace(unit, decimals=unit.decimals + 1)


def _moved(change: Change) -> str:
    assert change.old is not None
    old, new = (f"[{_unit(one).value(one.lo)}, {_unit(one).value(one.hi)}]" for one in (change.old, change.new))
    effect = "" if change.effect is None else f", mean moved by {change.effect:+.1f} sd"
    return f"{change.task}: {change.key.name} {old} -> {new}{effect}{', LOOSER' if change.looser else ''}"


def _refused(refused: Mapping[str, str]) -> Iterator[str]:
    """One line per reason, with the names of all its cases."""
    names: dict[str, list[str]] = {}
    for name, reason in sorted(refused.items()):
        names.setdefault(reason, []).append(name)
    yield from (f"left out: {', '.join(own)}: {reason}" for reason, own in names.items())


def _ending(proposal: Proposal, refusing: bool, folder: Path) -> str:
    count = len(proposal.looser)
    if refusing:
        return f'nothing was written: {counted(count, "range")} would become looser; give a reason with --why "..."'
    changed = sum(change.changed for change in proposal.changes)
    return f"{changed} of {counted(len(proposal.changes), 'range')} written to {folder}"
