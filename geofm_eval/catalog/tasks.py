"""Tasks of the catalog: data, labels and scoring."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geofm_eval.catalog.base import Finite, Name, Product, Radar, Slug, Spec, is_full_path, radar_product
from geofm_eval.metric import METRICS
from geofm_eval.paths import escape
from geofm_eval.plurals import counted

OWN_READERS = ("folder", "table", "masks", "vector")
"""Readers of a user's own data; a reader ``file.py:function`` is one too."""

COLUMN_OPTIONS = ("label", "id", "column", "group")
"""Options of own data that name a column, for example ``system:index``, or are a regular expression: not paths."""

UNKNOWN = "?"
"""Name of a band that the user still has to name."""


Size = Annotated[int, Field(ge=0, le=10_000_000)]
"""Number of samples that a stand-in makes."""


class Statistics(Spec):
    """Mean and standard deviation of every band over training pixels, in the task's band order and unit."""

    mean: tuple[Finite, ...]
    std: tuple[Annotated[Finite, Field(gt=0)], ...]
    source: str


class PublishedFile(Spec):
    """One published file of a data set.

    Args:
        name: file name below the root of the data set.
        url: published address.
        md5: published checksum.
        unpacked: for a zip archive, the path below the root that exists once it is unpacked; empty for other files.
    """

    name: str = Field(pattern=r"^\w[\w.-]*$")
    url: str = Field(pattern=r"^https?://")
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")
    unpacked: str = ""


