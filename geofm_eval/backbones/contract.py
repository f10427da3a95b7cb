"""Checks of the backbone contract: tokens as declared, and features that depend on each image alone."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geofm_eval.backbones.base import LoadedBackbone, TokenLayout
from geofm_eval.backbones.series import Encoded, encode
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import ModelInput
from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted

CHECKED_IMAGES = 16
TOLERANCE, TOLERANCE_16_BIT = 1e-3, 3e-2
"""Largest allowed change of a feature relative to its tap's root mean square, far above rounding."""


def check_frozen(loaded: LoadedBackbone) -> None:
    """Check that no module of a backbone is in training mode.

    Raises:
        ContractError: a module is in training mode.
    """
    if any(module.training for module in loaded.backbone.modules()):
        raise ContractError(
            f"{loaded.spec.slug} is in training mode, expected eval mode; load it with load_backbone, and remove calls "
            "of train() from its forward"
        )


def encode_checked(loaded: LoadedBackbone, batch: ModelInput, native: bool, *, first: bool = False) -> Encoded:
    """Run a backbone and check its tokens against its entry and layout.

    Args:
        loaded: the frozen backbone.
        batch: images or series.
        native: whether the backbone takes all dates of a series at once.
        first: whether this is the first batch; if so, also check that the features of every image depend on this image
            alone, by encoding up to 16 images again, together and in two halves.

    Raises:
        ContractError: tokens differ from the declaration, taps share memory, or features change when the same images
            are encoded again.
    """
    count = min(CHECKED_IMAGES, len(batch.pixels))
    images = _rows(batch, slice(0, count)) if first else None
    encoded = encode(loaded.backbone, batch, native)
    _check_tokens(loaded.spec, encoded.tokens, encoded.layout, len(batch.pixels) * encoded.passes)
    if images is not None:
        check_frozen(loaded)
        _check_memory(loaded.spec, encoded.tokens)
        _check_each_alone(loaded, images, native, encoded)
    return encoded


def _check_tokens(spec: ModelSpec, tokens: Any, layout: TokenLayout, images: int) -> None:
    if not isinstance(tokens, Mapping):
        raise ContractError(
            f"{spec.slug} returned a {type(tokens).__name__}, expected a dictionary of one tensor per tap: "
            f"{', '.join(spec.taps)}"
        )
    if tuple(tokens) != spec.taps:
        found = tuple(str(name)[:40] for name in tokens)
        raise ContractError(f"{spec.slug} returned taps {_shortened(found)}, expected {_shortened(spec.taps)}")
    if layout.prefix != spec.prefix:
        raise ContractError(
            f"{spec.slug} has {counted(layout.prefix, 'prefix token')}, expected prefix = {spec.prefix} as in its "
            "catalog entry"
        )
    for tap, values in tokens.items():
        expected = f"expected float32 ({images}, {layout.tokens}, D) for {counted(images, 'image')} and {layout}"
        if not isinstance(values, Tensor):
            raise ContractError(f"{spec.slug}: tap {tap} is a {type(values).__name__}, {expected}")
        if values.ndim != 3 or values.shape[:2] != (images, layout.tokens) or values.dtype != torch.float32:
            raise ContractError(f"{spec.slug}: tap {tap} is {values.dtype} {tuple(values.shape)}, {expected}")


def _shortened(names: tuple[str, ...]) -> str:
    return str(names) if len(names) <= 6 else f"{names[:4]} and {len(names) - 4} more"


def _check_memory(spec: ModelSpec, tokens: dict[str, Tensor]) -> None:
    for one, other in itertools.combinations(spec.taps, 2):
        # A network without a last norm may return its last block also as final.
        if (one, other) != spec.taps[-2:] and _overlap(tokens[one], tokens[other]):
            raise ContractError(
                f"{spec.slug}: taps {one} and {other} share memory, so one overwrites the other; avoid in-place "
                "operations such as x += f(x) in forward, or return tokens.clone() for each tap"
            )


