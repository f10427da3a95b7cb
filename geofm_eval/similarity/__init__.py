"""How alike the features of two layers or backbones are: CKA, its uncertainty, and companions that see other things."""

from geofm_eval.similarity.cka import Cka, CkaMatrix, MinibatchCka, cka, cka_matrix
from geofm_eval.similarity.companions import Companions, companions, procrustes_distance, relative_distance
from geofm_eval.similarity.uncertainty import Null, half_sampling_error, jackknife_error, permutation_null

__all__ = [
    "Cka",
    "CkaMatrix",
    "Companions",
    "MinibatchCka",
    "Null",
    "cka",
    "cka_matrix",
    "companions",
    "half_sampling_error",
    "jackknife_error",
    "permutation_null",
    "procrustes_distance",
    "relative_distance",
]
