"""Primary families of the gate: the few cases that decide, determined by the baseline before the new run is read.

For probes these are, per task and adaptation, the tap that the baseline's validation chose and ``final``, both at the
largest label fraction. A trained case has no taps to choose from and is a family of its own. All other taps and
fractions are exploratory: testing dozens of them together would hide a drop at the one tap that is used.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, get_args

from geofm_eval.compare.matching import CaseKey
from geofm_eval.records import Record
from geofm_eval.results.comparison import LAST, Subject, split_records, tap_order
from geofm_eval.results.run import PROBE
from geofm_eval.results.taps import choose_tap
from geofm_eval.stats.p_values import ALPHA

Role = Literal["chosen", "final", "chosen and final", "deepest", "trained"]
"""Why a case is primary; ``deepest`` if the baseline has neither validation scores nor ``final``."""

Together = Literal["family", "run"]
TOGETHER: tuple[Together, ...] = get_args(Together)
"""Cases that Holm adjusts together: each family separately, or all families of the run."""

FALSE_REGRESSION = ALPHA / 2
"""Largest proportion of false regressions among families without a true difference: one side of a two-sided test."""


def primary_roles(records: Iterable[Record]) -> dict[CaseKey, Role]:
    """Return the roles of the primary cases among scored records of a baseline, by kind and id, ordered by family."""
    families: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        families[family_of(record)].append(record)
    found: dict[CaseKey, Role] = {}
    for _, own in sorted(families.items()):
        first = own[0].case
        found |= _probed(own) if first.kind == PROBE else {(first.kind, first.id): "trained"}
    return found


def family_of(record: Record) -> str:
    """Return the family of a case: model, task and adaptation, or kind and id of a trained case."""
    case = record.case
    return f"{case.model}-{case.task}-{case.adaptation}" if case.kind == PROBE else f"{case.kind}/{case.id}"


def _probed(records: list[Record]) -> dict[CaseKey, Role]:
    """Primary taps of one model, task and adaptation, from the largest group of comparable records."""
    alike = split_records(records)[0]
    taps = {record.case.layer: record for record in sorted(alike, key=lambda one: tap_order(one.case.layer))}
    largest = max((key for record in alike for key in record.scores), key=float)
    chosen = choose_tap(Subject(alike[0].case.model, taps, {}), largest)
    roles: dict[str, Role] = {} if chosen is None else {chosen.tap: "chosen"}
    if LAST in taps:
        roles[LAST] = "chosen and final" if LAST in roles else "final"
    return {(PROBE, taps[tap].case.id): role for tap, role in (roles or {list(taps)[-1]: "deepest"}).items()}


def expected_false(families: int, together: Together) -> float:
    """Return the largest expected number of false regressions among tested ``families``."""
    return FALSE_REGRESSION * (min(families, 1) if together == "run" else families)


def chance_of_false(families: int, together: Together) -> float:
    """Return the largest probability of any false regression in the run, for families with independent errors."""
    return 1 - (1 - FALSE_REGRESSION) ** (min(families, 1) if together == "run" else families)
