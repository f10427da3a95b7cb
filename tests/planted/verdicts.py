"""Runs in which the verdict on a claim is planted: every verdict of every claim."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.planted.findings import (
    DENSE_TASKS,
    FACTORIAL_TASKS,
    decoders,
    drifts,
    everywhere,
    probe,
    probes,
    singles,
    trained,
)
from tests.planted.ranking import planted_run

VERDICTS = ("supported", "refuted", "undecided", "not enough records")


@dataclass(frozen=True)
class Planted:
    """A verdict, and how to plant records that lead to it.

    Args:
        number: of the claim.
        claim: beginning of its title; of a claim whose parts are planted alike, nothing.
        verdict: that the records must lead to.
        plant: writes the records of a run into a folder.
    """

    number: int
    claim: str
    verdict: str
    plant: Callable[[Path], Path]

    @property
    def id(self) -> str:
        """Such as ``2-depth-profiles-refuted``."""
        return "-".join([str(self.number), *self.claim.split(), *self.verdict.split()])


def _crossing(folder: Path, lead: float, back: float, **how: object) -> Path:
    """Two backbones on two tasks: one leads by ``lead`` on the first, the other by ``back`` on the second."""
    levels = {"t_one": {"m_one": 0.7 + lead, "m_two": 0.7}, "t_two": {"m_one": 0.7, "m_two": 0.7 + back}}
    return planted_run(folder, levels, **how)


def _profiles(folder: Path, *profiles: tuple[float, float, float], **how: object) -> Path:
    for model, profile in zip(("m_one", "m_two", "m_three"), profiles, strict=False):
        probes(folder, everywhere(0.0, (model,), PROFILE_TASKS), profile=profile, **how)
    return folder


def _imagenet(folder: Path, shift: float, model: str = "imagenet_vitb16", **how: object) -> Path:
    """The ImageNet model next to three backbones, one of which is the best by validation and by test."""
    cases = itertools.product(DENSE_TASKS, ("lightms_full_p010", "lightms_full_p100", "upernet_w064_full_p100"))
    for task, adaptation in cases:
        for name, own in ((model, shift), ("m_one", 0.0), ("m_two", -0.02), ("m_four", -0.03)):
            trained(folder, name, adaptation, "multi", own, task=task, **how)
    return folder


def _unknown(folder: Path, **how: object) -> Path:
    """Two backbones on two tasks, without outcomes per item."""
    for model, task in everywhere(0.0):
        probe(folder, model, task, 0.0, outcomes=False, **how)
    return folder


PROFILE_TASKS = ("t_one", "t_two", "t_three", "t_four", "t_five")
APART = ((0.0, 0.1, 0.0), (0.1, 0.0, 0.0), (0.0, 0.0, 0.1))
ALIKE = ((0.0, 0.1, 0.05),) * 3
AHEAD, BEHIND, EITHER = (0.3, 0.31, 0.29), (-0.3, -0.31, -0.29), (-0.3, 0.3, 0.1)

PLANS: dict[tuple[int, str], tuple[Callable[[Path], Path], ...]] = {
    (1, "rankings"): (
        partial(_crossing, lead=0.1, back=0.1),
        partial(_crossing, lead=0.1, back=-0.1),
        partial(_crossing, lead=0.02, back=0.02, n=200, noise=0.3),
        _unknown,
    ),
    (2, "the tap"): (
        partial(probes, gains=everywhere(0.05)),
        partial(probes, gains=everywhere(0.0)),
        partial(probes, gains=everywhere(0.0), n=100, flips=0.2),
        partial(probes, gains=everywhere(0.05, models=("m_one", "m_two"))),
    ),
    (2, "depth profiles"): (
        lambda folder: _profiles(folder, *APART),
        lambda folder: _profiles(folder, *ALIKE),
        lambda folder: _profiles(folder, *ALIKE, noise=0.05),
        lambda folder: _profiles(folder, APART[0]),
    ),
    (3, "the adaptation"): (
        partial(decoders, backbone=0.02, decoder=0.06, tuning=0.0),
        partial(decoders, backbone=0.06, decoder=0.005, tuning=0.005),
        partial(decoders, backbone=0.04, decoder=0.05, tuning=0.05, noise=0.06),
        partial(decoders, backbone=0.02, decoder=0.06, tuning=0.0, tasks=FACTORIAL_TASKS[:4]),
    ),
    (4, "a single-level"): (
        partial(singles, shifts={"block05": 0.0, "block07": 0.05, "block11": 0.0}),
        partial(singles, shifts={"block05": 0.0, "block07": 0.0, "block11": 0.0}),
        partial(singles, shifts={"block05": 0.0, "block07": 0.0, "block11": 0.0}, noise=0.05),
        partial(singles, shifts={"block05": 0.0, "block07": 0.05, "block11": 0.0}, tasks=DENSE_TASKS[:2]),
    ),
    (5, ""): (
        partial(drifts, lead=AHEAD, depth=AHEAD),
        partial(drifts, lead=BEHIND, depth=BEHIND),
        partial(drifts, lead=EITHER, depth=EITHER),
        partial(drifts, lead=AHEAD, depth=AHEAD, tasks=DENSE_TASKS[:2]),
    ),
    (6, "a fine-tuned"): (
        partial(_imagenet, shift=0.0),
        partial(_imagenet, shift=-0.05),
        partial(_imagenet, shift=0.0, noise=0.05),
        partial(_imagenet, shift=0.0, model="m_three"),
    ),
}
"""By number and beginning of the title: what leads to each of ``VERDICTS``."""

PLANTED = tuple(
    Planted(number, claim, verdict, plant)
    for (number, claim), plans in PLANS.items()
    for verdict, plant in zip(VERDICTS, plans, strict=True)
)