class TaskSpec(Spec):
    """One task of the catalog.

    Args:
        kind: what is predicted: a class or number per sample, or per pixel (``segmentation``, ``dense_regression``).
        version: raised whenever a published task changes.
        reader: reader of the on-disk layout (``eurosat``), a generic reader of own data (``folder``, ``table``,
            ``masks``, ``vector``), or the user's own ``file.py:function``.
        root: path below ``GEOFM_HOME``; for stand-ins, in the cache.
        options: options of the reader (``edition``, ``split_lists``).
        bands: band names in file order; units as in :data:`geofm_eval.catalog.bands.BANDS`: ``DN`` (reflectance x
            10,000) for optical bands, ``dB`` for radar.
        radar: radar product of the pixels in addition to optical ones; None without radar, or if ``product`` names it.
        scale: factor from stored values to the band's unit, for all bands or per band.
        offset: added after the scale, for all bands or per band (-1000 for DN of processing baseline 04.00 and later).
        offset_checked: False if images have no dark surfaces, so that an undeclared offset cannot be detected.
        plausible: per unit, (low, high) for the median over a sample's bands of this unit; others are rejected.
        nodata: stored value that means no data.
        dates: number of dates of every sample of a time series; None for single images.
        pixels: pixels per side of every image, if they may be too few for some models; None otherwise.
        inspect: whether samples may lack valid pixels or labels; all are then read once, and such samples dropped and
            counted.
        shared_groups: whether the published split deliberately puts samples of one group into several splits.
        statistics: for recipes that normalise by the data set, which reject a task without them.
        classes: class names; empty for regression.
        ignore: label value of pixels that do not count (dense tasks).
        label_nodata: ``ignore`` if pixels with the nodata value of a label file have no label although the value is a
            class; by default a class counts, and a nodata value that is not a class means no label.
        label_year: year that the labels describe; compared with the year of embedding products.
        label_source: ``model`` if the labels are the output of another model; tables say so.
        target_unit: unit of a regression target, for example ``t/ha``.
        delta: smallest relevant difference, in the metric's unit: the gate does not call a smaller loss a regression.
            None means one point (0.01) for accuracy, IoU and R2; without it, an RMSE is not compared.
        target_range: (low, high) of valid labels of a regression task.
        protocol: ``holdout`` (train, val, test), or the forty random splits of :mod:`geofm_eval.data.shuffle_splits`.
            Own data: ``folds`` (five-fold cross-validation), or ``auto`` (default), which takes folds for few samples.
        split: how own data are divided: ``given`` (by the data), ``group``, ``blocks`` (spatial), ``random`` or
            ``auto``, which takes the first of these that is possible.
        block_m: side of spatial blocks in metres; None derives it from the data.
        standin: name of the generator for a simulated stand-in; None for real data.
        sizes: samples per split of a stand-in: train, val, test.
        tier: information that solves a stand-in: ``spectral`` (values of a pixel on all dates), ``texture`` (within a
            patch of 16 pixels), ``arrangement`` (beyond one patch).
        label_noise: noise in a stand-in's labels: proportion of wrong labels, or standard deviation relative to that of
            the target.
        oracle: expected score, in the task's metric, of a prediction with the stand-in's labels before noise.
        gsd: metres per pixel.
        design: trainings on a dense task: ``factorial`` varies decoder, tuning and labels, ``frozen`` compares
            backbones with one decoder.
        tuned: whether backbones are also tuned on a task with one label per sample, and not only probed.
        bench_models: models that suite ``bench`` trains on a dense task; empty for all of the suite.
        official_sizes: samples per split of the complete data set: train, val, test.
        size: size of the download, for example ``2.1 GB``.
        layout: files below the root that the reader expects, one pattern per line.
        files: published files that ``geofm-eval fetch`` downloads; empty if no public address with a checksum is known.
    """

    slug: Slug
    title: str
    kind: Literal["classification", "regression", "segmentation", "dense_regression"] = "classification"
    metric: str = "accuracy"
    version: int = 1
    reader: str
    root: str = ""
    options: dict[str, Any] = {}
    bands: tuple[Name, ...]
    product: Product
    radar: Radar | None = None
    scale: Finite | tuple[Finite, ...] = 1.0
    offset: Finite | tuple[Finite, ...] = 0.0
    offset_checked: bool = True
    plausible: dict[str, tuple[float, float]] = {"DN": (20.0, 20_000.0), "dB": (-40.0, 10.0)}
    nodata: float | None = None
    dates: int | None = Field(default=None, ge=1)
    pixels: int | None = Field(default=None, ge=1)
    inspect: bool = False
    shared_groups: bool = False
    statistics: Statistics | None = None
    classes: tuple[Name, ...] = ()
    ignore: int = -1
    label_nodata: Literal["ignore"] | None = None
    label_year: int | None = None
    label_source: Literal["model"] | None = None
    target_unit: str = ""
    delta: Finite | None = Field(default=None, gt=0)
    target_range: tuple[float, float] | None = None
    protocol: Literal["holdout", "shuffle_splits", "folds", "auto"] = "holdout"
    split: Literal["auto", "given", "group", "blocks", "random"] = "auto"
    block_m: Finite | None = Field(default=None, gt=0)
    label_fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    draws: int = Field(default=5, ge=1, le=1_000)
    standin: str | None = None
    sizes: tuple[Size, Size, Size] | None = None
    tier: Literal["spectral", "texture", "arrangement"] | None = None
    label_noise: Finite | None = Field(default=None, ge=0)
    oracle: Finite | None = None
    official_sizes: tuple[int, int, int] | None = None
    gsd: Finite = Field(default=10.0, gt=0)
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
    files: tuple[PublishedFile, ...] = ()
    how_to_get: str = ""

    @model_validator(mode="before")
    @classmethod
    def _own_protocol(cls, fields: Any) -> Any:
        """Own data are cross-validated if they are few, unless the entry says otherwise."""
        if isinstance(fields, dict) and "protocol" not in fields and is_own(str(fields.get("reader", ""))):
            return {**fields, "protocol": "auto"}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> "TaskSpec":
        if any(not 0 < f <= 1 for f in self.label_fractions):
            raise ValueError(f"label_fractions must be in (0, 1], found {self.label_fractions}")
        if tuple(sorted(self.label_fractions)) != self.label_fractions:
            raise ValueError(f"label_fractions must be ascending, found {self.label_fractions}")
        if self.standin is None and not self.root:
            raise ValueError("a task that is not a stand-in needs root")
        if self.standin is not None and self.sizes is None:
            raise ValueError("a stand-in needs sizes (train, val, test)")
        known = [metric.name for metric in METRICS.values() if self.kind in metric.kinds]
        if self.metric not in known:
            raise ValueError(f"metric of a {self.kind} task must be {' or '.join(known)}, found '{self.metric}'")
        if bool(self.classes) != (self.kind in ("classification", "segmentation")):
            raise ValueError(f"a {self.kind} task {'takes no' if self.classes else 'needs'} classes")
        _check_per_band(self)
        _check_paths(self)
        _check_division(self)
        return self

    @property
    def own(self) -> bool:
        """Whether the data are a user's own, read by a generic reader or the user's code."""
        return is_own(self.reader)

    @property
    def radar_product(self) -> str | None:
        """Radar product of the pixels; None if unknown."""
        return radar_product(self.radar, self.product)

    @property
    def simulated(self) -> bool:
        """Whether it is a stand-in."""
        return self.standin is not None

    @property
    def seed(self) -> int:
        """Seed of label subsets, validation plans and resamples; shared by all models."""
        digest = hashlib.sha256(f"{self.slug}/{self.version}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    @property
    def dense(self) -> bool:
        """Whether every pixel has a label."""
        return self.kind in ("segmentation", "dense_regression")

    @property
    def options_without_target(self) -> dict[str, Any]:
        """Options of the reader that determine samples and pixels, whatever is predicted of them."""
        if self.reader != "table":
            return {name: value for name, value in self.options.items() if name != "target"}
        found = {name: value for name, value in self.options.items() if name not in ("label", "labels")}
        if isinstance(columns := found.pop("columns", {}), dict):
            columns = {role: column for role, column in columns.items() if role != "label"}
        return {**found, "columns": columns} if columns else found

    def delta_of(self, metric: str) -> float | None:
        """Return the smallest relevant difference; the dense probe of a task can have another metric than trainings."""
        if metric == self.metric and self.delta is not None:
            return self.delta
        return METRICS[metric].delta

    @property
    def numeric(self) -> bool:
        """Whether numbers are predicted, for samples or pixels, instead of classes."""
        return not self.classes


def is_own(reader: str) -> bool:
    """Return whether a reader is for a user's own data."""
    return reader in OWN_READERS or ".py:" in reader


def _check_division(task: TaskSpec) -> None:
    """Reject settings of own data on other tasks, and protocols of published data on own data."""
    if not task.own and (task.split != "auto" or task.block_m is not None or task.protocol in ("auto", "folds")):
        raise ValueError(
            f"split, block_m and the protocols auto and folds are for own data (reader {', '.join(OWN_READERS)} or "
            f"file.py:function), found reader '{task.reader}': remove them"
        )
    if task.own and task.protocol == "shuffle_splits":
        raise ValueError("protocol = 'shuffle_splits' is for NeuCo-Bench; use folds, holdout or auto for own data")


def _check_per_band(task: TaskSpec) -> None:
    per_band = {
        "statistics.mean": getattr(task.statistics, "mean", None),
        "statistics.std": getattr(task.statistics, "std", None),
        "scale": task.scale,
        "offset": task.offset,
    }
    for name, value in per_band.items():
        if isinstance(value, tuple) and len(value) != len(task.bands):
            raise ValueError(f"{name} has {counted(len(value), 'value')}, expected {len(task.bands)}, one per band")


def _check_paths(task: TaskSpec) -> None:
    """Reject paths that lead out of GEOFM_HOME; only the root may be absolute."""
    root = "" if is_full_path(task.root) else task.root
    columns = COLUMN_OPTIONS if task.own else ()
    named = [("root", root)]
    for name, value in task.options.items():
        if name not in columns:
            named += [(f"options.{name}", one) for one in (_listed(value) if name == "file" else [value])]
    for name, value in named:
        if isinstance(value, str) and value and (reason := escape(value)) is not None:
            raise ValueError(f"{name} = '{value[:80]}' {reason}, expected a name below the folder of the data")


def _listed(option: Any) -> list[Any]:
    """Names of one file, of a list of files, or of a file per split."""
    if isinstance(option, dict):
        return list(option.values())
    return list(option) if isinstance(option, list | tuple) else [option]
