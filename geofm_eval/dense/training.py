"""The training loop of dense tasks: AdamW, best epoch by validation, the same numbers whether interrupted or not."""

import copy
import io
import json
import logging
import math
import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geofm_eval.catalog import TaskSpec
from geofm_eval.dense.batches import Batch, Samples
from geofm_eval.dense.losses import loss_of
from geofm_eval.dense.model import TunableModel
from geofm_eval.dense.plan import TrainingPlan, TrainingState, Validation
from geofm_eval.dense.prefetch import GPU_THREADS, Prefetcher
from geofm_eval.dense.recipes import TrainingRecipe
from geofm_eval.errors import ContractError, DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.seals import seal_bytes, unseal_bytes
from geofm_eval.seeds import generator
from geofm_eval.store import content_hash, write_bytes

log = logging.getLogger(__name__)

T = TypeVar("T")

Validate = Callable[[TunableModel, int], float]
"""From a network in eval mode and the number of epochs that it has seen to a score, greater is better."""

CHECKPOINT = "checkpoint.pt"

SECONDS_BETWEEN_CHECKPOINTS = 60.0

_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)
"""What reading a truncated or foreign checkpoint raises."""


def train(
    model: TunableModel,
    samples: Samples,
    task: TaskSpec,
    plan: TrainingPlan,
    validate: Validate,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    every: float = SECONDS_BETWEEN_CHECKPOINTS,
) -> TrainingState:
    """Train a network, going on where an earlier call stopped, and leave it as it was after its best epoch.

    All randomness of a step comes from the plan and the step's number, so that a training in pieces gives bit for bit
    what an uninterrupted one gives.

    Args:
        model: as it was made under ``fresh_weights`` of the plan's seed.
        samples: training set.
        task: for the loss.
        plan: schedule and seed.
        validate: score of a network in eval mode after an epoch, greater is better.
        folder: where the checkpoint is.
        device: where the network lives.
        every: seconds between checkpoints.

    Raises:
        ContractError: no example.
        DataError: the loss of a step is not finite.
    """
    if not len(samples):
        raise ContractError(f"task '{task.slug}': no training example with a label")
    loop = _Loop(model, samples, task, plan, torch.device(device))
    loop.resume(folder / CHECKPOINT)
    if loop.state.step == 0:
        loop.calibrate()
    saved = time.monotonic()
    try:
        while loop.state.step < loop.last_step:
            loop.advance()
            if loop.at_end_of_epoch:
                loop.end_epoch(validate)
            if time.monotonic() - saved > every:
                loop.save(folder / CHECKPOINT)
                saved = time.monotonic()
    finally:
        loop.batches.close()
    model.restore(loop.state.best)
    model.train(False)
    return loop.state


