"""Typed, frozen descriptions of models, tasks and recipes, as read from TOML."""

import hashlib
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geofm_eval.catalog.bands import canonical, units_of
from geofm_eval.metric import METRICS
from geofm_eval.paths import escape

Product = Literal["L1C", "L2A", "HLS", "ACOLITE", "GRD", "RTC", "any"]
"""Processing level: of the optical pixels where there are any, else of the radar; ``any`` (controls) accepts all."""

Radar = Literal["GRD", "RTC"]
"""Radar product: ground range detected, or radiometrically terrain corrected; both in dB."""

SLUG = r"^[a-z0-9]+(_[a-z0-9]+)*$"


class Spec(BaseModel):
    """Frozen base: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(Spec):
    """How a model wants its input: ``(clip((x - low) / (high - low)) - mean) / std`` per channel, x in the task's unit.

    ``low`` and ``high`` apply first (clipped to 0..1 when ``clip``), then ``mean`` and ``std`` (one value, or one per
    band in the model's band order). ``kind = "image_clip"`` takes low and high from each image instead: per band, mean
    - 2 sd and mean + 2 sd over its valid pixels, clipped to 0..1. ``kind = "none"`` passes x through and exists for
    controls only.
    """

    kind: Literal["affine", "image_clip", "none"] = "affine"
    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0
    clip: bool = False
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Normalisation":
        fields = {name: field.default for name, field in type(self).model_fields.items()}
        given = [name for name in fields if name not in ("kind", "source") and getattr(self, name) != fields[name]]
        if self.kind != "affine" and given:
            raise ValueError(f"normalisation kind '{self.kind}' takes no {', '.join(given)}")
        return self


class FillMeans(Spec):
    """Band means of a model's pretraining corpus: what stands for a band or pixel that the data lack.

    Args:
        mean: one value per band, in the model's band order.
        unit: unit of the values, each unit once in the order of the bands, such as ``DN`` or ``DN, dB``.
        source: where the values are published.
    """

    mean: tuple[float, ...]
    unit: str
    source: str = Field(min_length=1)


def _is_full_path(name: str) -> bool:
    return PurePosixPath(name).is_absolute() and not name.startswith("/vsi")


class WeightsSpec(Spec):
    """Where a model's weights come from and what they must be.

    Args:
        file: path below ``GEOFM_HOME`` (a file, or a folder for architectures that load folders).
        enum: torchgeo weight enum, such as ``ViTSmall16_Weights.SENTINEL2_ALL_MAE``, the published address.
        url: published address; of a folder, up to and with its last slash.
        parts: names of the files of a folder, published below ``url``; empty for a single file.
        bytes: size of the published file, or of all files of the folder, where known.
        sha256: pinned hash of the weight file, or its first 8 or more digits; checked on every load when given.
        key: name of the state dict in a file that holds several, such as ``model_ema``; see
            :func:`geofm_eval.backbones.checkpoints.read_state_dict`.
        strip_prefix: prefix removed from every key before loading.
        drop: prefixes of keys in the file that the encoder does not have (heads, decoders), after ``strip_prefix``.
        add_prefix: prefix put before every key that is left.
        missing: keys of the model that the file may lack.
        unexpected: keys that the file may have and the model does not, with all prefixes as they then are.
        packaged: True for a file that comes with this package: ``file`` is then below ``geofm_eval/``.
        how_to_get: one sentence for the user, where the address is not public or needs more than a download.
    """

    file: str
    enum: str | None = None
    url: str | None = None
    parts: tuple[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], ...] = ()
    bytes: int | None = Field(default=None, ge=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{8,64}$")
    key: str = ""
    strip_prefix: str = ""
    add_prefix: str = ""
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    packaged: bool = False
    how_to_get: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "WeightsSpec":
        if self.url is not None and bool(self.parts) != self.url.endswith("/"):
            raise ValueError("a folder needs both: parts, and a url that ends in '/'; a single file needs neither")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise ValueError(f"url must begin with https:// or http://, found '{self.url}'")
        if not _is_full_path(self.file) and (reason := escape(self.file)) is not None:
            raise ValueError(f"file = '{self.file[:80]}' {reason}, expected a path below GEOFM_HOME or a full one")
        return self


class ReleaseCriterion(Spec):
    """What a pretrained backbone must at least bring to be worth shipping.

    Args:
        task: stand-in that it is measured on, with a linear probe at the validation-chosen tap.
        gain: smallest gain over its random twin, in the task's metric.
    """

    task: str
    gain: float = Field(gt=0)


class ModelSpec(Spec):
    """One backbone of the catalog.

    Args:
        architecture: a built-in loader (``timm_vit``, ``croma``, ``galileo``, ``band_statistics``, ...) or the
            user's own ``module:function`` (or ``path/to/file.py:function``) that returns a Backbone.
        options: what the architecture's loader takes (validated there).
        depth: number of transformer blocks; 0 for controls without blocks.
        width: feature dimension D; 0 where it follows from the task (band statistics).
        prefix: number of prefix tokens (class, registers); class pooling exists when it is above 0.
        bands: band names in the order that the model expects, or ``("*",)`` for all bands of the task.
        product: product that the model was trained on.
        radar: radar product that the model was trained on, beside optical pixels; None where it reads no radar, or
            where ``product`` says it.
        image_size: pixels per side that the model takes; None takes the data's own size.
        missing: what happens when the task lacks a band: ``refuse``, ``fill`` (with ``fill_means``) or ``mask`` (the
            model leaves the band or its token group out).
        fill_means: band means of the pretraining corpus, apart from the normalisation rule; needed to fill.
        reads: bands that are read from the task, the others of ``bands`` being missing; empty reads all. The variant
            ``<slug>_rgb``, made for every model that may miss bands, reads B04, B03 and B02 alone.
        temporal: True for a model that takes several dates of a place at once.
        smallest: pixels per side of a task below which the model sees nothing, such as the single pixels of a series.
        weights: where the weights are; None for random ones and for a user's own architecture that loads its weights by
            itself, such as with ``from_pretrained``: that has neither ``weights`` nor ``random_seed``.
        random_seed: seed of a random initialisation; set for twins and for controls that are random by nature.
        twin: entry that is the random twin of this one and others; None makes ``<slug>_random``.
        worth: what it must bring at the least; set for backbones that this project pretrained.
        simulated_pretraining: True for weights that have seen simulated scenes alone; tables say so.
        from_scratch: True for a network that has no features before it is trained, such as a UNet: the baseline of
            dense tasks, never probed.
        provenance: ``unverified`` for weights of which nobody can say that they are what they are called: marked in
            tables, hatched in figures, excluded from findings and verdicts.
        provenance_reason: why they are unverified, in a few words.
    """

    slug: str = Field(pattern=SLUG)
    title: str
    family: Literal["joint_embedding", "reconstruction", "multimodal", "supervised", "control"]
    architecture: str
    options: dict[str, Any] = {}
    depth: int = Field(ge=0)
    width: int = Field(ge=0)
    prefix: int = Field(default=0, ge=0)
    bands: tuple[str, ...]
    product: Product
    radar: Radar | None = None
    image_size: int | None = Field(default=None, ge=1)
    missing: Literal["refuse", "fill", "mask"] = "refuse"
    fill_means: FillMeans | None = None
    reads: tuple[str, ...] = ()
    temporal: bool = False
    smallest: int = Field(default=1, ge=1)
    normalisation: Normalisation
    weights: WeightsSpec | None = None
    random_seed: int | None = None
    suites: tuple[str, ...] = ("extended",)
    twin: str | None = None
    worth: ReleaseCriterion | None = None
    simulated_pretraining: bool = False
    from_scratch: bool = False
    provenance: Literal["verified", "unverified"] = "verified"
    provenance_reason: str = ""
    variant_of: str | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    parameters: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        self._check_bands()
        count = len(self.bands)
        for name in ("low", "high", "mean", "std"):
            value = getattr(self.normalisation, name)
            if isinstance(value, tuple) and len(value) != count:
                raise ValueError(f"normalisation.{name} has {len(value)} values, bands has {count}")
        if (self.provenance == "unverified") != bool(self.provenance_reason):
            raise ValueError("provenance = 'unverified' and provenance_reason go together: give both or neither")
        own = ":" in self.architecture
        if self.family != "control" and self.weights is None and self.random_seed is None and not own:
            raise ValueError("weights or random_seed is needed for a model that is no control")
        self._check_fill()
        return self

    def _check_fill(self) -> None:
        found, unit = self.fill_means, units_of(self.bands)
        if found is None:
            if self.missing == "fill":
                raise ValueError(
                    "missing = 'fill' needs fill_means = { mean = [...], unit = '...', source = '...' }, the band "
                    "means of the pretraining corpus; where none are published, use missing = 'refuse'"
                )
        elif len(found.mean) != len(self.bands):
            raise ValueError(f"fill_means.mean has {len(found.mean)} values, bands has {len(self.bands)}")
        elif found.unit != unit:
            raise ValueError(f"fill_means.unit must be '{unit}' for these bands, found '{found.unit}'")

    def _check_bands(self) -> None:
        bands, reads = (tuple(canonical(name) for name in names) for names in (self.bands, self.reads))
        if not bands:
            raise ValueError("bands is empty: name them in the model's order, or '*' for all bands of the task")
        if len(set(bands)) != len(bands) or len(set(reads)) != len(reads):
            raise ValueError(f"bands are named twice: {self.bands}{' or ' + str(self.reads) if reads else ''}")
        if "*" in bands and (len(bands) > 1 or reads):
            raise ValueError("bands '*' stands for all bands of the task and takes no other bands and no reads")
        if not set(reads) <= set(bands):
            raise ValueError(f"reads names {', '.join(sorted(set(reads) - set(bands)))}, which bands does not have")
        if reads and len(reads) < len(bands) and self.missing == "refuse":
            raise ValueError("reads leaves bands out, so missing must be 'fill' or 'mask', found 'refuse'")

    @property
    def taps(self) -> tuple[str, ...]:
        """Ordered tap names: embed, block00.., final; a control without blocks has ``final`` alone."""
        if self.depth == 0:
            return ("final",)
        return ("embed", *(f"block{i:02d}" for i in range(self.depth)), "final")

    @property
    def poolings(self) -> tuple[str, ...]:
        """Poolings that a feature block of this model holds."""
        return ("mean", "cls") if self.prefix else ("mean",)

    @property
    def radar_product(self) -> str | None:
        """Radar product that the model was trained on; None where that is not known."""
        return self.radar or (self.product if self.product in get_args(Radar) else None)

    @property
    def is_control(self) -> bool:
        """True for controls: random twins, band statistics, random convolutions."""
        return self.family == "control"

    @property
    def rgb_only(self) -> bool:
        """True for the variant of a multispectral model that reads red, green and blue alone."""
        return self.variant_of is not None and self.slug == f"{self.variant_of}_rgb"

    @property
    def for_standins(self) -> bool:
        """True for what was made for simulated data: pockets, their twins, networks trained from scratch."""
        return self.simulated_pretraining or self.from_scratch or self.architecture == "pocket"


class Statistics(Spec):
    """Mean and standard deviation of every band of a task, in the task's band order and unit, over training pixels."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    source: str


class TaskSpec(Spec):
    """One task of the catalog: a data set in its on-disk layout, its labels, and how it is scored.

    Args:
        kind: what is predicted: one class or one number per item, or one per pixel (``segmentation``,
            ``dense_regression``).
        version: bumped whenever a published task changes.
        reader: reader of the on-disk layout (``eurosat``).
        root: path below ``GEOFM_HOME``; for stand-ins the path is in the cache.
        options: what the reader takes (``edition``, ``split_lists``).
        bands: band names in file order; each has the unit of :data:`geofm_eval.catalog.bands.BANDS`: ``DN``
            (reflectance x 10,000) for optical bands, ``dB`` for radar.
        radar: radar product of the pixels, beside optical ones; None where there is no radar, or ``product`` says it.
        scale: factor from stored values to the band's unit, one for all bands or one per band.
        offset: added after the scale, one for all bands or one per band (-1000 for DN of processing baseline 04.00 and
            later).
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
        protocol: ``holdout`` (train, val and test), or ``shuffle_splits`` where the data have no official split: forty
            random splits, see :mod:`geofm_eval.data.shuffle_splits`.
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
        self._check_per_band()
        self._check_paths()
        return self

    def _check_per_band(self) -> None:
        values = {
            "statistics.mean": getattr(self.statistics, "mean", None),
            "statistics.std": getattr(self.statistics, "std", None),
            "scale": self.scale,
            "offset": self.offset,
        }
        for name, value in values.items():
            if isinstance(value, tuple) and len(value) != len(self.bands):
                raise ValueError(f"{name} has {len(value)} values, bands has {len(self.bands)}")

    def _check_paths(self) -> None:
        """Refuse names of files that lead out of GEOFM_HOME; the root alone may be an absolute path."""
        root = "" if _is_full_path(self.root) else self.root
        named = {"root": root, **{f"options.{name}": value for name, value in self.options.items()}}
        for name, value in named.items():
            if isinstance(value, str) and value and (reason := escape(value)) is not None:
                raise ValueError(f"{name} = '{value[:80]}' {reason}, expected a name below the folder of the data")

    @property
    def radar_product(self) -> str | None:
        """Radar product of the pixels; None where that is not known."""
        return self.radar or (self.product if self.product in get_args(Radar) else None)

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
