"""Linear centred kernel alignment, debiased: of two feature sets, and of all pairs of layers at once.

With X (n, p) and Y (n, q) centred, K = X X', L = Y Y', and a, b the squared row norms (the diagonals of K and L):

* biased CKA (Kornblith et al. 2019, arXiv 1905.00414): ||X'Y||^2 / (||X'X|| ||Y'Y||), Frobenius norms;
* HSIC_1 (Song et al. 2012; as a U-centred product: Szekely and Rizzo 2014): <K*, L*> / (n (n - 3)), where K* has a
  zero diagonal and rows that sum to zero;
* HSIC_1 from features, without an n x n matrix:
  [||X'Y||^2 - n/(n-2) a.b + sum(a) sum(b) / ((n-1)(n-2))] / (n (n-3));
- debiased CKA: HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)). It may be negative, and is never clipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.errors import ContractError
from geofm_eval.similarity.features import Centred, Features, centred

Form = Literal["gram", "features"]

MOST_GRAM_BYTES = 2**31
"""Memory limit of all Gram matrices; above it, products of features are used, whose memory does not grow with n."""

SPENT = 1e-10
"""Ratio of debiased to biased self-similarity below which only rounding noise is left."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cka:
    """Similarity of two feature sets of the same samples.

    Args:
        debiased: the score, not clipped; NaN if undefined.
        biased: for comparison with publications; grows with p / n.
        n: number of samples.
        reason: why a value is NaN; empty if none is.
    """

    debiased: float
    biased: float
    n: int
    reason: str = ""


@dataclass(frozen=True)
class CkaMatrix:
    """Similarity of every layer of one list to every layer of another.

    Args:
        rows: names of the first list.
        columns: names of the second list.
        debiased: (rows, columns).
        biased: (rows, columns).
        n: number of samples.
        row_reasons: by name, why all values of a layer of the first list are NaN.
        column_reasons: the same for the second list.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    debiased: Floats
    biased: Floats
    n: int
    row_reasons: Mapping[str, str]
    column_reasons: Mapping[str, str]

    def pair(self, row: str, column: str) -> Cka:
        """Return one entry."""
        place = self.rows.index(row), self.columns.index(column)
        reason = self.row_reasons.get(row) or self.column_reasons.get(column) or ""
        return Cka(float(self.debiased[place]), float(self.biased[place]), self.n, reason)


def cka(x: Features, y: Features, form: Form | None = None) -> Cka:
    """Compare two feature sets of the same samples.

    Args:
        x: (n, p).
        y: (n, q).
        form: ``gram`` multiplies n x n matrices, ``features`` p x q ones; None selects the cheaper.

    Raises:
        ContractError: see :func:`cka_matrix`.
    """
    return cka_matrix({"x": x}, {"y": y}, form).pair("x", "y")


def cka_matrix(
    layers: Mapping[str, Features], others: Mapping[str, Features] | None = None, form: Form | None = None
) -> CkaMatrix:
    """Compare all pairs of layers on the same samples.

    Args:
        layers: (n, p) features by name; widths may differ.
        others: layers to compare with; None compares the layers with each other.
        form: see :func:`cka`.

    Raises:
        ContractError: no layer, different numbers of samples, fewer than four samples, or features that are not finite.
    """
    first = [centred(name, values) for name, values in layers.items()]
    second = first if others is None else [centred(name, values) for name, values in others.items()]
    n = _items([*first, *second])
    chosen = form or _cheaper(n, [one.shape[1] for one in first], [one.shape[1] for one in second], others is None)
    products = _gram_products if chosen == "gram" else _feature_products
    overlap, hsic, selves = products(first, second)
    left, right = (_usable(side, own) for side, own in zip((first, second), selves, strict=True))
    return CkaMatrix(
        tuple(one.name for one in first),
        tuple(one.name for one in second),
        _ratio(hsic, left[:, 1], right[:, 1]),
        _ratio(overlap, left[:, 0], right[:, 0]),
        n,
        reasons([one.name for one in first], left),
        reasons([one.name for one in second], right),
    )


def _items(layers: Sequence[Centred]) -> int:
    if not layers:
        raise ContractError("found no layers to compare, expected at least one; give the features of a layer")
    counts = {one.name: one.shape[0] for one in layers}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())[:200]
        raise ContractError(
            f"numbers of samples differ ({found}); give the features of the same samples for all layers"
        )
    return layers[0].shape[0]


def _cheaper(n: int, widths: Sequence[int], others: Sequence[int], symmetric: bool) -> Form:
    every = [*widths] if symmetric else [*widths, *others]
    if 2 * len(every) * n * n * 8 > MOST_GRAM_BYTES:
        return "features"
    gram = n * n * (sum(every) + len(widths) * len(others))
    features = n * (sum(widths) * sum(others) + sum(width * width for width in every))
    return "gram" if gram < features else "features"


Products = tuple[Floats, Floats, tuple[Floats, Floats]]
"""||X'Y||^2 and n (n-3) HSIC_1 of all pairs (rows, columns); the same two for every layer with itself, (layers, 2)."""


