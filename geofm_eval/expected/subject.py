"""What the range of a record's score is found by, and what it must have been set for to judge it."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from geofm_eval.expected.ranges import ANY, KINDS, RANDOM, Basis, Data, Key
from geofm_eval.records import Provenance, Record, Score

_SAME = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}
"""Names that operating systems give an architecture, and the one that ranges use."""


def architecture_of(record: Record) -> str | None:
    """Return the architecture that measured a record, for example ``x86_64``; None if the record does not say."""
    name = (record.provenance.platform or "").rpartition(" ")[2].lower()
    return _SAME.get(name, name) or None


def has_scores(record: Record) -> bool:
    """Return whether a record has scores that ranges can judge."""
    return record.case.kind in KINDS and bool(record.scores)


def key_of(record: Record, fraction: str) -> Key:
    """Return the key of the range of a score."""
    case, provenance = record.case, record.provenance
    device = str(provenance.device.get("name", ANY)).partition(":")[0]
    name = f"{case.model}-{case.adaptation}-{case.layer}"
    return Key(case.kind, name, fraction, device, provenance.dtype or ANY)


def basis_of(record: Record, fraction: str) -> Basis:
    """Return what a range of this score holds for: weights, data, and how it was measured."""
    provenance = record.provenance
    data = Data(
        record.case.task_version,
        str(provenance.split_definition),
        provenance.protocol,
        dict(provenance.items_sha256),
        # Simulated labels follow from the generator, hence from the task version. Their last digits, and so their
        # hash, depend on the processor's instruction set, but the range must hold on any.
        {} if record.evidence == "simulated" else dict(provenance.labels_sha256),
    )
    return Basis(_weights(provenance), data, _setting(record, record.scores[fraction]))


def _weights(provenance: Provenance) -> str | None:
    """Hash of the weights; of random ones their seed, because processors round what they draw differently."""
    source = provenance.weights_source or ""
    return source if source.startswith(RANDOM) else provenance.weights_sha256


def _setting(record: Record, score: Score) -> dict[str, Any]:
    provenance, training = record.provenance, record.training
    recipe = {name: value for name, value in (provenance.recipe or {}).items() if name != "title"}
    found: dict[str, Any] = {"metric": score.metric, "pooling": provenance.pooling, "recipe": recipe}
    if training is not None:
        found["training"] = {
            "recipe": training.recipe,
            "lengthened": training.lengthened,
            "rates": list(training.rates),
            "window": training.window,
        }
    plain: dict[str, Any] = _known(found)
    return plain


def _known(value: Any) -> Any:
    """Drop None, which TOML cannot store."""
    if isinstance(value, Mapping):
        return {name: _known(part) for name, part in value.items() if part is not None}
    return [_known(part) for part in value] if isinstance(value, list | tuple) else value


def differences(found: Basis, expected: Basis) -> list[str]:
    """Return in words what differs between a measurement and what a range holds for; unknown weights and hashes do not.

    Only settings that the range names are compared: a range from a published score names fewer than a record.
    """
    words = []
    if expected.weights is not None and found.weights != expected.weights:
        words.append("weights")
    for field in fields(Data):
        ours, theirs = getattr(found.data, field.name), getattr(expected.data, field.name)
        if {} not in (ours, theirs) and ours != theirs:
            words.append(field.name.replace("_", " "))
    return words + list(_differing(found.setting, expected.setting, ()))


def _differing(found: Mapping[str, Any], expected: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[str]:
    for name, value in expected.items():
        own = found.get(name)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            yield from _differing(own, value, (*path, name))
        elif own != value:
            yield " ".join((*path, name))


def seeds_of(record: Record) -> dict[str, dict[int, float]]:
    """Return the score of every trained seed by label fraction; empty for probes."""
    if record.training is None:
        return {}
    seeds = [one.seed for one in record.training.seeds]
    return {fraction: dict(zip(seeds, score.per_draw, strict=True)) for fraction, score in record.scores.items()}


def decisions_of(record: Record, score: Score) -> int:
    """Return the number of decisions in a score: test samples; in a dense task, the tokens of all their windows."""
    inputs = record.provenance.inputs
    grid: Mapping[str, Any] = {} if inputs is None else inputs.model_extra or {}
    if record.case.kind == "segment" and record.training is not None:
        grid = {"context_m": record.training.context_m, "token_gsd_m": record.training.token_gsd_m}
    if "token_gsd_m" not in grid:
        return score.n
    tokens: int = round(grid["context_m"] / grid["token_gsd_m"]) ** 2
    return score.n * tokens
