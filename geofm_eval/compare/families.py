"""Primary families of the gate: the few cases that decide, named by the baseline before the new run is looked at.

For a probed backbone these are, per task and adaptation, the tap that the baseline's validation chose and ``final``,
both at the largest label fraction. A trained case has no taps to choose among: it is a family of its own. All other
taps and fractions are exploratory: testing dozens of them together would hide a drop at the one tap that is used.
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
"""Why a case is primary. ``deepest`` stands in where the baseline has neither validation scores nor ``final``."""

Together = Literal["family", "run"]
TOGETHER: tuple[Together, ...] = get_args(Together)
"""Over what Holm adjusts primary cases: every family on its own, or all families of the run together."""

FALSE_REGRESSION = ALPHA / 2
"""Families without a true difference that are called a regression, at most: one side of a two-sided test."""


def primary_roles(records: Iterable[Record]) -> dict[CaseKey, Role]:
    """Choose the primary cases among scored records of a baseline: role by kind and id, in the order of families."""
    families: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        families[family_of(record)].append(record)
    found: dict[CaseKey, Role] = {}
    for _, own in sorted(families.items()):
        first = own[0].case
        found |= _probed(own) if first.kind == PROBE else {(first.kind, first.id): "trained"}
    return found


def family_of(record: Record) -> str:
    """Name of the family of a case: model, task and adaptation, with the kind that sets trained cases apart."""
    case = record.case
    return f"{case.model}-{case.task}-{case.adaptation}" if case.kind == PROBE else f"{case.kind}/{case.id}"


def _probed(records: list[Record]) -> dict[CaseKey, Role]:
    """Primary taps of one model, task and adaptation; of records that differ in their data, the largest group's."""
    alike = split_records(records)[0]
    taps = {record.case.layer: record for record in sorted(alike, key=lambda one: tap_order(one.case.layer))}
    largest = max((key for record in alike for key in record.scores), key=float)
    chosen = choose_tap(Subject(alike[0].case.model, taps, {}), largest)
    roles: dict[str, Role] = {} if chosen is None else {chosen.tap: "chosen"}
    if LAST in taps:
        roles[LAST] = "chosen and final" if LAST in roles else "final"
    return {(PROBE, taps[tap].case.id): role for tap, role in (roles or {list(taps)[-1]: "deepest"}).items()}


def expected_false(families: int, together: Together) -> float:
    """Expected number, at most, of ``families`` tested that are called a regression without a true difference."""
    return FALSE_REGRESSION * (min(families, 1) if together == "run" else families)


def chance_of_false(families: int, together: Together) -> float:
    """Probability of at least one false regression in the run, at most, where families err independently."""
    return 1 - (1 - FALSE_REGRESSION) ** (min(families, 1) if together == "run" else families)
