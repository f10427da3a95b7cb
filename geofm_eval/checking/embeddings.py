"""Check of embeddings from files: every sample of a task has a finite row."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import ModelSpec, TaskSpec
from geofm_eval.data.embeddings.source import EmbeddingSource, check_complete
from geofm_eval.data.split import Split


@dataclass(frozen=True)
class EmbeddingCheck:
    """What files of embeddings hold for a task: sentences, and warnings."""

    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def check_embeddings(model: ModelSpec, task: TaskSpec, splits: Mapping[str, Split]) -> EmbeddingCheck:
    """Look up the samples of a task in the files of an entry.

    Raises:
        Unavailable: a file does not exist.
        ContractError: the entry does not fit the files, or embeddings are not finite.
        DataError: a file is damaged, or more samples have no row than the entry allows.
    """
    source = EmbeddingSource(model)
    items = [item for split in splits.values() for item in split.items]
    lines, warnings = [], []
    for found in source.looked_up(items):
        check_complete(source, task, found, items)
        missing = int(found.absent.sum())
        lines.append(
            f"  {found.tap:<8} {found.rows} rows of {found.features.shape[1]} numbers; {found.surplus} belong to no "
            f"sample, {missing} of {len(items)} samples have no row"
        )
        constant = int((np.ptp(found.features[~found.absent], axis=0) == 0).sum())
        if constant:
            warnings.append(
                f"tap {found.tap}: {constant} of {found.features.shape[1]} numbers are equal in all samples"
            )
    return EmbeddingCheck((f"{model.slug}: {source.title}", *lines), tuple(warnings))