def _overlap(a: Tensor, b: Tensor) -> bool:
    if a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr() or not (a.numel() and b.numel()):
        return False
    (a_start, a_end), (b_start, b_end) = _extent(a), _extent(b)
    return a_start < b_end and b_start < a_end


def _extent(values: Tensor) -> tuple[int, int]:
    """Positions in the storage of the first element of a tensor, and after the last one."""
    start = int(values.storage_offset())
    last = sum((size - 1) * step for size, step in zip(values.shape, values.stride(), strict=True))
    return start, start + int(last) + 1


def _check_each_alone(loaded: LoadedBackbone, images: ModelInput, native: bool, encoded: Encoded) -> None:
    count = len(images.pixels)
    middle = (count + 1) // 2
    for rows in (slice(0, count), slice(0, middle), slice(middle, count)):
        if rows.start == rows.stop:
            continue
        again = encode(loaded.backbone, _rows(images, rows), native)
        moved = _moved(loaded, encoded, again, rows)
        if moved is not None:
            cause = _cause(loaded, images, native)
            raise ContractError(f"{loaded.spec.slug}: features do not depend on each image alone: {moved} {cause}")


def _moved(loaded: LoadedBackbone, encoded: Encoded, again: Encoded, rows: slice) -> str | None:
    """Description of the largest change; None if all features are equal up to rounding."""
    if again.layout != encoded.layout:
        return (
            f"the layout is {again.layout} for {counted(rows.stop - rows.start, 'image')}, {encoded.layout} for the "
            "batch."
        )
    allowed = _tolerance(loaded)
    part = slice(rows.start * encoded.passes, rows.stop * encoded.passes)
    changes = {tap: _change(encoded, again, tap, part) for tap in loaded.spec.taps}
    changed = [tap for tap, change in changes.items() if not change <= allowed]
    if not changed:
        return None
    largest = max(changed, key=lambda tap: changes[tap])
    others = f" ({len(changed)} taps change, {changed[0]} first)" if len(changed) > 1 else ""
    return (
        f"tap {largest} changes by {changes[largest]:.2g} of its rms (at most {allowed:g} allowed){others} if "
        f"images {rows.start + 1} to {rows.stop} of the first batch are encoded again."
    )


def _change(encoded: Encoded, again: Encoded, tap: str, part: slice) -> float:
    """Largest difference of a valid token relative to the tap's root mean square.

    Taps that are not finite give 0; they are rejected by name where their features are used.
    """
    before, after = encoded.tokens[tap].detach(), again.tokens[tap].detach().float()
    read = encoded.mask.clone()
    read[:, : encoded.layout.prefix] = True
    rms = float(torch.linalg.vector_norm(before, dim=-1)[read].square().mean().sqrt()) / before.shape[-1] ** 0.5
    if not math.isfinite(rms):
        return 0.0
    differences = (after - before[part]).abs().amax(-1)[read[part]]
    largest = float(differences.max()) if differences.numel() else 0.0
    return largest / max(rms, 1e-30) if largest else 0.0


def _tolerance(loaded: LoadedBackbone) -> float:
    half = any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in loaded.backbone.parameters())
    return TOLERANCE_16_BIT if half else TOLERANCE


def _cause(loaded: LoadedBackbone, images: ModelInput, native: bool) -> str:
    """Likely cause, from two more passes over equal batches."""
    one, other = (encode(loaded.backbone, _rows(images, slice(None)), native) for _ in range(2))
    if _moved(loaded, one, other, slice(0, len(images.pixels))) is None:
        return "It depends on the other images of the batch; remove batch statistics or attention across images."
    return "It is random or keeps a state; switch off dropout, random masking and drop path in forward."


def _rows(batch: ModelInput, rows: slice) -> ModelInput:
    """Copy some images, because a backbone may change its input in place."""
    dates = None if batch.dates is None else batch.dates[rows]
    return dataclasses.replace(batch, pixels=batch.pixels[rows].clone(), valid=batch.valid[rows].clone(), dates=dates)
