"""Recipes: settings common to all models of a comparison; and adaptations: how frozen features are probed."""

from typing import Literal

from pydantic import Field, model_validator

from geofm_eval.catalog.base import Slug, Spec


class Recipe(Spec):
    """Settings that a comparison fixes for every backbone.

    Args:
        normalisation: ``native``, that of each model; ``dataset``, the z-score with the task's statistics.
        temporal: how time series are read: ``native``, all dates at once by models that can, else date by date;
            ``per_date``, date by date by all models.
        fill: replacement of missing bands and invalid pixels: the mean of the band over the model's pretraining corpus
            (``fill_means``) if ``normalisation`` is native, else over the task's training pixels.
        version: raised whenever the recipe gives other numbers; no table has records of two versions.
    """

    slug: Slug
    title: str
    version: int = Field(default=1, ge=1)
    normalisation: Literal["native", "dataset"] = "native"
    resize: Literal["native"] = "native"
    temporal: Literal["native", "per_date"] = "native"
    fill: Literal["band_mean"] = "band_mean"
    pooling: Literal["mean"] = "mean"
    val_budget: Literal["matched", "full"] = "matched"


def is_neuco(adaptation: str) -> bool:
    """Return whether it is a probe of NeuCo-Bench: it has its own table, and no rankings, verdicts or ranges."""
    return adaptation.split("_")[0] == "adamw"


Coding = Literal["float32", "int8", "bit", "pca", "first"]
"""Representation of features: as they are, 8 bits or 1 bit per dimension, principal components, first dimensions."""

CODINGS: tuple[Coding, ...] = ("int8", "bit", "pca", "first")
"""Codings that make features smaller."""


AT_SIZE = "at_"
"""Prefix of the test scores by number of dimensions in a coded record: a curve to look at, not a choice."""


def coding_of(adaptation: str) -> Coding:
    """Return the coding that the name of an adaptation ends with; ``float32`` for the original features."""
    last = adaptation.rpartition("_")[2]
    return next((coding for coding in CODINGS if coding == last), "float32")


class Adaptation(Spec):
    """How a frozen backbone is used for a task: a probe, a pooling, and a coding of the features."""

    slug: Slug
    probe: Literal["knn", "linear", "ridge", "adamw", "adamw_mended"]
    pooling: Literal["mean", "cls"]
    coding: Coding = "float32"
    suites: tuple[str, ...] = ("study",)
    variant_of: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Adaptation":
        if self.coding != coding_of(self.slug):
            raise ValueError(f"coding is '{self.coding}', so the name must end in its name, and only then")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of task that the probe is for; tasks with a label per pixel are probed token by token."""
        if is_neuco(self.probe):
            return ("regression",)
        whole, dense = (
            ("regression", "dense_regression") if self.probe == "ridge" else ("classification", "segmentation")
        )
        per_token = self.pooling == "mean" and self.probe != "knn" and self.coding == "float32"
        return (whole, dense) if per_token else (whole,)
