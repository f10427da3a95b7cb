"""What new weights changed, for the author of a model: its primary cases by task, and where its features moved."""

from collections import Counter
from collections.abc import Iterator, Sequence

from geofm_eval.compare import CaseVerdict, RunComparison, Verdict
from geofm_eval.plurals import counted
from geofm_eval.report.gate.sentences import difference_text, levels_text, moved_sentence, named

WORDS: dict[Verdict, str] = {
    "regression": "worse", "improvement": "better", "equivalent": "equivalent", "undecided": "undecided",
}  # fmt: skip
"""Verdicts of the gate as words about new weights, in the order in which they are counted."""

ROLES = {
    "chosen": "the tap that the old validation chose",
    "chosen and final": "final, which the old validation chose",
    "final": "final",
    "deepest": "the deepest tap",
    "trained": "the trained decoder",
}
"""Roles of primary cases in words."""


def changed_cases(found: RunComparison, model: str, tasks: Sequence[str]) -> list[CaseVerdict]:
    """Return the primary cases of a model on some tasks, in the order of their families."""
    return [one for one in found.primary if one.new.case.model == model and one.new.case.task in tasks]


def change_sentences(found: RunComparison, model: str, tasks: Sequence[str]) -> Iterator[str]:
    """Yield what changed: by the gate's verdicts on primary cases, then where the features moved.

    On a single task every case has a sentence; on several, cases are counted and those that are worse are named.
    """
    cases = changed_cases(found, model, tasks)
    if not cases:
        yield f"The baseline {found.old.name} has no comparable primary case of {model}."
    elif len(tasks) == 1:
        yield from (change_sentence(case) for case in cases)
    else:
        yield from _counted_changes(found, cases)
    yield from (
        f"Features of {moved_sentence(one)}." for one in found.moved if one.model == model and _on(one.tasks, tasks)
    )


def change_sentence(case: CaseVerdict) -> str:
    """Return the verdict on one case: ``Worse at final (linear): -2.0 [-3.2, -0.8] points, 80.0 -> 78.0 % ...``."""
    where = f"at {place_of(case)}"
    if case.identical:
        return f"Identical {where}."
    because = f"; {case.why}" if case.why else ""
    word = WORDS[case.verdict].capitalize()
    return f"{word} {where}: {difference_text(case, case.full)}, {levels_text(case, case.full)}{because}."


def place_of(case: CaseVerdict) -> str:
    """Where a primary case reads the backbone: ``the tap that the old validation chose, block07 (linear)``."""
    own, words = case.new.case, ROLES[str(case.role)]
    tap = f", {own.layer}" if case.role in ("chosen", "deepest") else ""
    return f"{words}{tap} ({own.adaptation})"


def tally_of_changes(cases: Sequence[CaseVerdict]) -> str:
    """Count verdicts on cases: ``1 worse, 2 equivalent``."""
    counts = Counter(WORDS[case.verdict] for case in cases)
    return ", ".join(f"{counts[word]} {word}" for word in WORDS.values() if counts[word])


def _counted_changes(found: RunComparison, cases: Sequence[CaseVerdict]) -> Iterator[str]:
    tasks = {case.new.case.task for case in cases}
    where = f"{counted(len(cases), 'primary case')} on {counted(len(tasks), 'task')}"
    yield f"Against {found.old.name}, in {where}: {tally_of_changes(cases)}."
    for verdict in ("regression", "improvement"):
        names = [f"{case.new.case.task} at {case.new.case.layer} ({case.new.case.adaptation})"
                 for case in cases if case.verdict == verdict]  # fmt: skip
        if names:
            yield f"{WORDS[verdict].capitalize()}: {named(names)}."


def _on(own: Sequence[str], tasks: Sequence[str]) -> bool:
    return not set(own).isdisjoint(tasks)
