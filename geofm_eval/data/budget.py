"""The label budget of a task: which training labels a probe may see, and what its penalty is chosen on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.labels import Indices, LabelSubset, ValidationPlan, label_subsets, validation_plan
from geofm_eval.data.shuffles import item_blocks, published_order, shuffled_subsets
from geofm_eval.data.split import ALL, Split


@dataclass(frozen=True)
class LabelBudget:
    """Label subsets of a task, and how each is validated: the same for every model.

    Args:
        subsets: in the order of fractions and draws.
        plans: by fraction and draw.
    """

    subsets: list[LabelSubset]
    plans: dict[tuple[float, int], ValidationPlan]

    @property
    def identity(self) -> list[list[Any]]:
        """All of it in hashes, for keys."""
        return [self._identity(subset) for subset in self.subsets]

    def _identity(self, subset: LabelSubset) -> list[Any]:
        plan = self.plans[subset.fraction, subset.draw]
        tested = [] if subset.test is None else [_hash(subset.test)]
        hashes = [_hash(part) for part in (plan.indices, *plan.folds)]
        return [subset.fraction, subset.draw, _hash(subset.indices), plan.kind, *hashes, *tested]

    @property
    def shuffled_items(self) -> int:
        """How many items at least one shuffle tests; 0 for a task with a test split."""
        tested = [subset.test for subset in self.subsets if subset.test is not None]
        return len(np.unique(np.concatenate(tested))) if tested else 0


def label_budget(
    task: TaskSpec, splits: Mapping[str, Split], val_budget: Literal["matched", "full"], seed: int
) -> LabelBudget:
    """Cut the label subsets of a task and plan their validation.

    Args:
        task: for fractions, draws and the option ``blocks``.
        splits: the task's splits; ``all`` alone is cut into shuffles, whose validation is always within their subsets.
        val_budget: the recipe's.
        seed: of everything random in the task.

    Raises:
        ContractError: too few items, or an option ``blocks`` that is none.
        DataError: an item lacks what its block follows from.
    """
    if ALL in splits:
        whole = splits[ALL]
        blocks = item_blocks(whole.items, task.options["blocks"]) if "blocks" in task.options else None
        order = published_order(whole.items)
        return LabelBudget(*shuffled_subsets(whole.labels, task.label_fractions, seed, blocks, order))
    train, val = splits["train"].labels, splits["val"].labels
    subsets = label_subsets(train, task.label_fractions, task.draws, seed)
    plans = {
        (s.fraction, s.draw): validation_plan(train[s.indices], val, s.fraction, s.draw, val_budget, seed)
        for s in subsets
    }
    return LabelBudget(subsets, plans)


def _hash(positions: Indices) -> str:
    return hashlib.sha256(np.ascontiguousarray(positions, dtype="<i8").data).hexdigest()
