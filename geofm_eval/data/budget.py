"""Label budget of a task: the training labels that a probe may use, and how its penalty is selected."""

import functools
import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.cross_validation import folded_subsets, inner_plan
from geofm_eval.data.labels import Indices, LabelSubset, ValidationPlan, distinct, label_subsets, validation_plan
from geofm_eval.data.shuffle_splits import item_blocks, published_order, shuffled_subsets
from geofm_eval.data.split import ALL, Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelBudget:
    """Label subsets of a task, and their validation plans by fraction and draw; the same for every model."""

    subsets: list[LabelSubset]
    plans: dict[tuple[float, int], ValidationPlan]

    @property
    def identity(self) -> list[list[Any]]:
        """Hashes of all subsets and plans, for cache keys."""
        return [self._identity(subset) for subset in self.subsets]

    def _identity(self, subset: LabelSubset) -> list[Any]:
        plan = self.plans[subset.fraction, subset.draw]
        tested = [] if subset.test is None else [_hash(subset.test)]
        hashes = [_hash(part) for part in (plan.indices, *plan.folds)]
        return [subset.fraction, subset.draw, _hash(subset.indices), plan.kind, *hashes, *tested]

    @property
    def shuffled_items(self) -> int:
        """Number of samples that at least one shuffle or fold tests; 0 for a task with a test split."""
        tested = [subset.test for subset in self.subsets if subset.test is not None]
        return len(np.unique(np.concatenate(tested))) if tested else 0


def label_budget(
    task: TaskSpec, splits: Mapping[str, Split], val_budget: Literal["matched", "full"], seed: int
) -> LabelBudget:
    """Draw the label subsets of a task and plan their validation.

    Args:
        task: provides fractions, draws and the option ``blocks``.
        splits: splits of the task; a single split ``all`` is tested in its folds, or is cut into shuffles. Both are
            validated within their subsets.
        val_budget: validation budget of the recipe.
        seed: seed of all random choices.

    Raises:
        ContractError: too few samples, or an invalid option ``blocks``.
        DataError: a sample lacks the group or position that defines its block.
    """
    if ALL in splits:
        whole = splits[ALL]
        if whole.folds:
            return _folded(task, whole, seed)
        blocks = item_blocks(whole.items, task.options.get("blocks"))
        order = published_order(whole.items)
        return LabelBudget(*shuffled_subsets(whole.labels, task.label_fractions, seed, blocks, order))
    train, val = splits["train"].labels, splits["val"].labels
    cut = label_subsets(train, task.label_fractions, task.draws, seed)
    kept = distinct({(subset.fraction, subset.draw): subset.indices for subset in cut})
    tell_equal(task, task.label_fractions, kept)
    subsets = [subset for subset in cut if subset.fraction in kept]
    plans = {
        (s.fraction, s.draw): validation_plan(train[s.indices], val, s.fraction, s.draw, val_budget, seed)
        for s in subsets
    }
    groups = splits["train"].groups if task.own else None
    if groups is not None:
        # Samples of one group are alike, so inner folds keep them together.
        plans |= {
            (s.fraction, s.draw): inner_plan(train[s.indices], groups[s.indices], ("folds", seed, s.draw))
            for s in subsets
            if plans[s.fraction, s.draw].kind == "inner_cv"
        }
    return LabelBudget(subsets, plans)


def _folded(task: TaskSpec, whole: Split, seed: int) -> LabelBudget:
    folds = np.array(whole.folds)
    found = folded_subsets(whole.labels, folds, task.label_fractions, task.draws, seed, whole.groups)
    tell_equal(task, task.label_fractions, {subset.fraction for subset in found[0]})
    return LabelBudget(*found)


@functools.cache
def _tell(text: str) -> None:
    log.warning(text)


def tell_equal(task: TaskSpec, asked: Iterable[float], kept: Collection[float]) -> None:
    """Log, once per process, the label fractions that are skipped because a larger one selects the same samples."""
    left_out, remaining = sorted(set(asked) - set(kept)), sorted(set(kept))
    for fraction in left_out:
        larger = min(other for other in remaining if other > fraction)
        same = f"label fractions {fraction:.4g} and {larger:.4g} select the same samples"
        _tell(f"{task.slug}: {same}; measured once, as {larger:.4g}")


def _hash(positions: Indices) -> str:
    return hashlib.sha256(np.ascontiguousarray(positions, dtype="<i8").data).hexdigest()
