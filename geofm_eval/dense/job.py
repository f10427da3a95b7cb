"""One dense training from names to a score: what is read, trained, chosen on validation and tested, kept on disk."""

import functools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.dense import FOUR_BLOCKS, block_taps
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.inspection import labelled
from geofm_eval.data.split import Split
from geofm_eval.dense.adapters import merge, plain_state
from geofm_eval.dense.batches import RandomCrops, Samples, StoredMaps
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.checkpoint import checkpoints
from geofm_eval.dense.config import Trained, TrainingConfig
from geofm_eval.dense.feature_maps import Encoding, FeatureMapBlock
from geofm_eval.dense.inference import ChipPredictor, Predictor, StoredPredictor, counts_of, predictions, quality
from geofm_eval.dense.losses import outputs_of
from geofm_eval.dense.model import DenseModel, TunableModel
from geofm_eval.dense.plan import TRAINING_VERSION, CrossValidated, TrainingPlan, TrainingState, Validation, best_of
from geofm_eval.dense.temporal import heads_of
from geofm_eval.dense.training import Validate, fresh_weights, train
from geofm_eval.dense.windows import covering, window_size
from geofm_eval.errors import DataError
from geofm_eval.extraction import exact_float32
from geofm_eval.features import block_key
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import content_hash, publish_directory

MANIFEST = "training.json"
NETWORK = "network.safetensors"
TESTED = "tested.json"
COUNTS = "counts.npy"


