"""Provenance of a measurement: everything on which its results depend."""

from collections.abc import Mapping
from typing import Any

from geofm_eval.backbones import LoadedBackbone
from geofm_eval.catalog import Case, TaskSpec
from geofm_eval.data.split import ALL, Split
from geofm_eval.environment import provenance
from geofm_eval.features import DTYPE
from geofm_eval.records import Inputs, Provenance
from geofm_eval.workspace import Workspace


def tested_split(splits: Mapping[str, Split]) -> Split:
    """Return the split whose samples are tested; with shuffle splits, that of all samples."""
    return splits[ALL if ALL in splits else "test"]


def protocol_of(splits: Mapping[str, Split]) -> str:
    """Return how samples are tested: on a test split, in random splits of all, or in the folds of all."""
    if ALL not in splits:
        return "holdout"
    return "folds" if splits[ALL].folds else "shuffle_splits"


def evidence(task: TaskSpec, test: Split) -> str:
    """Return the evidence class: ``simulated``, ``own``, ``sample`` (own or partial split) or ``published``."""
    if task.simulated:
        return "simulated"
    if test.definition == "own":
        return "own"
    return "sample" if test.definition == "custom" else "published"


def described(
    workspace: Workspace,
    case: Case,
    loaded: LoadedBackbone,
    grid: Mapping[str, float] | None = None,
    splits: Mapping[str, Split] | None = None,
    **more: Any,
) -> Provenance:
    """Return everything on which the results of a case of any kind depend.

    Args:
        workspace: splits, adapters, settings.
        case: the measured case.
        loaded: the backbone.
        grid: token and window of a dense task, stored with the inputs.
        splits: splits used for training and testing; None takes the task's own.
        more: additional fields.
    """
    task = workspace.catalog.task(case.task)
    splits = workspace.splits(case.task) if splits is None else splits
    return described_without_data(
        workspace,
        case,
        loaded,
        grid,
        items_sha256={name: split.items_sha256 for name, split in splits.items()},
        labels_sha256={name: split.labels_sha256 for name, split in splits.items()},
        split_definition=tested_split(splits).definition,
        split_rule=dict(tested_split(splits).rule),
        protocol=protocol_of(splits),
        dropped=_dropped(splits),
        target_unit=task.target_unit or None,
        **more,
    )


def described_without_data(
    workspace: Workspace, case: Case, loaded: LoadedBackbone, grid: Mapping[str, float] | None = None, **more: Any
) -> Provenance:
    """Return the provenance of a case that reads no data; see :func:`described`."""
    task, settings = workspace.catalog.task(case.task), workspace.settings
    own = {"seeds": {"task": task.seed, "model": loaded.spec.random_seed}, "dtype": DTYPE, **more}
    return Provenance(
        weights_sha256=loaded.weights_sha256,
        weights_source=loaded.weights_source,
        weights_unverified=loaded.spec.provenance_reason or None,
        missing_keys=loaded.missing_keys,
        unexpected_keys=loaded.unexpected_keys,
        recipe=workspace.recipe.model_dump(),
        inputs=Inputs(**workspace.adapter(case.model, case.task).report.as_dict(), **(grid or {}), **_product(loaded)),
        **own,
        **provenance(settings.device, settings.threads),
    )


def _product(loaded: LoadedBackbone) -> dict[str, Any]:
    """What the entry states about embeddings that were computed elsewhere; empty for others."""
    stated = loaded.spec.embedding.model_dump(mode="json", exclude_defaults=True)
    return {"embedding": stated} if stated else {}


def _dropped(splits: Mapping[str, Split]) -> dict[str, dict[str, int]]:
    """Number of excluded samples by split and reason; complete splits are left out."""
    counts = {name: {reason: len(ids) for reason, ids in split.dropped.items()} for name, split in splits.items()}
    return {name: reasons for name, reasons in counts.items() if reasons}