class _Loop:
    """A training between two steps."""

    def __init__(
        self, model: TunableModel, samples: Samples, task: TaskSpec, plan: TrainingPlan, device: torch.device
    ) -> None:
        self.model, self.samples, self.task, self.plan, self.device = model, samples, task, plan, device
        self.steps_per_epoch = steps_per_epoch(len(samples), plan.recipe)
        self.steps = self.steps_per_epoch * plan.epochs
        self.last_step = self.steps_per_epoch * (plan.until or plan.epochs)
        parameters = [*model.tuned, *model.new_parameters]
        self.optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=plan.recipe.decay)
        self.state = TrainingState()
        self.epoch_losses: list[float] = []
        self.batches = Prefetcher(self._batch, GPU_THREADS if device.type == "cuda" else 0, self.last_step)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next step belongs to."""
        return self.state.step // self.steps_per_epoch

    @property
    def at_end_of_epoch(self) -> bool:
        """True right after the last step of an epoch."""
        return self.state.step % self.steps_per_epoch == 0

    def calibrate(self) -> None:
        """Begin the running statistics of batch normalisation with those of the first batch.

        They begin at mean 0 and variance 1 and approach the truth by a tenth per step: features of a small variance
        would be scored through wrong statistics for a hundred steps, all that a training on few chips has.
        """
        norms = [module for module in self.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        norms = [module for module in norms if module.track_running_stats]
        kept = [module.momentum for module in norms]
        torch.manual_seed(_seed("calibrate", self.plan.seed, 0))
        self.model.train(True)
        for module in norms:
            module.momentum = 1.0
        batch = self._batch(0)
        with torch.no_grad():
            held = in_memory(lambda: self.model.values(batch, self.device))
        if held is None:
            raise self._too_large(len(batch.target), batch)
        for module, momentum in zip(norms, kept, strict=True):
            module.momentum = momentum

    def advance(self) -> None:
        """One optimiser step."""
        began = time.monotonic()
        step, recipe = self.state.step, self.plan.recipe
        torch.manual_seed(_seed("step", self.plan.seed, step))
        batch = self.batches.take(step)
        passed = sum(step >= int(share * self.steps) for share in recipe.milestones)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * recipe.factor**passed
        self.model.train(True)
        value = in_memory(lambda: self._backward(batch))
        if value is None:
            # Outside of any except block: the traceback would keep the failed step's activations alive.
            raise self._too_large(len(batch.target), batch)
        if not math.isfinite(value):
            self._refuse(value, batch)
        self.optimizer.step()
        self.epoch_losses.append(value)
        self.state.step += 1
        self.state.examples += len(batch.target)
        self.state.seconds += time.monotonic() - began

    def _backward(self, batch: Batch) -> float:
        """Gradients of a batch; its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = loss_of(self.task, self.model.values(batch, self.device), self._target(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _too_large(self, count: int, batch: Batch) -> ContractError:
        """What to do when the memory does not hold a batch: smaller ones are tried."""
        height, width = batch.target.shape[-2:]
        chosen = self._chosen(self.state.step)
        fits = next((size for size in _halves(count) if self._holds(chosen[:size])), None)
        advice = (
            f"a batch of {fits} fits: --batch {fits}" if fits else "not even a batch of 2 fits: take a smaller model"
        )
        return ContractError(
            f"task '{self.task.slug}', seed {self.plan.seed}: out of memory in step {self.state.step} with a batch of "
            f"{count} windows of {height} x {width} pixels; {advice}, or another --device"
        )

    def _holds(self, chosen: NDArray[np.int64]) -> bool:
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        batch = self.samples.batch(chosen, self.epoch)
        return in_memory(lambda: self._backward(batch)) is not None

    def _target(self, batch: Batch) -> Tensor:
        target = batch.target.to(self.device)
        mean, deviation = self.plan.scale
        return (target - mean) / deviation if target.is_floating_point() else target

    def _batch(self, step: int) -> Batch:
        return self.samples.batch(self._chosen(step), step // self.steps_per_epoch)

    def _chosen(self, step: int) -> NDArray[np.int64]:
        """Positions of the examples of a step."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = generator("order", self.plan.seed, epoch).permutation(len(self.samples))
        bounds = _bounds(len(self.samples), self.plan.recipe)
        chosen = order[bounds[number] : bounds[number + 1]]
        # Batch normalisation needs two examples to have a variance.
        return np.repeat(chosen, 2) if len(chosen) == 1 else chosen

    def _refuse(self, value: float, batch: Batch) -> NoReturn:
        raise DataError(
            f"task '{self.task.slug}', seed {self.plan.seed}: the loss is {value} at step {self.state.step} of "
            f"{self.steps} (chips {', '.join(batch.names)}): look at these chips, or lower the learning rate "
            f"({self.plan.rate:g}). The last checkpoint is kept"
        )

    def end_epoch(self, validate: Validate) -> None:
        """Note the epoch's loss; validate where it is time, and keep the network if it is the best."""
        done = self.epoch
        self.state.losses.append(sum(self.epoch_losses) / len(self.epoch_losses))
        self.epoch_losses = []
        if self.plan.until is not None:
            if done == self.plan.until:
                self.state.best = self.model.trained_state()
            return
        if done % self.plan.validate_every and done != self.plan.epochs:
            return
        self.model.train(False)
        with torch.inference_mode():
            score = validate(self.model, done)
        if not math.isfinite(score):
            raise DataError(
                f"task '{self.task.slug}', seed {self.plan.seed}: the validation score after epoch {done} is {score}: "
                "the validation chips have no label, or lack every class that is scored"
            )
        self.state.validations.append(Validation(done, score))
        if self.state.chosen.epoch == done:
            self.state.best = self.model.trained_state()

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = self.state
        numbers = {"step": state.step, "seconds": state.seconds, "examples": state.examples, "losses": state.losses}
        content = {
            "plan": self._identity,
            "network": self.model.trained_state(),
            "optimizer": self.optimizer.state_dict(),
            "best": state.best,
            "numbers": {**numbers, "epoch_losses": self.epoch_losses},
            "validations": [(one.epoch, one.score) for one in state.validations],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(path, seal_bytes(buffer.getvalue()))

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint; one that is damaged, or of another plan, is left behind with a warning."""
        if not path.exists():
            return
        fresh = self.model.trained_state(), copy.deepcopy(self.optimizer.state_dict())
        try:
            # PyTorch does not compare the checksums of the zip file: a flipped bit would train on in other numbers.
            file = io.BytesIO(unseal_bytes(path.read_bytes()))
            content = torch.load(file, map_location=self.device, weights_only=True)
            if content["plan"] != self._identity:
                log.warning("%s belongs to another training: it begins anew", path)
                return
            self.model.restore(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            numbers = dict(content["numbers"])
            self.epoch_losses = numbers.pop("epoch_losses")
            found = [Validation(epoch, score) for epoch, score in content["validations"]]
            self.state = TrainingState(**numbers, validations=found, best=content["best"])
        except _DAMAGE as error:
            log.warning("%s is damaged (%s): the training begins anew", path, error)
            self.model.restore(fresh[0])
            self.optimizer.load_state_dict(fresh[1])
            self.state, self.epoch_losses = TrainingState(), []
            return
        log.info("%s: going on at step %d of %d", path.parent.name, self.state.step, self.steps)

    @property
    def _identity(self) -> str:
        # What difference matters to the gate makes no other training.
        task = self.task.model_dump(mode="json", exclude={"delta"})
        return content_hash([self.plan.identity(), len(self.samples), json.dumps(task)])


def steps_per_epoch(count: int, recipe: TrainingRecipe) -> int:
    """Optimiser steps that an epoch over ``count`` examples takes."""
    return len(_bounds(count, recipe)) - 1


def _bounds(count: int, recipe: TrainingRecipe) -> list[int]:
    """Where the batches of an epoch begin and end; a last batch of one goes with the one before it."""
    batch = recipe.batch
    if recipe.drop_last and count >= batch:
        return list(range(0, count + 1, batch))
    bounds = [*range(0, count, batch), count]
    return [*bounds[:-2], count] if len(bounds) > 2 and count - bounds[-2] == 1 else bounds


def _halves(count: int) -> list[int]:
    """Smaller batches to try, down to two: 8 -> 4, 2, and 3 -> 2."""
    found = []
    while count > 2:
        count = max(count // 2, 2)
        found.append(count)
    return found


def checkpoints(key: str) -> Path:
    """Folder of an unfinished training."""
    return geofm_cache() / "trainings" / "checkpoints" / key


def in_memory(work: Callable[[], T]) -> T | None:
    """What some work gives; None where the memory does not hold it."""
    try:
        return work()
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        return None


def ran_out_of_memory(error: RuntimeError) -> bool:
    """True for what PyTorch raises when a GPU or the machine has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def fresh_weights(seed: int) -> None:
    """Seed torch's global generator for the new weights of a training."""
    torch.manual_seed(_seed("weights", seed, 0))


def _seed(what: str, seed: int, number: int) -> int:
    return int(generator("dense training", what, seed, number).integers(0, 2**63 - 1))
