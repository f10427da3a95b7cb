"""Description of the machine, and a table of differences between every variant and the default one."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.studies.trust.machines.facts import Facts
from benchmarks.studies.trust.machines.switches import DEFAULT
from geofm_eval.results.units import unit_named

HEADER = (
    "variant",
    "scores",
    "changed scores",
    "largest difference",
    "outside / at the edge / not judged",
    "changed penalties",
    "changed taps",
    "wall time",
    "passed",
)


def machine_lines(machine: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines that describe the machine."""
    preset = ", ".join(f"{name}={value}" for name, value in machine["variables"].items()) or "none"
    yield f"processor: {machine['processor']}, {machine['architecture']}, {machine['cores']} cores"
    yield f"instructions: {', '.join(machine['flags']) or 'unknown'}"
    yield f"torch {machine['torch']} ({machine['torch_uses']}), MKL {machine['mkl']}, oneDNN {machine['onednn']}"
    numpy = f"numpy {machine['numpy']} ({', '.join(machine['numpy_uses']) or 'baseline'})"
    yield f"{numpy}, OpenBLAS {', '.join(machine['openblas']) or 'none'}, Python {machine['python']}"
    yield f"variables set beforehand: {preset}"


def table(found: Sequence[Facts]) -> Iterator[str]:
    """Yield Markdown, one row per variant."""
    yield f"| {' | '.join(HEADER)} |"
    yield "|" + "---|" * len(HEADER)
    default = next((facts for facts in found if facts.variant == DEFAULT), None)
    yield from (f"| {' | '.join(_row(facts, default))} |" for facts in found)


def notes(found: Sequence[Facts]) -> Iterator[str]:
    """Yield notes to the table: effective kernels, differing code, and interrupted variants."""
    default = next((facts for facts in found if facts.variant == DEFAULT), None)
    for facts in found:
        if default is not None and (uses := _used(facts.machine, default.machine)):
            yield f"{facts.variant} uses {uses}"
    codes = sorted({facts.code for facts in found})
    if len(codes) > 1:
        yield f"variants were run with different code: {', '.join(code or 'unknown' for code in codes)}"
    if pieces := [facts.variant for facts in found if facts.resumed]:
        yield f"resumed after an interruption (wall time covers only the last part): {', '.join(pieces)}"


def _used(machine: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """Kernels and releases that differ from the default variant, as far as libraries report them."""
    words = {
        "torch": "torch",
        "torch_uses": "torch",
        "numpy": "numpy",
        "numpy_uses": "numpy",
        "openblas": "OpenBLAS",
    }
    shown = {name: machine[name] if isinstance(machine[name], str) else ", ".join(machine[name]) for name in words}
    return "; ".join(f"{word} {shown[name]}" for name, word in words.items() if machine[name] != default[name])


def _row(facts: Facts, default: Facts | None) -> list[str]:
    scores = facts.scores.values()
    judged = (
        sum(one.outside for one in scores),
        sum(one.at_edge for one in scores),
        facts.unjudged,
    )
    minutes, seconds = divmod(round(facts.seconds), 60)
    return [
        facts.title,
        f"{len(facts.scores):,}",
        *_differences(facts, default)[:2],
        " / ".join(map(str, judged)),
        *_differences(facts, default)[2:],
        f"{minutes} min {seconds:02d} s",
        "yes" if facts.green else "**no**",
    ]


def _differences(facts: Facts, default: Facts | None) -> list[str]:
    """Changed scores, largest difference, changed penalties and changed taps, among those that both hold."""
    if default is None or facts is default:
        return ["-"] * 4
    moved: dict[str, list[float]] = {}
    for name, one in facts.scores.items():
        if name in default.scores:
            moved.setdefault(one.metric, []).append(abs(one.value - default.scores[name].value))
    changed = sum(value > 0 for values in moved.values() for value in values)
    shared = sum(map(len, moved.values()))
    largest = [text for metric, values in sorted(moved.items()) if (text := _in_words(metric, max(values)))]
    penalties = _differing(facts.penalties, default.penalties)
    return [f"{changed:,} of {shared:,}", ", ".join(largest) or "0", penalties, _differing(facts.taps, default.taps)]


def _in_words(metric: str, value: float) -> str:
    unit = unit_named(metric)
    return f"{unit.factor * value:.2g} {'points' if unit.symbol == '%' else unit.name}" if value else ""


def _differing(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    shared = [name for name in own if name in other]
    return f"{sum(not _same(own[name], other[name]) for name in shared):,} of {len(shared):,}"


def _same(own: Any, other: Any) -> bool:
    """Equal up to the last digits, by which penalties at one position of the path differ between processors."""
    return math.isclose(own, other, rel_tol=1e-9) if isinstance(own, float) else bool(own == other)
