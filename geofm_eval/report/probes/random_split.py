"""One sentence on how much a random split flatters a task."""

from collections.abc import Sequence

from geofm_eval.plurals import counted
from geofm_eval.results.random_splits import RandomSplit
from geofm_eval.results.units import unit_of


def random_split_sentence(one: RandomSplit) -> str:
    """Say how much better scores are with a random split than with blocks, such as ``by 9.1 points [7.0, 11.2]``."""
    unit, difference = unit_of(one.blocks), one.difference
    task, noun = one.blocks.record.case.task, "points" if unit.symbol == "%" else unit.name
    ends = [] if difference.low is None or difference.high is None else [difference.low, difference.high]
    shown = f"{unit.value(difference.value)} {noun}"
    shown += f" [{', '.join(unit.value(end) for end in ends)}]" if ends else ""
    clear = bool(ends) and ends[0] > 0
    start = f"A random split flatters {task} by" if clear else f"A random split does not clearly flatter {task}:"
    return (
        f"{start} {shown} (mean over {counted(len(one.models), 'model')} at their chosen taps; block split "
        f"{unit.value(one.block_score)}, random {unit.value(one.random_score)})."
    )


def sentences_of(slug: str, found: Sequence[RandomSplit]) -> list[str]:
    """Sentences about one comparison."""
    return [random_split_sentence(one) for one in found if slug in one.slugs]
