"""The probe of NeuCo-Bench's leaderboard: a linear map trained by AdamW for ten epochs on every shuffle.

Code: embed2scale/NeuCo-Bench at a89ba06, ``benchmark/evaluation`` (docs/parity.md). It leaks test data in two places:
the best of the ten epochs is selected on the samples that are scored, and features and target are scaled with
statistics of all samples. ``adamw`` does both, so that its scores can be compared with the leaderboard.
``adamw_mended`` scales with training samples only and scores the last epoch. Neither probe reaches its optimum, so no
ranking or verdict counts them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow
from geofm_eval.stats.scores import prediction_dtype, r2, rmse

EPOCHS, BATCH, RATE, SEED = 10, 64, 1e-3, 42
"""Values of NeuCo-Bench's ``configs/sample_config_linear.yaml`` and ``evaluation.py``."""


def solve_neuco(problem: ProbeProblem, mended: bool) -> Iterator[SweepRow]:
    """Train and test every tap on every shuffle; the shuffles of a label fraction share one random stream.

    Args:
        problem: a regression with shuffle splits.
        mended: True for the probe without the two leaks.
    """
    fractions = dict.fromkeys(subset.fraction for subset in problem.subsets)
    for tap in problem.taps:
        features = np.asarray(problem.features(tap, problem.training), dtype=np.float32)
        target = problem.labels[problem.training].astype(np.float64)
        for fraction in fractions:
            subsets = [subset for subset in problem.subsets if subset.fraction == fraction]
            folds = list(map(problem.tested, subsets))
            predicted = fit_shuffles(features, target, folds, mended, problem.device)
            for subset, fold, values in zip(subsets, folds, predicted, strict=True):
                yield _row(tap, subset.fraction, subset.draw, target, fold, values)


def fit_shuffles(
    features: NDArray[np.float32],
    target: NDArray[np.float64],
    folds: Sequence[Holdout],
    mended: bool,
    device: torch.device | None = None,
) -> list[NDArray[np.float64]]:
    """Return predictions for the test samples of every shuffle, in the target's unit.

    Args:
        features: (n, D).
        target: (n,).
        folds: shuffles, in the order they are drawn.
        mended: scale with training samples and score the last epoch; otherwise scale with all samples and score the
            best epoch.
        device: torch device for training.
    """
    place = device or torch.device("cpu")
    # All probes are solved in inference mode, but training needs gradients.
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return [_fold(features, target, fold, mended, place) for fold in folds]


def _fold(
    features: NDArray[np.float32], target: NDArray[np.float64], fold: Holdout, mended: bool, device: torch.device
) -> NDArray[np.float64]:
    scaled_by = fold.rows if mended else np.arange(len(target))
    # One mean and standard deviation for all channels together, as in the original.
    centre, deviation = features[scaled_by].mean(), features[scaled_by].std() or 1.0
    low, high = target[scaled_by].min(), target[scaled_by].max()
    extent = (high - low) or 1.0
    rows = torch.from_numpy((features - centre) / deviation).to(device)
    wanted = torch.from_numpy((target - low) / extent).float().to(device)
    network = nn.Linear(features.shape[1], 1)
    optimizer = torch.optim.AdamW(network.to(device).parameters(), lr=RATE)
    best, kept = -np.inf, np.zeros(len(fold.held_out))
    for _ in range(EPOCHS):
        for chosen in _batches(fold.rows):
            loss = functional.mse_loss(network(rows[chosen])[:, 0], wanted[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        _order(len(fold.held_out))  # the original shuffles the test samples too
        predicted = _predicted(network, rows[fold.held_out]) * extent + low
        score = r2(target[fold.held_out], predicted)
        if mended or score > best:
            best, kept = score, predicted
    return kept


def _predicted(network: nn.Module, rows: Tensor) -> NDArray[np.float64]:
    with torch.no_grad():
        values: NDArray[np.float64] = network(rows)[:, 0].double().cpu().numpy()
    return values


def _batches(items: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    order = items[_order(len(items))]
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


def _order(count: int) -> NDArray[np.int64]:
    """A permutation from the random numbers that PyTorch's ``DataLoader`` draws for a ``SubsetRandomSampler``."""
    torch.empty((), dtype=torch.int64).random_()
    return torch.randperm(count).numpy()


def _row(
    tap: str, fraction: float, draw: int, target: NDArray[np.float64], fold: Holdout, predicted: NDArray[np.float64]
) -> SweepRow:
    dtype = prediction_dtype(target)
    outcomes = np.full(len(target), np.nan, dtype=dtype)
    outcomes[fold.held_out] = predicted
    pair = target[fold.held_out], outcomes[fold.held_out].astype(np.float64)
    return SweepRow(
        tap=tap,
        fraction=fraction,
        draw=draw,
        n_train=len(fold.rows),
        n_val=0,
        n_test=len(fold.held_out),
        val_kind="none",
        test_score=r2(*pair),
        outcomes=outcomes,
        iterations=EPOCHS,
        extra={"rmse": rmse(*pair)},
    )
