"""Output of a finished training: a float16 weight file, and a model card with its loss curve."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmarks.studies.pretrain.objectives import Normalise, Objective
from benchmarks.studies.pretrain.stream import PALETTE, PLACES, STREAM_VERSION, Shard, simulate_shard
from benchmarks.studies.pretrain.training import STRETCH, Plan, PretrainingState
from geofm_eval.backbones.pocket.vit import FINGERPRINT, STEMS, fingerprint, network, weights_name, with_stem
from geofm_eval.store import file_sha256, write_bytes

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

_MEASURED = -1
"""Shard for effective ranks; trainings never use negative ones."""


def save_weights(path: Path, tensors: dict[str, Tensor], plan: Plan, steps: int) -> str:
    """Write a weight file atomically: float16 tensors, and the output for a reference image as a check.

    Args:
        path: file to write.
        tensors: tensors by name.
        plan: plan of the training.
        steps: number of training steps.

    Returns:
        Sha256 of the file.
    """
    from safetensors.torch import save

    halved = {name: tensor.detach().cpu().half().contiguous() for name, tensor in tensors.items()}
    answers = {stem: _loaded(halved, stem) for stem in STEMS if stem == "s2" or _has_stem(halved, stem)}
    metadata = {
        "name": plan.name,
        "seed": str(plan.seed),
        "steps": str(steps),
        "stream": STREAM_VERSION,
        "timm": version("timm"),
        FINGERPRINT: json.dumps({stem: fingerprint(model).tolist() for stem, model in answers.items()}),
    }
    write_bytes(path, save(halved, metadata))
    return file_sha256(path)


def _has_stem(tensors: dict[str, Tensor], stem: str) -> bool:
    return any(name.startswith(STEMS[stem]) for name in tensors)


def _loaded(tensors: dict[str, Tensor], stem: str) -> "VisionTransformer":
    state = with_stem(tensors, stem)
    model = network(state["patch_embed.proj.weight"].shape[1])
    model.load_state_dict(state)
    model.eval()
    return model


def effective_rank(features: Tensor) -> float:
    """Return the effective rank of features: the exponential of the entropy of their normalised singular values.

    It is between 1 (collapsed to a line) and the width. Source: Roy and Vetterli 2007, The effective rank: a measure of
    effective dimensionality.

    Args:
        features: (n, p); columns are centred first.
    """
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    share = values / values.sum()
    return float(torch.exp(-(share * share.clamp_min(1e-300).log()).sum()))


@torch.inference_mode()
def measured_rank(tensors: dict[str, Tensor], normalise: Normalise, shard: Shard | None = None) -> float:
    """Return the effective rank of the final features (mean of the patches) on a shard that no training uses."""
    held_out = simulate_shard(_MEASURED) if shard is None else shard
    model = _loaded(tensors, "s2")
    parts = []
    for images in np.array_split(np.asarray(held_out.optical), max(1, len(held_out.optical) // 128)):
        pixels = normalise(torch.from_numpy(images.astype(np.float32)), "s2")
        parts.append(model.forward_features(pixels)[:, 1:].mean(1))
    return effective_rank(torch.cat(parts))


@dataclass(frozen=True)
class Card:
    """Content of a model card.

    Args:
        plan: plan of the training.
        objective: pretraining objective.
        trained: losses, time and devices.
        sha256: hash of the weight file.
        rank: effective rank of the final features.
        third: name of the weight file after a third of the steps, if there is one.
    """

    plan: Plan
    objective: type[Objective]
    trained: PretrainingState
    sha256: str
    rank: float
    third: str | None = None


def write_card(folder: Path, card: Card) -> None:
    """Write ``<name>_seed<s>.md`` and a figure of the loss curve."""
    name = weights_name(card.plan.name, card.plan.seed).removesuffix(".safetensors")
    write_bytes(folder / f"{name}.md", _text(card, name).encode())
    write_bytes(folder / f"{name}.png", _picture(card.trained.losses, name))


def _text(card: Card, name: str) -> str:
    plan, trained = card.plan, card.trained
    last, before = _last_tenths(trained.losses)
    facts = [
        f"Objective: {card.objective.task} ({card.objective.paper}).",
        f"Scenes: {plan.shards * PLACES:,} simulated places (stream {STREAM_VERSION}, palette `{PALETTE.name}`), "
        "half of them on two dates.",
        f"Training: {plan.steps:,} steps of {plan.batch} places ({plan.steps * plan.batch:,} in all), AdamW, learning "
        f"rate {plan.rate:g} with warm-up over 5 % of the steps and cosine decay to 0, weight decay {plan.decay:g}, "
        f"seed {plan.seed}.",
        f"Time: {trained.seconds / 60:.0f} minutes of training steps on {', '.join(trained.devices)}.",
        f"Loss: {last:.4f} over the last tenth of the steps, {before:.4f} over the tenth before: "
        f"{_flattened(last, before)}",
        f"Effective rank of the final features (mean of the patches, {PLACES * 3 // 2} held-out images): "
        f"{card.rank:.1f} of 64.",
        f"Weights: float16, sha256 {card.sha256}, made with torch {version('torch')} and timm {version('timm')}, MIT.",
    ]
    if card.third is not None:
        facts.append(
            f"`{card.third}` holds the weights of this training at step {plan.steps // 3:,}, before most of the decay."
        )
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"""# {name}

A Vision Transformer with 12 blocks of width 64 for 64 x 64 pixels and 13 Sentinel-2 bands, pretrained on simulated
scenes only. It is a positive control of this suite and says nothing about published models.

{listed}

Reproduce with `python -m benchmarks.studies.pretrain {plan.name} --seed {plan.seed}`.

![loss]({name}.png)

| step | loss |
|---|---|
{_rows(trained.losses, plan.steps)}
"""


def _last_tenths(losses: Sequence[float]) -> tuple[float, float]:
    tenth = max(1, len(losses) // 10)
    return float(np.mean(losses[-tenth:])), float(np.mean(losses[-2 * tenth : -tenth] or losses[:1]))


def _flattened(last: float, before: float) -> str:
    """``flat`` means an improvement of less than 1 % over the last tenth of the steps."""
    gained = (before - last) / abs(before)
    return "flat." if gained < 0.01 else f"still falling by {100 * gained:.1f} %; training ended at the step limit."


def _rows(losses: Sequence[float], steps: int) -> str:
    ends = [min((position + 1) * STRETCH, steps) for position in range(len(losses))]
    chosen = sorted({0, *np.linspace(0, len(losses) - 1, min(21, len(losses))).round().astype(int).tolist()})
    return "\n".join(f"| {ends[position]} | {losses[position]:.4f} |" for position in chosen)


def _picture(losses: Sequence[float], title: str) -> bytes:
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 2.6), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([(position + 1) * STRETCH for position in range(len(losses))], losses, linewidth=1)
    axes.set(xlabel="step", ylabel=f"loss, mean of {STRETCH} steps", title=title)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
