"""Similarity of the features of two layers or backbones: CKA, its uncertainty, and diagnostics beyond CKA."""

from geofm_eval.similarity.channel_diagnostics import (
    ChannelSpread,
    one_channel_decides,
    procrustes_distance,
    relative_distance,
    spread,
    without_top_channel,
)
from geofm_eval.similarity.linear_cka import Cka, CkaMatrix, cka, cka_matrix
from geofm_eval.similarity.uncertainty import (
    Null,
    jackknife_error,
    jackknife_values,
    permutation_null,
)

__all__ = [
    "ChannelSpread",
    "Cka",
    "CkaMatrix",
    "Null",
    "cka",
    "cka_matrix",
    "jackknife_error",
    "jackknife_values",
    "one_channel_decides",
    "permutation_null",
    "procrustes_distance",
    "relative_distance",
    "spread",
    "without_top_channel",
]
