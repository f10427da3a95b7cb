"""Tasks of the catalog: their data, their labels, and how they are scored."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geofm_eval.catalog.base import SLUG, Product, Radar, Spec, is_full_path, radar_product
from geofm_eval.metric import METRICS
from geofm_eval.paths import escape


class Statistics(Spec):
    """Mean and standard deviation of every band of a task, in the task's band order and unit, over training pixels."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    source: str


class TaskSpec(Spec):
    """One task of the catalog: a data set in its on-disk layout, its labels, and how it is scored.

    Args:
        kind: what is predicted: a class or number per item, or per pixel (``segmentation``, ``dense_regression``).
        version: bumped whenever a published task changes.
        reader: reader of the on-disk layout (``eurosat``).
        root: path below ``GEOFM_HOME``; for stand-ins the path is in the cache.
        options: what the reader takes (``edition``, ``split_lists``).
        bands: band names in file order; each has the unit of :data:`geofm_eval.catalog.bands.BANDS`: ``DN``
            (reflectance x 10,000) for optical bands, ``dB`` for radar.
        radar: radar product of the pixels, beside optical ones; None where there is no radar, or ``product`` says it.
        scale: factor from stored values to the band's unit, one for all bands or one per band.
        offset: added after the scale, for all bands or per band (-1000 for DN of processing baseline 04.00 and later).
        offset_checked: False where nothing dark is to be seen, so that an undeclared offset cannot be told.
        plausible: per unit (low, high) that the median over an item's bands of this unit must lie in; outside, the
            units are refused.
        nodata: stored value that means no data.
        dates: number of dates of every item of a time series; None for single images.
        pixels: pixels per side of every image, where that may be too few for some models; None otherwise.
        inspect: True where items may lack every valid pixel or label: all are read once, and such items are dropped
            and counted.
        shared_groups: True where the published split puts items of one group into several splits on purpose.
        statistics: for recipes that normalise by the data set; such a recipe refuses a task without them.
        classes: class names; empty for regression.
        ignore: label value of pixels that do not count (dense tasks).
        label_nodata: ``ignore`` where pixels with the nodata value of a label file have no label although the value is
            that of a class; by default a class counts, and a nodata value that is no class has no label.
        target_unit: unit of a regression target, such as ``t/ha``.
        delta: difference that matters, in the metric's own unit: the gate calls a smaller loss no regression. None
            takes one point (0.01) of accuracy, IoU and R2; an RMSE has no such unit and must state it, to be compared.
        target_range: (low, high) that every label of a regression task must lie in.
        protocol: ``holdout`` (train, val, test), or the forty random splits of :mod:`geofm_eval.data.shuffle_splits`.
        standin: name of the generator for a simulated stand-in; None for real data.
        sizes: items per split of a stand-in: train, val, test.
        tier: what it takes to solve a stand-in: ``spectral`` (colours of a pixel, on all its dates), ``texture`` (what
            lies within a patch of 16 pixels), ``arrangement`` (what lies beside what, beyond one patch).
        label_noise: what the generator adds to a stand-in's labels: the share of wrong labels, or the standard
            deviation of the noise as a share of the target's.
        oracle: expected score, in the task's metric, of somebody who knows a stand-in's labels without their noise.
        gsd: metres per pixel.
        design: what is trained on a dense task: ``factorial`` varies decoder, tuning and labels, ``frozen`` compares
            backbones under one decoder.
        tuned: True where backbones are tuned too on a task with one label per item, beside being probed.
        bench_models: models that suite ``bench`` trains on a dense task; empty for all of the suite.
        official_sizes: items per split of the complete data set: train, val, test.
        size: what a user must fetch, such as ``2.1 GB``.
        layout: files below the root that the reader expects, one pattern per line.
    """

    slug: str = Field(pattern=SLUG)
    title: str
    kind: Literal["classification", "regression", "segmentation", "dense_regression"] = "classification"
    metric: str = "accuracy"
    version: int = 1
    reader: str
    root: str = ""
    options: dict[str, Any] = {}
    bands: tuple[str, ...]
    product: Product
    radar: Radar | None = None
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    offset_checked: bool = True
    plausible: dict[str, tuple[float, float]] = {"DN": (20.0, 20_000.0), "dB": (-40.0, 10.0)}
    nodata: float | None = None
    dates: int | None = Field(default=None, ge=1)
    pixels: int | None = Field(default=None, ge=1)
    inspect: bool = False
    shared_groups: bool = False
    statistics: Statistics | None = None
    classes: tuple[str, ...] = ()
    ignore: int = -1
    label_nodata: Literal["ignore"] | None = None
    target_unit: str = ""
    delta: float | None = Field(default=None, gt=0)
    target_range: tuple[float, float] | None = None
    protocol: Literal["holdout", "shuffle_splits"] = "holdout"
    label_fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    draws: int = Field(default=5, ge=1)
    standin: str | None = None
    sizes: tuple[int, int, int] | None = None
    tier: Literal["spectral", "texture", "arrangement"] | None = None
    label_noise: float | None = Field(default=None, ge=0)
    oracle: float | None = None
    official_sizes: tuple[int, int, int] | None = None
    gsd: float = 10.0
    design: Literal["factorial", "frozen"] = "frozen"
    tuned: bool = False
    bench_models: tuple[str, ...] = ()
    suites: tuple[str, ...] = ("extended",)
    variant_of: str | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    size: str = ""
    layout: tuple[str, ...] = ()
    how_to_get: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "TaskSpec":
        if any(not 0 < f <= 1 for f in self.label_fractions):
            raise ValueError(f"label_fractions must lie in (0, 1], found {self.label_fractions}")
        if tuple(sorted(self.label_fractions)) != self.label_fractions:
            raise ValueError(f"label_fractions must ascend, found {self.label_fractions}")
        if self.standin is None and not self.root:
            raise ValueError("root is needed for a task that is no stand-in")
        if self.standin is not None and self.sizes is None:
            raise ValueError("sizes (train, val, test) is needed for a stand-in")
        known = [metric.name for metric in METRICS.values() if self.kind in metric.kinds]
        if self.metric not in known:
            raise ValueError(f"metric of a {self.kind} task must be {' or '.join(known)}, found '{self.metric}'")
        if bool(self.classes) != (self.kind in ("classification", "segmentation")):
            raise ValueError(f"a {self.kind} task {'has no' if self.classes else 'needs'} classes")
        _check_per_band(self)
        _check_paths(self)
        return self

    @property
    def radar_product(self) -> str | None:
        """Radar product of the pixels; None where that is not known."""
        return radar_product(self.radar, self.product)

    @property
    def simulated(self) -> bool:
        """True for stand-ins."""
        return self.standin is not None

    @property
    def seed(self) -> int:
        """Seed of everything random in the task: label subsets, validation plans, resamples; shared by all models."""
        digest = hashlib.sha256(f"{self.slug}/{self.version}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    @property
    def dense(self) -> bool:
        """True when every pixel has a label."""
        return self.kind in ("segmentation", "dense_regression")

    def delta_of(self, metric: str) -> float | None:
        """Difference that matters in a metric; the dense probe of a task has another metric than its trainings."""
        if metric == self.metric and self.delta is not None:
            return self.delta
        return METRICS[metric].delta

    @property
    def numeric(self) -> bool:
        """True when numbers are predicted, of items or of pixels; False for classes."""
        return not self.classes


def _check_per_band(task: TaskSpec) -> None:
    values = {
        "statistics.mean": getattr(task.statistics, "mean", None),
        "statistics.std": getattr(task.statistics, "std", None),
        "scale": task.scale,
        "offset": task.offset,
    }
    for name, value in values.items():
        if isinstance(value, tuple) and len(value) != len(task.bands):
            raise ValueError(f"{name} has {len(value)} values, bands has {len(task.bands)}")


def _check_paths(task: TaskSpec) -> None:
    """Refuse names of files that lead out of GEOFM_HOME; the root alone may be an absolute path."""
    root = "" if is_full_path(task.root) else task.root
    named = {"root": root, **{f"options.{name}": value for name, value in task.options.items()}}
    for name, value in named.items():
        if isinstance(value, str) and value and (reason := escape(value)) is not None:
            raise ValueError(f"{name} = '{value[:80]}' {reason}, expected a name below the folder of the data")
