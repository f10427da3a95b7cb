"""Checkpoint of an unfinished training, written completely or not at all; a damaged one is ignored."""

import copy
import io
import logging
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from geofm_eval.dense.model import TunableModel
from geofm_eval.dense.plan import TrainingState, Validation
from geofm_eval.paths import geofm_cache
from geofm_eval.seals import seal_bytes, unseal_bytes
from geofm_eval.store import write_bytes

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"

_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)
"""Errors of reading a truncated or foreign checkpoint."""


def checkpoints(key: str) -> Path:
    """Return the folder of an unfinished training."""
    return geofm_cache() / "trainings" / "checkpoints" / key


@dataclass(frozen=True)
class Checkpoint:
    """State of a training on disk until it is finished.

    Args:
        path: file.
        identity: hash of what determines the training; a file of another training is not used.
        steps: number of steps of the whole training, for messages.
    """

    path: Path
    identity: str
    steps: int

    def save(self, model: TunableModel, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Write the checkpoint, completely or not at all."""
        names = ("step", "seconds", "examples", "losses", "epoch_losses")
        content = {
            "plan": self.identity,
            "network": model.trained_state(),
            "optimizer": optimizer.state_dict(),
            "best": state.best,
            "numbers": {name: getattr(state, name) for name in names},
            "validations": [(one.epoch, one.score) for one in state.validations],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(self.path, seal_bytes(buffer.getvalue()))

    def resume(self, model: TunableModel, optimizer: torch.optim.Optimizer, device: torch.device) -> TrainingState:
        """Restore network and optimiser from the checkpoint; without a usable one, both are unchanged."""
        if not self.path.exists():
            return TrainingState()
        fresh = model.trained_state(), copy.deepcopy(optimizer.state_dict())
        try:
            # torch does not verify the checksums of the zip file, and a flipped bit would change parameters.
            file = io.BytesIO(unseal_bytes(self.path.read_bytes()))
            content = torch.load(file, map_location=device, weights_only=True)
            if content["plan"] != self.identity:
                log.warning("%s belongs to another training; this one starts from the beginning", self.path)
                return TrainingState()
            model.restore(content["network"])
            optimizer.load_state_dict(content["optimizer"])
            found = [Validation(epoch, score) for epoch, score in content["validations"]]
            state = TrainingState(**content["numbers"], validations=found, best=content["best"])
        except _DAMAGE as error:
            log.warning("%s is damaged (%s); the training starts from the beginning", self.path, error)
            model.restore(fresh[0])
            optimizer.load_state_dict(fresh[1])
            return TrainingState()
        log.info("%s: resumed at step %d of %d", self.path.parent.name, state.step, self.steps)
        return state
