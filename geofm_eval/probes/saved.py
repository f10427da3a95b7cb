"""A fitted linear or ridge probe as one safetensors file, to be applied outside the suite."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError, DataError
from geofm_eval.seals import is_whole, parse_json, sealed
from geofm_eval.store import write_bytes

ENTRY = "geofm_eval_probe"
"""Name of the metadata of the file that hold everything but the arrays."""

FORMAT = 1
"""Version of the layout; increase it when a file can no longer be read as before."""


@dataclass(frozen=True, repr=False)
class SavedProbe:
    """Weights of a probe for raw features: the standardisation of the probe is part of them.

    Attributes:
        case: id of the case whose score the probe has.
        model: model of the catalog whose features the probe reads.
        task: task of the catalog that it was fitted on.
        adaptation: ``linear``, ``ridge`` or a variant of them.
        tap: tap to read.
        pooling: ``mean`` or ``cls``.
        recipe: recipe of the inputs.
        bands: bands of the task's images, in their order.
        inputs: what the model received, as in the run's record: bands and ``unit``, ``normalisation``, ``size`` of
            the input in pixels (None: that of the images), and how missing bands and pixels were filled.
        classes: names of the classes; empty for a regression target.
        weight: (K, D) float64; one row for a regression target.
        bias: (K,) float64; -inf for a class without training samples, which is never predicted.
        penalty: the penalty that was chosen on validation.
        n_train: number of training samples.
        n_test: number of test samples.
        metric: ``accuracy`` or ``r2``.
        test_score: score of exactly these weights on their test samples.
        score: score of the case in the run's record; it differs from ``test_score`` if it is of several draws or folds.
        interval: 95 % interval (low, high) of ``score``; None if there are too few samples.
        weights_sha256: content hash of the backbone's weights.
        version: version of geofm_eval that wrote the file.
    """

    case: str
    model: str
    task: str
    adaptation: str
    tap: str
    pooling: str
    recipe: str
    bands: tuple[str, ...]
    inputs: Mapping[str, Any]
    classes: tuple[str, ...]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    penalty: float
    n_train: int
    n_test: int
    metric: Literal["accuracy", "r2"]
    test_score: float
    score: float
    interval: tuple[float, float] | None
    weights_sha256: str
    version: str

    def __repr__(self) -> str:
        return (
            f"SavedProbe({self.model}, {self.tap}, {self.task}, {self.adaptation}: "
            f"{self.metric} {self.test_score:.3f} on {self.n_test} test samples)"
        )

    def scores(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return logits (n, K), or values (n, 1) in the unit of the target, for pooled features (n, D).

        Raises:
            ContractError: the features have another shape.
        """
        rows = np.asarray(features, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.weight.shape[1]:
            raise ContractError(
                f"features have shape {rows.shape}, expected (n, {self.weight.shape[1]}): those of {self.model} at "
                f"{self.tap}, pooled by {self.pooling}"
            )
        found: NDArray[np.float64] = rows @ self.weight.T + self.bias
        return found

    def predict(self, features: ArrayLike) -> NDArray[Any]:
        """Return (n,) names of classes, or (n,) values in the unit of the target, for pooled features (n, D).

        Raises:
            ContractError: the features have another shape.
        """
        scores = self.scores(features)
        return np.array(self.classes)[scores.argmax(1)] if self.classes else scores[:, 0]


def save_probe(probe: SavedProbe, path: Path) -> None:
    """Write a probe; the file holds numbers and text, never code.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save

    entry = {name: value for name, value in vars(probe).items() if name not in ("weight", "bias")}
    content = sealed({"format": FORMAT, "arrays": _digest(probe.weight, probe.bias), **entry})
    arrays = {"weight": np.ascontiguousarray(probe.weight), "bias": np.ascontiguousarray(probe.bias)}
    write_bytes(path, save(arrays, {ENTRY: json.dumps(content)}))


def load_probe(path: str | Path) -> SavedProbe:
    """Read a probe that ``geofm-eval export --probe`` wrote.

    Args:
        path: safetensors file.

    Raises:
        DataError: the file is missing, damaged, of a newer version, or not a probe.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            entry = (file.metadata() or {}).get(ENTRY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, the file is no mapping
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; write it with geofm-eval export TASK --model MODEL --probe") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a complete safetensors file ({str(error)[:100]}); export the probe again"
        ) from None
    if entry is None:
        raise DataError(
            f"{path}: a safetensors file with {', '.join(sorted(arrays)[:3])[:100] or 'no array'}, expected a probe of "
            "geofm-eval export --probe"
        )
    return _probe(_content(entry, path), arrays, path)


def _content(entry: str, path: str | Path) -> dict[str, Any]:
    try:
        content = parse_json(entry)
        whole = isinstance(content, dict) and is_whole(content)
    except ValueError:
        whole = False
    if not whole:
        raise DataError(f"{path}: its description is damaged; export the probe again")
    if content["format"] != FORMAT:
        raise DataError(
            f"{path}: found format {content['format']}, this version reads {FORMAT}; install the version that "
            "wrote it, or export the probe again"
        )
    return dict(content)


def _probe(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: str | Path) -> SavedProbe:
    weight, bias = arrays.get("weight"), arrays.get("bias")
    if weight is None or bias is None or _digest(weight, bias) != content["arrays"]:
        raise DataError(f"{path}: its weights are not those that were saved; export the probe again")
    fields = {name: content[name] for name in SavedProbe.__dataclass_fields__ if name not in ("weight", "bias")}
    # JSON has no tuples.
    fields |= {name: tuple(fields[name]) for name in ("bands", "classes", "interval") if fields[name] is not None}
    return SavedProbe(**fields, weight=weight, bias=bias)


def _digest(weight: NDArray[Any], bias: NDArray[Any]) -> str:
    header = f"{weight.dtype} {weight.shape} {bias.dtype} {bias.shape}".encode()
    return hashlib.sha256(header + weight.tobytes() + bias.tobytes()).hexdigest()
