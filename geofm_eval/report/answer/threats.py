"""What limits an answer, in words."""

from collections.abc import Iterator

from geofm_eval.answer import TaskAnswer, Threat
from geofm_eval.results.units import SIMULATED, MetricFormat, unit_named

NAMED = 3
"""Models that a sentence names."""


def threat_sentences(answer: TaskAnswer) -> Iterator[str]:
    """Yield one sentence per threat."""
    record = answer.setting.record
    unit = unit_named(answer.setting.score.metric, record.provenance.target_unit)
    for threat in answer.threats:
        yield _sentence(threat, unit)


def _sentence(threat: Threat, unit: MetricFormat) -> str:
    match threat.kind:
        case "simulated":
            return f"{SIMULATED}: the answer exercises the tool and says nothing about real imagery."
        case "sample":
            return "The data are a sample with a split of their own: scores are not comparable with published ones."
        case "random":
            return "The split is random: if samples are near each other, scores are too high for other places."
        case "flattered":
            by = unit.difference(threat.difference)
            return f"A random split ({threat.text}) changes the mean score by {by}."
        case "dropped":
            return f"{threat.text} samples were left out."
        case "excluded":
            return f"Not compared: {_models(threat)} ({threat.text})."
        case "filled":
            return f"Filled with constants because the data lack them: {threat.text} bands of {_models(threat)}."
        case "product":
            return f"Another product than in pretraining ({threat.text}): {_models(threat)}."
        case "embedding":
            return threat.text


def _models(threat: Threat) -> str:
    more = len(threat.models) - NAMED
    return ", ".join(threat.models[:NAMED]) + (f" and {more} more" if more > 0 else "")
