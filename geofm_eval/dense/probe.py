"""The dense probe: one linear map per tap from tokens to classes, solved to its optimum, scored on pixels.

The target of a token is what its labelled pixels are: class shares for a multinomial logistic regression, their mean
for ridge. Logits are enlarged bilinearly (pixel areas aligned), so that a depth profile of segmentation costs about one
pass of the frozen backbone. Tokens without data or without a labelled pixel take no part in either (``gaps.enlarged``).
"""

import json
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.split import Split
from geofm_eval.dense.budget import ChipBudget, check_classes
from geofm_eval.dense.fits import Fit, LinearMap, logistic, ridge
from geofm_eval.dense.gaps import enlarged
from geofm_eval.dense.inference import counts_of, joined, quality, resampled_quality
from geofm_eval.dense.token_sampling import TokenEncoder, TokenSample, WindowMaps, sample_tokens
from geofm_eval.dense.tokens import token_targets
from geofm_eval.dense.windows import covering, cut_target
from geofm_eval.errors import ContractError, DataError
from geofm_eval.extraction import exact_float32
from geofm_eval.features import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.ridge import RIDGE_PENALTIES
from geofm_eval.probes.selection import near_minimum
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.stats.reselection import Stored, as_stored, choose, resample_weights
from geofm_eval.store import content_hash, publish_directory

DENSE_PROBE_VERSION = 4
"""Part of every key: a change that moves any number raises it."""

MANIFEST = "dense_probe.json"
ROWS = "rows.json"
RESAMPLES = "resamples.npz"

Subset = tuple[float, int]
"""Label fraction and draw."""
Key = tuple[str, Subset]
"""Tap and label subset."""
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class DenseRow:
    """One tap with one label subset.

    Args:
        tap: its name.
        fraction: share of the training chips.
        draw: number of the label draw.
        n_train: training chips.
        n_val: chips that validation rests on.
        cross_validated: these are the training chips, each predicted without it.
        tokens: training tokens.
        chosen: penalty with the lowest validation loss.
        at_edge: it is the first or last of the path.
        val_loss: mean validation loss of the tokens at every penalty: log loss, or squared error.
        val_score: the task's metric on the pixels of the validation chips, greater is better.
        converged: the solver reached its optimum; None for ridge, which is closed form.
        iterations: steps over the path.
        dropped_channels: channels that are constant over the training tokens.
    """

    tap: str
    fraction: float
    draw: int
    n_train: int
    n_val: int
    cross_validated: bool
    tokens: int
    chosen: float
    at_edge: bool
    val_loss: tuple[float, ...]
    val_score: float
    converged: bool | None
    iterations: int | None
    dropped_channels: int

    @property
    def chosen_loss(self) -> float:
        """Mean validation loss at the chosen penalty, which breaks ties of ``val_score``."""
        return min(self.val_loss)

    @property
    def runner_up_gap(self) -> float:
        """How much larger the second-lowest validation loss is."""
        lowest, second = sorted(self.val_loss)[:2]
        return second - lowest


