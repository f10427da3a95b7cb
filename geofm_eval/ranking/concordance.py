"""How alike two rankings of the same models are."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from geofm_eval.errors import ContractError
from geofm_eval.ranking.grouping import Setting

FEWEST_MODELS = 3
"""With two models the correlation is 1 or -1 and says nothing that their difference does not."""


def kendall_tau(first: ArrayLike, second: ArrayLike) -> float | None:
    """Kendall's tau-b of two series of scores: pairs in the same order minus pairs in opposite orders.

    Divided by the root of the product of how many pairs each series orders at all (Kendall 1945, Biometrika 33).

    Args:
        first: (k,) scores.
        second: (k,) scores of the same subjects.

    Returns:
        From -1 to 1; None where one of the series has ties only, or there are fewer than two subjects.

    Raises:
        ContractError: series of different lengths, or scores that are not finite.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ContractError(f"expected two series of k finite scores, found shapes {a.shape} and {b.shape}")
    one, other = (np.sign(series[:, None] - series[None]) for series in (a, b))
    scale = float(np.abs(one).sum() * np.abs(other).sum())
    return float((one * other).sum()) / scale**0.5 if scale > 0 else None


def agreement(found: Sequence[Setting], models: Sequence[str]) -> Mapping[tuple[str, str], float]:
    """Kendall's tau-b of every two settings over the models that both have, by the names of the settings.

    Pairs with fewer than three models in common, or with ties only, are absent.
    """
    taus: dict[tuple[str, str], float] = {}
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            common = [model for model in models if model in one.by_model and model in other.by_model]
            if len(common) < FEWEST_MODELS:
                continue
            tau = kendall_tau(*([setting.by_model[m].quality for m in common] for setting in (one, other)))
            if tau is not None:
                taus[one.name, other.name] = taus[other.name, one.name] = tau
    return taus