def _gram_products(first: Sequence[Centred], second: Sequence[Centred]) -> Products:
    """From n x n matrices: two products of stacked Gram matrices cover all pairs."""
    left = _grams(first)
    right = left if second is first else _grams(second)
    overlap, hsic = (a.flatten(1) @ b.flatten(1).T for a, b in zip(left, right, strict=True))
    first_selves, second_selves = (
        np.array([[float(torch.vdot(one.flatten(), one.flatten())) for one in stack] for stack in side]).T
        for side in (left, right)
    )
    return _array(overlap), _array(hsic), (first_selves, second_selves)


def _grams(layers: Sequence[Centred]) -> tuple[Tensor, Tensor]:
    """(layers, n, n) Gram matrices, plain and U-centred; filled layer by layer to avoid a third stack."""
    n = layers[0].shape[0]
    plain, hollow = (torch.empty(len(layers), n, n, dtype=torch.float64, device=layers[0].device) for _ in range(2))
    for number, one in enumerate(layers):
        values = one.whole()
        torch.matmul(values, values.T, out=plain[number])
        hollow[number] = u_centred(plain[number])
    return plain, hollow


def u_centred(grams: Tensor) -> Tensor:
    """U-centre matrices: set diagonals to zero and make off-diagonal rows and columns sum to zero.

    Products of U-centred matrices are unbiased. Szekely and Rizzo 2014, Partial distance correlation with methods for
    dissimilarities, Annals of Statistics 42(6).

    Args:
        grams: (..., n, n) symmetric.
    """
    n, found = grams.shape[-1], grams.clone()
    # In place, because each pass over n x n values costs half as much as a layer's product.
    torch.diagonal(found, dim1=-2, dim2=-1).zero_()
    means = found.sum(-1) / (n - 2)
    means = means - means.sum(-1, keepdim=True) / (2 * (n - 1))
    found.sub_(means[..., :, None]).sub_(means[..., None, :])
    torch.diagonal(found, dim1=-2, dim2=-1).zero_()
    return found


def _feature_products(first: Sequence[Centred], second: Sequence[Centred]) -> Products:
    """From p x q matrices, accumulated over chunks of rows; memory does not grow with n."""
    overlap = np.array([[_overlap(x, y) for y in second] for x in first])
    norms = [_norms(one) for one in first]
    others = norms if second is first else [_norms(one) for one in second]
    hsic = np.array([[_debiased(overlap[i, j], a, b) for j, b in enumerate(others)] for i, a in enumerate(norms)])
    selves = []
    for side, rows in ((first, norms), (second, others)):
        own = [_overlap(one, one) for one in side]
        selves.append(np.array([[value, _debiased(value, a, a)] for value, a in zip(own, rows, strict=True)]))
    return overlap, hsic, (selves[0], selves[1])


def _overlap(x: Centred, y: Centred) -> float:
    """||X'Y||^2."""
    product = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64, device=x.device)
    for rows, part in x.chunks():
        product += part.T @ (part if y is x else y.part(rows))
    return float(product.square().sum())


def _norms(one: Centred) -> Tensor:
    """(n,) squared row norms."""
    # One vector, because many small results that outlive the chunks would keep the allocator from reusing memory.
    norms = torch.empty(one.shape[0], dtype=torch.float64, device=one.device)
    for rows, part in one.chunks():
        norms[rows] = part.square().sum(1)
    return norms


def _debiased(overlap: float, a: Tensor, b: Tensor) -> float:
    n = len(a)
    return overlap - n / (n - 2) * float(a @ b) + float(a.sum()) * float(b.sum()) / ((n - 1) * (n - 2))


def _ratio(cross: Floats, left: Floats, right: Floats) -> Floats:
    below = np.sqrt(np.clip(left, 0, None)[:, None] * np.clip(right, 0, None)[None, :])
    known = (left > 0)[:, None] & (right > 0)[None, :] & (below > 0)
    return np.asarray(np.divide(cross, below, out=np.full(cross.shape, np.nan), where=known), dtype=np.float64)


def _usable(layers: Sequence[Centred], selves: Floats) -> Floats:
    found = selves.copy()
    found[[one.constant for one in layers]] = 0.0
    return without_rounding(found)


def without_rounding(selves: Floats) -> Floats:
    """Set debiased self-similarities that are only rounding noise to zero.

    Args:
        selves: (layers, 2) biased and debiased self-similarities.
    """
    found = selves.copy()
    found[found[:, 1] <= SPENT * found[:, 0], 1] = 0.0
    return found


def reasons(names: Sequence[str], selves: Floats) -> dict[str, str]:
    """Return why layers have no similarity, given the output of :func:`without_rounding`."""
    found = {}
    for name, (biased, debiased) in zip(names, selves, strict=True):
        if biased == 0:
            found[name] = f"{name} is the same for all items"
        elif debiased == 0:
            found[name] = f"of {name} nothing is left once the items' similarity with themselves is taken out"
    return found


def _array(values: Tensor) -> Floats:
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
