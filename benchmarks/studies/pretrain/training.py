"""Pretraining loop: one schedule, complete checkpoints, and identical results whether interrupted or not."""

import io
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.studies.pretrain.objectives import OBJECTIVES, Normalise, Objective
from benchmarks.studies.pretrain.stream import STREAM_VERSION, Stream
from geofm_eval.catalog import ModelSpec
from geofm_eval.errors import WeightsError
from geofm_eval.seals import seal_bytes, unseal_bytes
from geofm_eval.seeds import generator
from geofm_eval.store import write_bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Everything that determines the result of a training.

    Args:
        name: name of the pocket.
        seed: seed of initial weights, views and the order of scenes; the scenes are the same for all seeds.
        steps: optimiser steps; the learning rate falls to zero over them.
        batch: places per step.
        shards: distinct shards of the stream.
        rate: peak learning rate, reached after 5 % of the steps.
        decay: weight decay of matrices.
    """

    name: str
    seed: int
    steps: int
    batch: int = 128
    shards: int = 96
    rate: float = 1e-3
    decay: float = 0.05


STEPS = {
    "pocket_contrast": 2000,
    "pocket_distill": 1400,
    "pocket_mae": 6000,
    "pocket_crossmodal": 4000,
    "pocket_supervised": 2000,
}
"""Optimiser steps by pocket; they took 29 to 87 minutes on a CPU, as the model cards state."""


@dataclass
class PretrainingState:
    """State of a training.

    Args:
        objective: backbone and heads.
        losses: mean loss of every ``STRETCH`` steps.
        seconds: time spent in steps, over all calls.
        steps: finished steps.
        devices: kinds of devices that were used.
    """

    objective: Objective
    losses: list[float]
    seconds: float
    steps: int
    devices: list[str]


STRETCH = 50
"""Steps over which the loss is averaged for the curve; also the least number of steps between two checkpoints."""


def normaliser(optical: ModelSpec, radar: ModelSpec) -> Normalise:
    """Return the normalisation of two catalog entries, so that pretraining and evaluation agree."""
    tables = {}
    for sensor, spec in (("s2", optical), ("s1", radar)):
        numbers = (torch.tensor(part)[:, None, None] for part in (spec.normalisation.mean, spec.normalisation.std))
        tables[sensor] = tuple(numbers)

    def normalise(pixels: Tensor, sensor: str) -> Tensor:
        mean, deviation = tables[sensor]
        return (pixels - mean.to(pixels.device)) / deviation.to(pixels.device)

    return normalise


def train(
    plan: Plan,
    stream: Stream,
    normalise: Normalise,
    folder: Path,
    *,
    device: str = "cpu",
    stop_after: int | None = None,
    every: float = 120.0,
) -> Iterator[PretrainingState]:
    """Train, or resume an earlier call; yield the state after every checkpoint and at the end.

    All randomness of a step follows from the plan and the step number, so that an interrupted training is bit-identical
    to an uninterrupted one.

    Args:
        plan: plan of the training.
        stream: scenes.
        normalise: see ``normaliser``.
        folder: folder of checkpoints; the last two are kept in case one is damaged.
        device: torch device.
        stop_after: stop after this many steps; the schedule is unchanged.
        every: seconds between checkpoints.

    Raises:
        WeightsError: all checkpoints are damaged, belong to another plan, or the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(plan, -1))
        state = _State(plan, OBJECTIVES[plan.name](normalise).to(device), device)
        state.resume(folder)
        goal = min(plan.steps, stop_after or plan.steps)
        saved = time.monotonic()
        while state.step < goal:
            state.advance(stream)
            if state.step == plan.steps // 3:
                state.keep_third(folder)
            ends = state.step % STRETCH == 0
            if state.step == goal or (ends and time.monotonic() - saved > every):
                state.save(folder)
                saved = time.monotonic()
                if state.step < goal:
                    yield state.trained()
        yield state.trained()