@dataclass(frozen=True)
class DenseJob:
    """One backbone, task and choice, for one seed.

    Args:
        load: loads the frozen backbone anew on every call: tuning changes it in place.
        adapter: of the model and the task.
        splits: train, val and test.
        budget: chips that may be seen; the same for all models.
        choice: decoder, tuning, taps and recipe.
        seed: of the new weights, the order of chips, windows and dropout.
        device: where to train.
        progress: starts the progress of each long piece of work.
    """

    load: Callable[[], LoadedBackbone]
    adapter: InputAdapter
    splits: Mapping[str, Split]
    budget: ChipBudget
    choice: TrainingConfig
    seed: int
    device: str = "cpu"
    progress: StartProgress = LogProgress

    @property
    def task(self) -> TaskSpec:
        """The task."""
        return self.splits["train"].task

    @property
    def _on_gpu(self) -> bool:
        return torch.device(self.device).type == "cuda"

    def at_rate(self, rate: float, validated: CrossValidated | None = None) -> Trained:
        """Train at one learning rate, or find it done in the cache.

        Args:
            rate: learning rate.
            validated: what folds have chosen the epoch by; None chooses it on the validation chips.
        """
        until = {} if validated is None else {"until": validated.chosen.epoch}
        key = content_hash({**self.identity, "rate": rate, "seed": self.seed, **until})
        path = geofm_cache() / "trainings" / "v1" / key
        publish_directory(path, lambda folder: self._train(rate, validated, key, folder), MANIFEST)
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["result"]
        tuples = {
            "validations": tuple((epoch, score) for epoch, score in content["validations"]),
            "losses": tuple(content["losses"]),
        }
        return Trained(path=path, **{**content, **tuples})

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides a training beside rate and seed."""
        loaded = self.loaded
        return {
            "blocks": {name: block_key(loaded, self.adapter, self.splits[name]) for name in ("train", "val")},
            "labels": {name: self.splits[name].labels_sha256 for name in ("train", "val")},
            "chips": {"train": self.budget.train.tolist(), "val": self.budget.val.tolist(), **self._folds},
            "choice": asdict(self.choice),
            "size": self.size,
            **self._windows,
            "task": [self.task.metric, self.task.ignore, len(self.task.classes)],
            "device": torch.device(self.device).type,
            "version": TRAINING_VERSION,
        }

    @property
    def _folds(self) -> dict[str, Any]:
        return {"folds": [fold.tolist() for fold in self.budget.folds]} if self.budget.folds else {}

    @property
    def _windows(self) -> dict[str, Any]:
        """What belongs to the identity of some trainings alone: windows to draw from, and how dates are joined."""
        shapes = self.splits["train"].shapes
        count = sum(len(covering(*shape, self.size)) for shape in shapes)
        drawn = {"windows": count} if not self._encodes_anew and count > len(shapes) else {}
        temporal, width = self.choice.recipe.temporal, self.adapter.model.width
        joined = {"dates": [temporal, heads_of(width)]} if (self.task.dates or 1) > 1 else {}
        return {**drawn, **joined}

    @property
    def _encodes_anew(self) -> bool:
        """True where windows are cut and encoded in every epoch."""
        return self.choice.tuning != "frozen" or self.choice.online

    @functools.cached_property
    def loaded(self) -> LoadedBackbone:
        """The frozen backbone."""
        return self.load()

    @functools.cached_property
    def size(self) -> int:
        """Pixels per side of a window."""
        return window_size(self.adapter.model.image_size, self.splits["train"].shapes) // self.choice.zoom

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of a regression target over the labelled training pixels; (0, 1) for classes.

        Raises:
            DataError: a constant target.
        """
        if self.task.kind != "dense_regression":
            return 0.0, 1.0
        split, chips = self.splits["train"], self.budget.train.tolist()
        # Chip by chip: all pixels of a large data set are more than memory holds.
        known = [_moments(target[labelled(target, self.task)]) for target in map(split.read_target, chips)]
        counts, means, squares = np.array(known, dtype=np.float64).T
        if not counts.any():
            raise DataError(f"{self.task.slug}: the {len(chips)} training chips have no label: nothing to learn")
        mean = float(np.average(means, weights=counts))
        deviation = float(np.sqrt(np.average(squares + (means - mean) ** 2, weights=counts)))
        if deviation == 0:
            raise DataError(
                f"{self.task.slug}: the {len(chips)} training chips have {mean:g} everywhere: nothing to learn"
            )
        return mean, deviation

    def _train(self, rate: float, validated: CrossValidated | None, key: str, folder: Path) -> dict[str, Any]:
        until = None if validated is None else validated.chosen.epoch
        model, done, encoding = self.trained_on(self.budget.train, rate, key, self._on_validation_chips, until)
        save_file({name: value.contiguous().cpu() for name, value in model.trained_state().items()}, folder / NETWORK)
        shutil.rmtree(checkpoints(key), ignore_errors=True)  # before the look: of changed data they are worth nothing
        self.check_unchanged("train", "val")
        validations = done.validations if validated is None else validated.validations
        return {"result": self._result(model, done, validations, rate, encoding), "identity": self.identity}

    def check_unchanged(self, *names: str) -> None:
        """Refuse splits whose files changed since the job's identity was taken; see ``Split.check_unchanged``."""
        for name in names:
            self.splits[name].check_unchanged()

    def trained_on(
        self, chips: NDArray[np.int64], rate: float, key: str, validate: Validate, until: int | None = None
    ) -> tuple[TunableModel, TrainingState, float]:
        """Train on some of the training chips.

        Args:
            chips: positions in the training split.
            rate: learning rate.
            key: where an interrupted training is found again.
            validate: see ``training.train``.
            until: see ``TrainingPlan``.

        Returns:
            The network, how it went, and the seconds that it took to encode the chips once.
        """
        plan = TrainingPlan(self.choice.recipe, rate, self.seed, self.choice.lengthened, self.scale, until)
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        with torch.random.fork_rng(), exact_float32():
            model = self.network()
            samples, seconds = self.samples(chips)
            done = train(model, samples, self.task, plan, validate, checkpoints(key), device=self.device)
        return model, done, seconds

    def _on_validation_chips(self, model: TunableModel, epoch: int) -> float:
        return quality(self.task, self.counts(model, "val", self.budget.val.tolist()))

    def _result(
        self, model: TunableModel, done: TrainingState, validations: Sequence[Validation], rate: float, encoding: float
    ) -> dict[str, Any]:
        ours, chosen = [*model.tuned, *model.new_parameters], best_of(validations)
        return {
            "rate": rate,
            "epoch": chosen.epoch,
            "val_score": chosen.score,
            "validations": [(one.epoch, one.score) for one in validations],
            "losses": done.losses,
            "seconds": {"encode": encoding, "train": done.seconds},
            "examples": done.examples,
            "trained_parameters": sum(parameter.numel() for parameter in ours),
            "total_parameters": sum(parameter.numel() for parameter in model.parameters()),
            "backbone_sha256": state_dict_sha256(plain_state(model.backbone)),
            "peak_memory_bytes": torch.cuda.max_memory_allocated(self.device) if self._on_gpu else None,
        }

    def network(self) -> TunableModel:
        """The network before its first step; PyTorch's global generator is used."""
        fresh_weights(self.seed)
        model = DenseModel(
            self.load().backbone,
            self.choice.tuning,
            self.choice.taps,
            self.choice.decoder,
            outputs_of(self.task),
            native=self.adapter.native,
            dates=self.task.dates or 1,
            temporal=self.choice.recipe.temporal,
            dtype=self.choice.recipe.dtype,
        )
        return model.to(self.device)

    def restored(self, trained: Trained) -> TunableModel:
        """The network of a finished training, in eval mode."""
        with torch.random.fork_rng():
            model = self.network()
        model.restore(load_file(trained.path / NETWORK, device=str(torch.device(self.device))))
        return model

    def merged(self, trained: Trained) -> TunableModel:
        """The network of a finished training in eval mode, low-rank updates written into the weights they change."""
        model = self.restored(trained)
        merge(model.backbone)
        return model

    def tested(self, trained: Trained) -> NDArray[Any]:
        """What is kept of every test chip, see ``inference.counts_of``; read from the cache where it was tested before.

        Only the training that validation chose should be tested.
        """
        split = self.splits["test"]
        path = (
            geofm_cache()
            / "trainings"
            / "tested"
            / content_hash([trained.path.name, block_key(self.loaded, self.adapter, split), split.labels_sha256])
        )

        def build(folder: Path) -> dict[str, Any]:
            np.save(folder / COUNTS, self.counts(self.restored(trained), "test", range(len(split))))
            self.check_unchanged("test")
            return {"ids": split.ids}

        publish_directory(path, build, TESTED)
        counts: NDArray[Any] = np.load(path / COUNTS, allow_pickle=False)
        return counts

    def predictions(self, trained: Trained, items: Sequence[int]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Target and prediction (height, width) of some test chips, one after another."""
        with exact_float32():
            yield from self.pairs(self.restored(trained), "test", items)

    def changed(self, trained: Trained) -> dict[str, Tensor]:
        """Tensors of the backbone that the training changed, by the backbone's own names, low-rank updates merged."""
        before = self.loaded.backbone.state_dict()
        after = plain_state(self.restored(trained).backbone)
        return {name: value for name, value in after.items() if not torch.equal(value, before[name])}

    def counts(self, model: TunableModel, name: str, items: Sequence[int]) -> NDArray[Any]:
        """What is kept of some chips of a split, see ``inference.counts_of``."""
        with exact_float32():
            return np.stack([counts_of(self.task, *pair) for pair in self.pairs(model, name, items)])

    def pairs(
        self, model: TunableModel, name: str, items: Sequence[int]
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Target and prediction (height, width) of some chips of a split, one after another."""
        assert isinstance(model, DenseModel)
        if name not in self._predictors:
            self._predictors[name] = self._predictor(name)
        return predictions(model, self._predictors[name], self.splits[name], items, self.scale)

    @functools.cached_property
    def _predictors(self) -> dict[str, Predictor]:
        return {}

    def samples(self, chips: NDArray[np.int64]) -> tuple[Samples, float]:
        """Examples of some training chips, and the seconds that it took to encode the split (0: in every epoch)."""
        split, choice = self.splits["train"], self.choice
        if self._encodes_anew:
            return RandomCrops(split, chips, self.adapter, self.size, self.seed, choice.recipe.flips), 0.0
        block = self._maps("train")
        targets = block.targets
        own: dict[int, list[int]] = {int(item): [] for item in chips}
        for row, (item, _) in enumerate(block.windows):
            if item in own and bool(labelled(np.asarray(targets[row]), self.task).any()):
                own[item].append(row)
        seen = {split.items[item].id: np.array(rows) for item, rows in own.items() if rows}
        maps = tuple(block.maps(tap) for tap in choice.taps)
        stored = StoredMaps(maps, targets, self.task, tuple(seen), tuple(seen.values()), self.seed)
        return stored, block.seconds

    def _predictor(self, name: str) -> Predictor:
        """Predicts whole chips of a split."""
        device = torch.device(self.device)
        if self.choice.tuning != "frozen":
            return ChipPredictor(self.adapter, self.size, device)
        block = self._maps(name)
        maps = tuple(block.maps(tap) for tap in self.choice.taps)
        return StoredPredictor(maps, block.windows, block.shapes, device)

    def _maps(self, name: str) -> FeatureMapBlock:
        """Maps of a split; the taps of the usual four blocks are kept together, so that decoders share them."""
        depth = self.adapter.model.depth
        usual = block_taps(FOUR_BLOCKS, depth) if depth >= len(FOUR_BLOCKS) else ()
        asked = tuple(dict.fromkeys(self.choice.taps))
        taps = usual if set(asked) <= set(usual) else asked
        device = torch.device(self.device)
        encoding = Encoding(self.loaded, self.adapter, self.splits[name], taps, self.size, device, self.progress)
        return encoding.stored()


def _moments(values: NDArray[Any]) -> tuple[int, float, float]:
    """Number, mean and variance; zeros where there is no value."""
    return (
        (values.size, float(values.mean(dtype=np.float64)), float(values.var(dtype=np.float64)))
        if values.size
        else (0, 0.0, 0.0)
    )
