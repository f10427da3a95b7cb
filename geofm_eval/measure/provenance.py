"""Provenance of a measurement: everything that its numbers depend on."""

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
    """The split whose items are tested: with shuffle splits that of all items."""
    return splits[ALL if ALL in splits else "test"]


def evidence(task: TaskSpec, test: Split) -> str:
    """What the numbers may be compared with: nothing real, this root's own split, or the published split."""
    if task.simulated:
        return "simulated"
    return "sample" if test.definition == "custom" else "published"


def described(
    workspace: Workspace,
    case: Case,
    loaded: LoadedBackbone,
    grid: Mapping[str, float] | None = None,
    splits: Mapping[str, Split] | None = None,
    **more: Any,
) -> Provenance:
    """Everything that the numbers of a case depend on, whatever kind it is.

    Args:
        workspace: splits, adapters, settings.
        case: what was measured.
        loaded: the backbone.
        grid: token and window of a dense task, kept with the inputs.
        splits: what was trained and tested on; None takes the task's own.
        more: fields of its own.
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
        protocol="shuffle_splits" if ALL in splits else "holdout",
        dropped=_dropped(splits),
        target_unit=task.target_unit or None,
        **more,
    )


def described_without_data(
    workspace: Workspace, case: Case, loaded: LoadedBackbone, grid: Mapping[str, float] | None = None, **more: Any
) -> Provenance:
    """The same for a case that reads no data; see :func:`described`."""
    task, settings = workspace.catalog.task(case.task), workspace.settings
    own = {"seeds": {"task": task.seed, "model": loaded.spec.random_seed}, "dtype": DTYPE, **more}
    return Provenance(
        weights_sha256=loaded.weights_sha256,
        weights_source=loaded.weights_source,
        weights_unverified=loaded.spec.provenance_reason or None,
        missing_keys=loaded.missing_keys,
        unexpected_keys=loaded.unexpected_keys,
        recipe=workspace.recipe.model_dump(),
        inputs=Inputs(**workspace.adapter(case.model, case.task).report.as_dict(), **(grid or {})),
        **own,
        **provenance(settings.device, settings.threads),
    )


def _dropped(splits: Mapping[str, Split]) -> dict[str, dict[str, int]]:
    """How many items each split left out for which reason; splits that are whole are not named."""
    counts = {name: {reason: len(ids) for reason, ids in split.dropped.items()} for name, split in splits.items()}
    return {name: reasons for name, reasons in counts.items() if reasons}
