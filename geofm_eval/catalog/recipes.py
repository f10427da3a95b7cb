"""Recipes, which hold for all models of a study, and adaptations, which say how frozen features are probed."""

from typing import Literal

from pydantic import Field

from geofm_eval.catalog.base import SLUG, Spec


class Recipe(Spec):
    """What a study fixes for every backbone.

    Args:
        normalisation: ``native``, each model its own; ``dataset``, the z-score of the task's own statistics for all.
        temporal: what becomes of a time series: ``native``, models that take time get all dates at once; ``per_date``,
            every model sees one date after another. Models that take no time see one date after another either way.
        fill: what stands for absent bands and invalid pixels: the mean of the band, over the model's pretraining corpus
            (``fill_means``) under its own normalisation, over the task's training pixels under the data set's.
        version: raised whenever the recipe would give other numbers; records of two versions never share a table.
    """

    slug: str = Field(pattern=SLUG)
    title: str
    version: int = Field(default=1, ge=1)
    normalisation: Literal["native", "dataset"] = "native"
    resize: Literal["native"] = "native"
    temporal: Literal["native", "per_date"] = "native"
    fill: Literal["band_mean"] = "band_mean"
    pooling: Literal["mean"] = "mean"
    val_budget: Literal["matched", "full"] = "matched"


def is_neuco(adaptation: str) -> bool:
    """True for NeuCo-Bench's own probe, faithful or mended: in a table of its own, in no ranking, verdict or range."""
    return adaptation.split("_")[0] == "adamw"


class Adaptation(Spec):
    """How a frozen backbone is used for a task: a probe and the pooling that it reads."""

    slug: str = Field(pattern=SLUG)
    probe: Literal["knn", "linear", "ridge", "adamw", "adamw_mended"]
    pooling: Literal["mean", "cls"]
    suites: tuple[str, ...] = ("study",)
    variant_of: str | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of task that the probe serves; tasks with a label per pixel are probed token by token."""
        if is_neuco(self.probe):
            return ("regression",)
        whole, dense = (
            ("regression", "dense_regression") if self.probe == "ridge" else ("classification", "segmentation")
        )
        return (whole, dense) if self.pooling == "mean" and self.probe != "knn" else (whole,)
