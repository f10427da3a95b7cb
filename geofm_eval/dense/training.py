"""Training loop of dense tasks: AdamW, best epoch by validation, the same result whether interrupted or not."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, nn

from geofm_eval.catalog import TaskSpec
from geofm_eval.dense.batches import GPU_THREADS, Batch, Prefetcher, Samples
from geofm_eval.dense.checkpoint import CHECKPOINT, Checkpoint
from geofm_eval.dense.losses import loss_of
from geofm_eval.dense.model import TunableModel
from geofm_eval.dense.plan import BatchOrder, TrainingPlan, TrainingState, Validation
from geofm_eval.errors import ContractError, DataError
from geofm_eval.plurals import counted
from geofm_eval.seeds import generator
from geofm_eval.store import content_hash

T = TypeVar("T")

Validate = Callable[[TunableModel, int], float]
"""Maps a network in eval mode and its number of epochs to a score, greater is better."""

SECONDS_BETWEEN_CHECKPOINTS = 60.0


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
    """Train a network, resuming an earlier call, and leave it in the state after its best epoch.

    All randomness of a step derives from the plan and the number of the step, so that an interrupted training gives
    bit for bit the same result.

    Args:
        model: network made under ``fresh_weights`` with the plan's seed.
        samples: training set.
        task: determines the loss.
        plan: schedule and seed.
        validate: scores a network in eval mode after an epoch, greater is better.
        folder: folder of the checkpoint.
        device: device of the network.
        every: seconds between checkpoints.

    Raises:
        ContractError: there are no examples, or a batch does not fit into memory.
        DataError: a loss or a validation score is not finite.
    """
    loop = _Loop(model, samples, task, plan, torch.device(device))
    checkpoint, saved = Checkpoint(folder / CHECKPOINT, loop.identity, loop.steps), time.monotonic()
    loop.begin(checkpoint)
    with closing(loop.batches):
        while loop.state.step < loop.last_step:
            loop.advance()
            loop.end_epoch(validate)
            if time.monotonic() - saved > every:
                checkpoint.save(model, loop.optimizer, loop.state)
                saved = time.monotonic()
    model.restore(loop.state.best)
    model.train(False)
    return loop.state


class _Loop:
    """A training between two steps."""

    def __init__(
        self, model: TunableModel, samples: Samples, task: TaskSpec, plan: TrainingPlan, device: torch.device
    ) -> None:
        if not len(samples):
            raise ContractError(
                f"task '{task.slug}': found no training example with a label; use a larger label fraction"
            )
        self.model, self.samples, self.task, self.plan, self.device = model, samples, task, plan, device
        self.order = BatchOrder(len(samples), plan.recipe, plan.seed)
        self.steps_per_epoch = self.order.steps_per_epoch
        self.steps = self.steps_per_epoch * plan.epochs
        self.last_step = self.steps_per_epoch * (plan.until or plan.epochs)
        parameters = [*model.tuned, *model.new_parameters]
        self.optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=plan.recipe.decay)
        self.state = TrainingState()
        self.batches = Prefetcher(self._batch, GPU_THREADS if device.type == "cuda" else 0, self.last_step)

    @property
    def identity(self) -> str:
        """Hash of what determines the training; the difference that matters to the gate does not."""
        task = self.task.model_dump(mode="json", exclude={"delta"})
        return content_hash([self.plan.identity(), len(self.samples), json.dumps(task)])

    def begin(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint; without one, calibrate the network."""
        self.state = checkpoint.resume(self.model, self.optimizer, self.device)
        if self.state.step == 0:
            self._calibrate()

    def _calibrate(self) -> None:
        """Set the running statistics of batch normalisation to those of the first batch.

        From the usual start, mean 0 and variance 1, they converge by a tenth per step: features of small variance would
        be scored with wrong statistics for a hundred steps, which is all of a training on few chips.
        """
        torch.manual_seed(_seed("calibrate", self.plan.seed, 0))
        self.model.train(True)
        batch = self._batch(0)
        with torch.no_grad(), _adopting(self.model):
            held = in_memory(lambda: self.model.values(batch, self.device))
        if held is None:
            raise self._too_large(batch)

    def advance(self) -> None:
        """Take one optimiser step."""
        began = time.monotonic()
        step, recipe = self.state.step, self.plan.recipe
        torch.manual_seed(_seed("step", self.plan.seed, step))
        batch = self.batches.take(step)
        passed = sum(step >= int(share * self.steps) for share in recipe.milestones)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * recipe.factor**passed
        if not self.model.training:  # only after a validation, because visiting every module takes a millisecond
            self.model.train(True)
        value = in_memory(lambda: self._backward(batch))
        if value is None:
            # Outside any except block, because the traceback would keep the failed step's activations in memory.
            raise self._too_large(batch)
        if not math.isfinite(value):
            self._refuse(value, batch)
        self.optimizer.step()
        self.state.epoch_losses.append(value)
        self.state.step += 1
        self.state.examples += len(batch.target)
        self.state.seconds += time.monotonic() - began

    def _backward(self, batch: Batch) -> float:
        """Compute the gradients of a batch, and return its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = loss_of(self.task, self.model.values(batch, self.device), self._target(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _too_large(self, batch: Batch) -> ContractError:
        count, (height, width) = len(batch.target), batch.target.shape[-2:]
        return ContractError(
            f"task '{self.task.slug}', seed {self.plan.seed}: out of memory in step {self.state.step} with a batch of "
            f"{counted(count, 'window')} of {height} x {width} pixels; {_advice(count, self._holds)}, or another "
            "--device"
        )

    def _holds(self, size: int) -> bool:
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        step = self.state.step
        batch = self.samples.batch(self.order.chosen(step)[:size], step // self.steps_per_epoch)
        return in_memory(lambda: self._backward(batch)) is not None

    def _target(self, batch: Batch) -> Tensor:
        target = batch.target.to(self.device)
        mean, deviation = self.plan.scale
        return (target - mean) / deviation if target.is_floating_point() else target

    def _batch(self, step: int) -> Batch:
        return self.samples.batch(self.order.chosen(step), step // self.steps_per_epoch)

    def _refuse(self, value: float, batch: Batch) -> NoReturn:
        raise DataError(
            f"task '{self.task.slug}', seed {self.plan.seed}: the loss is {value} at step {self.state.step} of "
            f"{self.steps} (chips {', '.join(batch.names)}). Check these chips, or lower the learning rate "
            f"({self.plan.rate:g}); the last checkpoint is kept"
        )

    def end_epoch(self, validate: Validate) -> None:
        """At the end of an epoch, record its loss, validate if due, and keep the network if it is the best."""
        done, left = divmod(self.state.step, self.steps_per_epoch)
        if left:
            return
        self.state.losses.append(sum(self.state.epoch_losses) / len(self.state.epoch_losses))
        self.state.epoch_losses = []
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
                f"task '{self.task.slug}', seed {self.plan.seed}: the validation score after epoch {done} is {score}; "
                "check that the validation chips have labels of every scored class"
            )
        self.state.validations.append(Validation(done, score))
        if self.state.chosen.epoch == done:
            self.state.best = self.model.trained_state()


@contextmanager
def _adopting(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation replace its running statistics by those of the next batch."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    norms = [module for module in norms if module.track_running_stats]
    kept = [module.momentum for module in norms]
    for module in norms:
        module.momentum = 1.0
    yield
    for module, momentum in zip(norms, kept, strict=True):
        module.momentum = momentum


def fresh_weights(seed: int) -> None:
    """Seed torch's global generator for the new weights of a training."""
    torch.manual_seed(_seed("weights", seed, 0))


def _seed(what: str, seed: int, number: int) -> int:
    return int(generator("dense training", what, seed, number).integers(0, 2**63 - 1))


def in_memory(work: Callable[[], T]) -> T | None:
    """Return the result of some work; None if it does not fit into memory."""
    try:
        return work()
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        return None


def ran_out_of_memory(error: RuntimeError) -> bool:
    """Return True for errors that torch raises when a GPU or the machine runs out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _advice(count: int, holds: Callable[[int], bool]) -> str:
    """Suggest a smaller batch than ``count`` examples, by trying."""
    fits = next((size for size in _halves(count) if holds(size)), None)
    return f"a batch of {fits} fits: --batch {fits}" if fits else "not even a batch of 2 fits; choose a smaller model"


def _halves(count: int) -> list[int]:
    """Smaller batches to try, down to two: 8 gives 4 and 2, 3 gives 2."""
    found = []
    while count > 2:
        count = max(count // 2, 2)
        found.append(count)
    return found
