"""How alike the features of two layers or backbones are: CKA, its uncertainty, and companions that see other things."""

from geofm_eval.similarity.channel_diagnostics import (
    ChannelDiagnostics,
    ChannelSpread,
    channel_diagnostics,
    one_channel_decides,
    procrustes_distance,
    relative_distance,
    spread,
    without_top_channel,
)
from geofm_eval.similarity.linear_cka import Cka, CkaMatrix, MinibatchCka, cka, cka_matrix
from geofm_eval.similarity.uncertainty import (
    Null,
    half_sampling_error,
    jackknife_error,
    jackknife_values,
    permutation_null,
)

__all__ = [
    "ChannelDiagnostics",
    "ChannelSpread",
    "Cka",
    "CkaMatrix",
    "MinibatchCka",
    "Null",
    "channel_diagnostics",
    "cka",
    "cka_matrix",
    "half_sampling_error",
    "jackknife_error",
    "jackknife_values",
    "one_channel_decides",
    "permutation_null",
    "procrustes_distance",
    "relative_distance",
    "spread",
    "without_top_channel",
]