class _State:
    """Content of a checkpoint."""

    def __init__(self, plan: Plan, objective: Objective, device: str) -> None:
        self.plan, self.objective, self.device = plan, objective, device
        parameters = [value for value in objective.parameters() if value.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parameters = parameters
        self.optimizer = torch.optim.AdamW(
            groups, lr=plan.rate, betas=(0.9, 0.95 if plan.name == "pocket_mae" else 0.999)
        )
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self.stretch: list[float] = []
        self.devices: list[str] = []

    def advance(self, stream: Stream) -> None:
        """Take one optimiser step."""
        began = time.monotonic()
        torch.manual_seed(_seed(self.plan, self.step))
        rng = generator("pretraining order", self.plan.name, self.plan.seed, self.step)
        batch = stream.batch(rng, self.step, self.plan.batch, landscapes=self.objective.landscapes).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.plan, self.step)
        loss = self.objective.loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise WeightsError(
                f"{self.plan.name} seed {self.plan.seed}: the loss is {value} at step {self.step}; lower the learning "
                "rate (--rate). Earlier checkpoints are kept"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        self.objective.after_step(self.step / self.plan.steps)
        self.stretch.append(value)
        if self.step % STRETCH == 0 or self.step == self.plan.steps:
            self.losses.append(sum(self.stretch) / len(self.stretch))
            self.stretch = []
        self.seconds += time.monotonic() - began

    def trained(self) -> PretrainingState:
        """Return the public view of the state."""
        return PretrainingState(self.objective, list(self.losses), self.seconds, self.step, list(self.devices))

    def save(self, folder: Path) -> None:
        """Write a checkpoint and keep the previous one."""
        if self.device not in self.devices:
            self.devices.append(self.device)
        content = {
            "plan": json.dumps(_identity(self.plan)),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(folder / f"step{self.step:06d}.pt", seal_bytes(buffer.getvalue()))
        for old in _checkpoints(folder)[:-2]:
            old.unlink()

    def keep_third(self, folder: Path) -> None:
        """Save the weights after a third of the steps, published as an older version of the backbone."""
        buffer = io.BytesIO()
        torch.save(self.objective.published(), buffer)
        write_bytes(folder / THIRD, seal_bytes(buffer.getvalue()))

    def resume(self, folder: Path) -> None:
        """Load the newest intact checkpoint; log and skip damaged ones."""
        damaged = []
        for path in reversed(_checkpoints(folder)):
            try:
                content = load_sealed(path, self.device)
                given = json.loads(content["plan"])
                objective, optimizer, numbers = content["objective"], content["optimizer"], content["numbers"]
            except Exception as error:  # A truncated file makes torch raise almost anything.
                log.warning("%s is damaged and skipped: %s", path, error)
                damaged.append(path.name)
                continue
            self._refuse_other_plan(path, given)
            self.objective.load_state_dict(objective)
            self.optimizer.load_state_dict(optimizer)
            for name in _NUMBERS:
                setattr(self, name, numbers[name])
            return
        if damaged:
            raise WeightsError(
                f"{folder}: no checkpoint can be read ({', '.join(damaged)}); delete them to start from the beginning"
            )

    def _refuse_other_plan(self, path: Path, given: dict[str, Any]) -> None:
        wanted = _identity(self.plan)
        differ = {name: (given.get(name), wanted[name]) for name in wanted if given.get(name) != wanted[name]}
        if differ:
            found = "; ".join(f"{name} was {old}, is {new}" for name, (old, new) in differ.items())
            raise WeightsError(f"{path} belongs to another training ({found}); choose another --out, or delete it")


def load_sealed(path: Path, device: str = "cpu") -> Any:
    """Load a file that was saved with its checksum.

    Raises:
        Exception: the file is damaged; for a truncated file, torch can raise almost anything.
    """
    return torch.load(io.BytesIO(unseal_bytes(path.read_bytes())), map_location=device, weights_only=True)


THIRD = "third.pt"
"""File name of the weights after a third of the steps."""

_NUMBERS = ("step", "seconds", "losses", "stretch", "devices")


def _identity(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan), "stream": STREAM_VERSION}


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step*.pt"))


def learning_rate(plan: Plan, step: int) -> float:
    """Return the learning rate: linear warm-up over 5 % of the steps, then cosine decay to zero."""
    warm = max(1, plan.steps // 20)
    if step < warm:
        return plan.rate * (step + 1) / warm
    return plan.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, plan.steps - warm)))


def _seed(plan: Plan, step: int) -> int:
    return int(generator("pretraining", plan.name, plan.seed, step).integers(2**62))
