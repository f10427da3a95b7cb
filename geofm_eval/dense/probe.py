"""The dense probe: one linear map per tap from tokens to classes, solved to its optimum and scored on pixels.

The target of a token follows from its labelled pixels: class proportions for multinomial logistic regression, their
mean for ridge. Logits are enlarged bilinearly (aligned pixel areas), so that a depth profile costs about one pass of
the frozen backbone. Tokens without data or without labelled pixels are ignored (``maps.enlarged``).
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.data.split import Split
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.fits import LinearMap
from geofm_eval.dense.inference import quality
from geofm_eval.dense.pixel_counts import K, count_pixels, resampled_scores, validation_counts
from geofm_eval.dense.sweep import DenseRow, DenseSweep
from geofm_eval.dense.token_problem import Subset, TokenProblem, TokenSolution
from geofm_eval.dense.tokens import TokenEncoder, TokenSample, sample_tokens
from geofm_eval.extraction import exact_float32
from geofm_eval.feature_blocks import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import StartProgress
from geofm_eval.store import content_hash, publish_directory

DENSE_PROBE_VERSION = 4
"""Part of every key; increase it with every change of results."""

MANIFEST = "dense_probe.json"
ROWS = "rows.json"
RESAMPLES = "resamples.npz"


@dataclass(frozen=True)
class DenseProbe:
    """The dense probe of one model and task.

    Args:
        encoder: frozen backbone and windows.
        splits: train, val and test.
        budgets: chips of every label subset.
        seed: seed of the task.
        progress: starts the progress display of the pass.
    """

    encoder: TokenEncoder
    splits: Mapping[str, Split]
    budgets: Mapping[Subset, ChipBudget]
    seed: int
    progress: StartProgress

    @property
    def key(self) -> str:
        """Hash of everything that determines the result, known before anything is encoded."""
        loaded, adapter = self.encoder.loaded, self.encoder.adapter
        return content_hash(
            {
                "blocks": {name: block_key(loaded, adapter, split) for name, split in self.splits.items()},
                "labels": {name: split.labels_sha256 for name, split in self.splits.items()},
                "chips": [
                    [*subset, b.train.tolist(), b.val.tolist(), [fold.tolist() for fold in b.folds]]
                    for subset, b in self.budgets.items()
                ],
                "task": [self.problem.task.metric, self.problem.task.ignore, len(self.problem.task.classes)],
                "size": self.encoder.size,
                "seed": self.seed,
                "device": self.encoder.device.type,
                "version": DENSE_PROBE_VERSION,
            }
        )

    @property
    def problem(self) -> TokenProblem:
        """The problem to solve, for any model."""
        return TokenProblem(self.splits["train"].task, self.budgets, self.encoder.device)

    def stored(self) -> DenseSweep:
        """Return the solved probe; solve it first if the cache lacks it.

        Raises:
            DataError: the training chips have only one class, or a constant target.
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
        penalties, size = self.problem.penalties, self.encoder.size
        return DenseSweep(self.key, rows, counts, penalties, content["seconds"], grid, size, resamples)

    def sampled(self) -> dict[str, TokenSample]:
        """Encode tokens of the training and the validation chips."""
        return {name: sample_tokens(self.encoder, self.splits[name], self.seed) for name in ("train", "val")}

    def tested(self, asked: Mapping[K, LinearMap]) -> dict[K, NDArray[Any]]:
        """Return counts (chips, ...) of the test chips for every map, in one pass."""
        split = self.splits["test"]
        return count_pixels(self.encoder, split, {key: (apply, np.arange(len(split))) for key, apply in asked.items()})

    def _write(self, folder: Path) -> dict[str, Any]:
        sizes = {name: len(split) for name, split in self.splits.items()}
        name = f"dense probe of {self.encoder.loaded.spec.slug} on {self.problem.task.slug}"
        progress, began = self.progress(name, sum(sizes.values())), time.perf_counter()
        with torch.inference_mode(), exact_float32():
            samples = self.sampled()
            progress.update(sizes["train"])
            encoded = time.perf_counter()
            solved = self.problem.solved(samples)
            solving = time.perf_counter()
            val = validation_counts(self.encoder, self.splits, solved)
            test = self.tested({key: one.apply for key, one in solved.items()})
            progress.update(sizes["val"] + sizes["test"])
            scored = time.perf_counter()
        progress.done()
        for split in self.splits.values():
            split.check_unchanged()
        rows = [asdict(self._row(*key, one, samples["train"], val[key])) for key, one in solved.items()]
        np.save(folder / "counts.npy", np.stack([test[key] for key in solved]))
        np.savez(folder / RESAMPLES, allow_pickle=False, **resampled_scores(self.splits, self.seed, solved, val))
        seconds = {"extract": encoded - began + scored - solving, "solve": solving - encoded}
        content = {"rows": rows, "seconds": seconds, "grid": self.encoder.grid(self.splits["train"].read(0))}
        (folder / ROWS).write_text(json.dumps(content), encoding="utf-8")
        return {"seconds": sum(seconds.values())}

    def _row(self, tap: str, subset: Subset, one: TokenSolution, train: TokenSample, val: NDArray[Any]) -> DenseRow:
        budget, penalties = self.budgets[subset], self.problem.penalties
        return DenseRow(
            tap=tap,
            fraction=subset[0],
            draw=subset[1],
            n_train=len(budget.train),
            n_val=budget.validated_on,
            cross_validated=bool(budget.folds),
            tokens=int(np.isin(train.chips, budget.train).sum()),
            chosen=penalties[one.index],
            at_edge=one.index in (0, len(penalties) - 1),
            val_loss=tuple(float(loss) for loss in one.losses),
            val_score=quality(self.problem.task, val),
            converged=one.fit.converged,
            iterations=one.fit.iterations,
            dropped_channels=one.apply.standardiser.dropped,
        )


def label_subsets(fractions: Sequence[float], draws: int) -> list[Subset]:
    """Return label fractions with their draws, without fractions below a tenth, which would have hardly any chip."""
    return [(f, draw) for f in fractions if f >= 0.1 for draw in range(1 if f == 1 else draws)]
