"""Tokens and the pixels that they cover: what a token should say, and what a grid of tokens can say at best."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inspection import labelled
from geofm_eval.data.split import Split
from geofm_eval.dense.inference import counts_of, joined, score_of
from geofm_eval.dense.windows import covering, cut_target


def token_targets(target: NDArray[Any], grid: tuple[int, int], task: TaskSpec) -> tuple[Tensor, Tensor]:
    """What every token of a window covers.

    Args:
        target: (height, width) classes or numbers.
        grid: tokens (h, w); where they do not divide the window, tokens cover the pixels that they touch.
        task: says which pixels have a label.

    Returns:
        (K, h, w) float64 class shares among the labelled pixels, or their mean (1, h, w); zeros where there are none.
        (h, w) float64 share of labelled pixels.
    """
    known = torch.from_numpy(labelled(target, task))
    if task.kind == "dense_regression":
        values = torch.from_numpy(np.where(known, target, 0.0).astype(np.float64))[None]
    else:
        classes = torch.from_numpy(np.where(known, target, 0).astype(np.int64))
        values = functional.one_hot(classes, len(task.classes)).permute(2, 0, 1).double() * known
    share = functional.adaptive_avg_pool2d(known[None].double(), grid)
    pooled = functional.adaptive_avg_pool2d(values, grid)
    return torch.where(share > 0, pooled / share.clamp_min(1e-12), 0.0), share[0]


def grid_ceiling(split: Split, size: int, grid: tuple[int, int]) -> float:
    """Score of an oracle that knows what each token covers: its most frequent class, or its mean.

    What a decoder that says one thing per token cannot exceed. Decoders that interpolate between tokens can.

    Args:
        split: the test split.
        size: pixels per side of a window.
        grid: tokens (h, w) of a window.

    Returns:
        The task's metric.
    """
    task, counts = split.task, []
    for item in range(len(split)):
        target = split.read_target(item)
        shape = (int(target.shape[0]), int(target.shape[1]))
        windows = covering(*shape, size)
        values = [token_targets(cut_target(target, window, task), grid, task)[0] for window in windows]
        enlarged = [functional.interpolate(one[None], (size, size), mode="nearest-exact")[0] for one in values]
        whole = joined(enlarged, windows, shape)
        predicted = whole[0] if task.kind == "dense_regression" else whole.argmax(0)
        counts.append(counts_of(task, target, predicted.numpy()))
    return score_of(task, np.stack(counts))