@dataclass(frozen=True)
class DenseSweep:
    """The dense probe of one model on one task.

    Args:
        key: in the cache.
        rows: one per tap, fraction and draw.
        counts: (rows, n, ...) what is kept of every test chip; see ``inference.counts_of``.
        candidates: penalties.
        seconds: of encoding, solving and scoring.
        grid: tokens (h, w) of a window.
        window: pixels per side of a window.
        resamples: per label fraction (taps, B) float32, the mean validation score over the draws on resampled
            validation chips; the taps are those of ``taps``.
    """

    key: str
    rows: tuple[DenseRow, ...]
    counts: NDArray[Any]
    candidates: tuple[float, ...]
    seconds: Mapping[str, float]
    grid: tuple[int, int]
    window: int
    resamples: Mapping[float, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the taps in the order of the rows."""
        return tuple(dict.fromkeys(row.tap for row in self.rows))

    def rows_for(self, tap: str, fraction: float) -> list[tuple[DenseRow, NDArray[Any]]]:
        """Rows of a tap at a label fraction with their counts, in the order of draws."""
        found = [
            (row, self.counts[number])
            for number, row in enumerate(self.rows)
            if (row.tap, row.fraction) == (tap, fraction)
        ]
        return sorted(found, key=lambda pair: pair[0].draw)

    @property
    def fractions(self) -> list[float]:
        """Label fractions in ascending order."""
        return sorted({row.fraction for row in self.rows})

    def best_taps(self, count: int, fraction: float = 1.0) -> tuple[str, ...]:
        """The blocks that score best on validation, in the order of depth; of equals those of lower loss, then depth.

        Args:
            count: number of blocks.
            fraction: share of the labels; its first draw is what decoders are trained on.

        Raises:
            ContractError: the probe was not solved at this fraction.
        """
        own = [row for row in self.rows if (row.fraction, row.draw) == (fraction, 0) and row.tap.startswith("block")]
        if not own:
            known = ", ".join(f"{one:g}" for one in self.fractions)
            raise ContractError(f"the dense probe was not solved with {fraction:g} of the labels; fractions: {known}")
        left, best = sorted(own, key=lambda row: row.tap), list[str]()
        while left and len(best) < count:
            best.append(left.pop(choose([row.val_score for row in left], [row.chosen_loss for row in left])).tap)
        return tuple(sorted(best))


@dataclass(frozen=True)
class _Solved:
    """What is known of a tap with one label subset: the map, and those that choose it.

    Args:
        apply: fitted on all training tokens, at the chosen penalty.
        index: position of the chosen penalty.
        losses: (L,) mean validation loss.
        validators: maps at the chosen penalty with the split and chips that each of them is scored on.
        fit: the fit of ``apply``.
    """

    apply: LinearMap
    index: int
    losses: NDArray[np.float64]
    validators: tuple[tuple[LinearMap, str, NDArray[np.int64]], ...]
    fit: Fit


@dataclass(frozen=True)
class _Encoded:
    """In place of an encoder where tokens are encoded already."""

    device: torch.device


@dataclass(frozen=True)
class _Unread:
    """In place of a split whose chips are not read."""

    task: TaskSpec


@dataclass(frozen=True)
class DenseProbe:
    """What is solved for one model and task.

    Args:
        encoder: frozen backbone and windows.
        splits: train, val and test.
        budgets: chips of every label subset.
        seed: of the task.
        progress: starts the progress of the pass.
    """

    encoder: TokenEncoder
    splits: Mapping[str, Split]
    budgets: Mapping[Subset, ChipBudget]
    seed: int
    progress: StartProgress

    @property
    def key(self) -> str:
        """Hash of all that decides the result, known before anything is encoded."""
        loaded, adapter = self.encoder.loaded, self.encoder.adapter
        return content_hash(
            {
                "blocks": {name: block_key(loaded, adapter, split) for name, split in self.splits.items()},
                "labels": {name: split.labels_sha256 for name, split in self.splits.items()},
                "chips": [
                    [*subset, b.train.tolist(), b.val.tolist(), [fold.tolist() for fold in b.folds]]
                    for subset, b in self.budgets.items()
                ],
                "task": [self._task.metric, self._task.ignore, len(self._task.classes)],
                "size": self.encoder.size,
                "seed": self.seed,
                "device": self.encoder.device.type,
                "version": DENSE_PROBE_VERSION,
            }
        )

    def stored(self) -> DenseSweep:
        """The solved probe, computed where the cache lacks it.

        Raises:
            DataError: training chips of one class only, or of a constant target.
            GeofmError: a contract or store error of the step that failed.
        """
        path = geofm_cache() / "sweeps" / "dense1" / self.key
        publish_directory(path, self._write, MANIFEST)
        content = json.loads((path / ROWS).read_text(encoding="utf-8"))
        rows = tuple(DenseRow(**{**row, "val_loss": tuple(row["val_loss"])}) for row in content["rows"])
        counts = np.load(path / "counts.npy", allow_pickle=False)
        grid = (int(content["grid"][0]), int(content["grid"][1]))
        with np.load(path / RESAMPLES, allow_pickle=False) as file:
            resamples = {float(fraction): file[fraction] for fraction in file.files}
        return DenseSweep(
            self.key, rows, counts, self._penalties, content["seconds"], grid, self.encoder.size, resamples
        )

    def sampled(self) -> dict[str, TokenSample]:
        """Tokens of the training and the validation chips, encoded now."""
        return {name: sample_tokens(self.encoder, self.splits[name], self.seed) for name in ("train", "val")}

    def solved(self, samples: dict[str, TokenSample]) -> dict[Key, "_Solved"]:
        """Every tap and label subset, solved now on tokens of :meth:`sampled` and kept nowhere; see :meth:`stored`."""
        return dict(self._solve(samples))

    def tested(self, asked: Mapping[K, LinearMap]) -> dict[K, NDArray[Any]]:
        """Counts (chips, ...) of the test chips for every map, in one pass over them."""
        everything = np.arange(len(self.splits["test"]))
        return self._counts("test", {key: (apply, everything) for key, apply in asked.items()})

    def without_images(self) -> "DenseProbe":
        """The probe for another process: it solves tokens, and can neither encode nor read a chip."""
        encoder = cast(TokenEncoder, _Encoded(self.encoder.device))
        splits = cast(dict[str, Split], {"train": _Unread(self._task)})
        return replace(self, encoder=encoder, splits=splits, progress=LogProgress)

    @property
    def _task(self) -> TaskSpec:
        return self.splits["train"].task

    @property
    def _penalties(self) -> tuple[float, ...]:
        return RIDGE_PENALTIES if self._task.kind == "dense_regression" else PENALTIES

    def _write(self, folder: Path) -> dict[str, Any]:
        slug = self.encoder.loaded.spec.slug
        progress = self.progress(f"dense probe of {slug} on {self._task.slug}", sum(map(len, self.splits.values())))
        began = time.perf_counter()
        with torch.inference_mode(), exact_float32():
            samples = self.sampled()
            progress.update(len(self.splits["train"]))
            encoded = time.perf_counter()
            solved = dict(self._solve(samples))
            solving = time.perf_counter()
            val = self._validated(solved)
            test = self.tested({key: one.apply for key, one in solved.items()})
            progress.update(len(self.splits["val"]) + len(self.splits["test"]))
            scored = time.perf_counter()
        progress.done()
        for split in self.splits.values():
            split.check_unchanged()
        rows = [self._row(tap, subset, one, samples, val) for (tap, subset), one in solved.items()]
        np.save(folder / "counts.npy", np.stack([test[key] for key in solved]))
        np.savez(folder / RESAMPLES, allow_pickle=False, **self._resampled(solved, val))
        seconds = {
            "extract": encoded - began + scored - solving,
            "solve": solving - encoded,
        }
        grid = self.encoder.grid(self.splits["train"].read(0))
        content = {"rows": [asdict(row) for row in rows], "seconds": seconds, "grid": grid}
        (folder / ROWS).write_text(json.dumps(content), encoding="utf-8")
        return {"seconds": sum(seconds.values())}

    def _solve(self, samples: dict[str, TokenSample]) -> Iterator[tuple[tuple[str, Subset], _Solved]]:
        for subset, budget in self.budgets.items():
            known = samples["train"].of(budget.train)
            self._check(known.targets, subset)
            final = dict(self._fitted(known))
            # (fits by tap, the split and chips that they did not see, the tokens of these)
            held = [(final, "val", budget.val, samples["val"].of(budget.val))]
            if budget.folds:
                held = [
                    (
                        dict(self._fitted(samples["train"].of(budget.without(k)))),
                        "train",
                        fold,
                        samples["train"].of(fold),
                    )
                    for k, fold in enumerate(budget.folds)
                ]
            weight = sum(float(tokens.weights.sum()) for *_, tokens in held)
            if weight == 0:
                raise DataError(
                    f"{self._task.slug}: no validation token has both data and a label at {subset[0]:g} of the labels, "
                    "so no penalty can be chosen: look at the images and labels of the validation chips"
                )
            for tap, coarse in final.items():
                near = near_minimum(np.sum([fits[tap].losses(tokens) for fits, *_, tokens in held], axis=0) / weight)
                exact = [(fits[tap].refined(near), name, chips, tokens) for fits, name, chips, tokens in held]
                losses = np.sum([fit.losses(tokens) for fit, *_, tokens in exact], axis=0) / weight
                index = int(np.argmin(losses))
                fit = coarse.refined([index]) if budget.folds else exact[0][0]
                validators = tuple((one.at(index), name, chips) for one, name, chips, _ in exact)
                yield (tap, subset), _Solved(fit.at(index), index, losses, validators, fit)

    def _fitted(self, tokens: TokenSample) -> Iterator[tuple[str, Fit]]:
        """Every tap fitted on some tokens."""
        fit = ridge if self._task.kind == "dense_regression" else logistic
        return fit(tokens, self.encoder.device)

    def _check(self, targets: NDArray[np.float64], subset: Subset) -> None:
        """Refuse labels that nothing can be learnt from."""
        regression = self._task.kind == "dense_regression"
        constant = not len(targets) or np.ptp(targets, axis=0).max() == 0
        if regression and constant:
            raise DataError(f"{self._task.slug}: the target of the training chips is constant: nothing to learn")
        if not regression:
            where = f"the training chips at {subset[0]:g} of the labels"
            check_classes(np.flatnonzero(targets.any(0)), self._task, where)

    def _validated(self, solved: Mapping[Key, _Solved]) -> dict[Key, NDArray[Any]]:
        """Counts of the chips that each map was chosen by."""
        found: dict[Key, list[NDArray[Any]]] = {key: [] for key in solved}
        for name in ("train", "val"):
            asked = {
                (key, number): (apply, chips)
                for key, one in solved.items()
                for number, (apply, split, chips) in enumerate(one.validators)
                if split == name
            }
            for (key, _), counts in self._counts(name, asked).items():
                found[key].append(counts)
        return {key: np.concatenate(parts) for key, parts in found.items()}

    def _resampled(self, solved: Mapping[Key, _Solved], val: Mapping[Key, NDArray[Any]]) -> dict[str, Stored]:
        """Per label fraction (taps, B) mean validation score over the draws; the same resamples for every tap."""
        weights = {
            name: resample_weights(len(split), self.seed, name, split.groups)
            for name, split in self.splits.items()
            if name != "test"
        }
        found: dict[float, dict[str, list[NDArray[np.float64]]]] = {}
        for (tap, subset), one in solved.items():
            # The counts of a map are in the order of its chips, and those of several in the order of the maps.
            own = np.concatenate([weights[name][:, np.sort(chips)] for _, name, chips in one.validators], axis=1)
            scores = resampled_quality(self._task, val[tap, subset], own)
            found.setdefault(subset[0], {}).setdefault(tap, []).append(scores)
        means = {f: np.stack([np.mean(draws, axis=0) for draws in taps.values()]) for f, taps in found.items()}
        return {str(fraction): as_stored(mean) for fraction, mean in means.items() if np.isfinite(mean).all()}

    def _counts(self, name: str, asked: Mapping[K, tuple[LinearMap, NDArray[np.int64]]]) -> dict[K, NDArray[Any]]:
        """(chips, ...) counts of the chips that every map is asked about; every chip is encoded once."""
        split, found = self.splits[name], {key: [] for key in asked}  # type: Split, dict[K, list[NDArray[Any]]]
        for item in sorted({int(item) for _, chips in asked.values() for item in chips}):
            own = {key: apply for key, (apply, chips) in asked.items() if item in chips}
            image, target = split.read_pair(item)
            shape = (int(target.shape[0]), int(target.shape[1]))
            windows = covering(*shape, self.encoder.size)
            values: dict[K, list[Tensor]] = {key: [] for key in own}
            for encoded in self.encoder.maps(image, windows):
                usable = encoded.with_data & self._labelled(target, encoded)
                for key, apply in own.items():
                    logits = apply(encoded.taps[apply.tap])
                    values[key] += enlarged(logits, usable, (self.encoder.size, self.encoder.size))
            for key, parts in values.items():
                whole = joined(parts, windows, shape)
                predicted = whole[0] if split.task.kind == "dense_regression" else whole.argmax(0)
                found[key].append(counts_of(split.task, target, predicted.cpu().numpy()))
        return {key: np.stack(counts) for key, counts in found.items()}

    def _labelled(self, target: NDArray[Any], encoded: WindowMaps) -> Tensor:
        """(B, h, w) bool, True for tokens that cover a labelled pixel: what is ignored has no say in what is scored."""
        grid = (encoded.with_data.shape[-2], encoded.with_data.shape[-1])
        parts = [cut_target(target, window, self._task) for window in encoded.windows]
        shares = [token_targets(part, grid, self._task)[1] for part in parts]
        return (torch.stack(shares) > 0).to(encoded.with_data.device)

    def _row(
        self,
        tap: str,
        subset: Subset,
        one: _Solved,
        samples: dict[str, TokenSample],
        val: Mapping[Key, NDArray[Any]],
    ) -> DenseRow:
        budget = self.budgets[subset]
        return DenseRow(
            tap=tap,
            fraction=subset[0],
            draw=subset[1],
            n_train=len(budget.train),
            n_val=budget.validated_on,
            cross_validated=bool(budget.folds),
            tokens=int(np.isin(samples["train"].chips, budget.train).sum()),
            chosen=self._penalties[one.index],
            at_edge=one.index in (0, len(self._penalties) - 1),
            val_loss=tuple(float(loss) for loss in one.losses),
            val_score=quality(self._task, val[tap, subset]),
            converged=one.fit.converged,
            iterations=one.fit.iterations,
            dropped_channels=one.apply.standardiser.dropped,
        )


def label_subsets(fractions: Sequence[float], draws: int) -> list[Subset]:
    """Label fractions of chips, with their draws: a hundredth of some dozens of chips would be none."""
    return [(f, draw) for f in fractions if f >= 0.1 for draw in range(1 if f == 1 else draws)]
