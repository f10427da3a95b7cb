"""Models of the catalog: architecture, input and weights."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geofm_eval.catalog.bands import canonical, units_of
from geofm_eval.catalog.base import Finite, Name, Product, Radar, Slug, Spec, is_full_path, radar_product
from geofm_eval.catalog.embeddings import (
    PIXELS,
    TABLE,
    EmbeddingProduct,
    TableOptions,
    check_one_product,
    files_of,
    filled_in,
    read_options,
)
from geofm_eval.paths import escape
from geofm_eval.plurals import counted

Commercial = Literal["yes", "no", "ask"]
"""Whether a licence permits commercial use; ``ask``: read its terms, or ask the publisher."""


class Normalisation(Spec):
    """Normalisation of a model's input: ``(clip((x - low) / (high - low)) - mean) / std``, x in the task's unit.

    ``low`` and ``high`` apply first (clipped to 0..1 if ``clip``), then ``mean`` and ``std`` (one value, or one per
    band, in order). ``kind = "image_clip"`` takes low and high from each image: per band, mean - 2 sd and mean +
    2 sd over its valid pixels, clipped to 0..1. ``kind = "none"`` does nothing, for controls only.
    """

    kind: Literal["affine", "image_clip", "none"] = "affine"
    low: Finite | tuple[Finite, ...] = 0.0
    high: Finite | tuple[Finite, ...] = 1.0
    clip: bool = False
    mean: Finite | tuple[Finite, ...] = 0.0
    std: Finite | tuple[Finite, ...] = 1.0
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Normalisation":
        fields = {name: field.default for name, field in type(self).model_fields.items()}
        given = [name for name in fields if name not in ("kind", "source") and getattr(self, name) != fields[name]]
        if self.kind != "affine" and given:
            raise ValueError(f"normalisation kind '{self.kind}' does not take {', '.join(given)}")
        return self


class FillMeans(Spec):
    """Band means of a model's pretraining corpus, which replace missing bands and pixels.

    Args:
        mean: one value per band, in the model's order.
        unit: units of the values, each once in the order of the bands, for example ``DN`` or ``DN, dB``.
        source: publication of the values.
    """

    mean: tuple[Finite, ...]
    unit: str
    source: str = Field(min_length=1)


class WeightsSpec(Spec):
    """Source and content of a model's weights.

    Args:
        file: path below ``GEOFM_HOME`` (a file, or a folder for architectures that load folders).
        enum: torchgeo weight enum with the published address, for example ``ViTSmall16_Weights.SENTINEL2_ALL_MAE``.
        url: published address; for a folder, it ends in a slash.
        parts: names of the files of a folder, published below ``url``; empty for a single file.
        bytes: size of the published file, or of all files of the folder, if known.
        sha256: pinned hash of the weight file, or its first 8 or more digits; checked on every load.
        key: name of the state dict in a file with several, for example ``model_ema``; see
            :func:`geofm_eval.backbones.checkpoints.read_state_dict`.
        strip_prefix: prefix removed from every key before loading.
        drop: prefixes of keys in the file that the encoder does not have (heads, decoders), after ``strip_prefix``.
        add_prefix: prefix put before every remaining key.
        missing: keys of the model that the file may lack.
        unexpected: keys of the file that the model may lack, after all changes of prefixes.
        packaged: the file is part of this package; ``file`` is then below ``geofm_eval/``.
        how_to_get: one sentence for the user, if the address is not public or needs more than a download.
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
        if not is_full_path(self.file) and (reason := escape(self.file)) is not None:
            raise ValueError(f"file = '{self.file[:80]}' {reason}, expected a path below GEOFM_HOME or an absolute one")
        return self


class ReleaseCriterion(Spec):
    """Requirement for shipping a pretrained backbone.

    Args:
        task: stand-in that it is measured on, with a linear probe at the tap chosen on validation.
        gain: required gain over its random twin, in the task's metric.
    """

    task: str
    gain: float = Field(gt=0)


class ModelSpec(Spec):
    """One backbone of the catalog.

    Args:
        architecture: a built-in loader (``timm_vit``, ``croma``, ``galileo``, ``band_statistics``, ...) or the
            user's own ``module:function`` (or ``path/to/file.py:function``) that returns a Backbone.
        options: options of the architecture's loader (validated there).
        depth: number of transformer blocks; 0 for controls without blocks.
        width: feature dimension D; 0 if it follows from the task (band statistics).
        prefix: number of prefix tokens (class, registers); class pooling exists if it is above 0.
        bands: band names in the order that the model expects, or ``("*",)`` for all bands of the task.
        product: product that the model was trained on.
        radar: radar product that the model was trained on in addition to optical pixels; None without radar, or if
            ``product`` names it.
        image_size: pixels per side of the model's input; None for the size of the data.
        missing: what to do if the task lacks a band: ``refuse``, ``fill`` (with ``fill_means``) or ``mask`` (the model
            leaves out the band or its token group).
        fill_means: band means of the pretraining corpus, independent of the normalisation; required for ``fill``.
        reads: bands that are read from the task, the others of ``bands`` are missing; empty for all. The variant
            ``<slug>_rgb``, made for every model that may miss bands, reads only B04, B03 and B02.
        temporal: whether the model takes several dates of a place at once.
        smallest: minimum pixels per side of a task's images; single pixels of a series are too small for most models.
        weights: source of the weights; None for random ones, and for a user's architecture that loads weights itself,
            for example with ``from_pretrained``, which has neither ``weights`` nor ``random_seed``.
        random_seed: seed of a random initialisation; set for twins and random controls.
        twin: entry that is the random twin of this one and others; None creates ``<slug>_random``.
        worth: requirement for shipping; set for backbones that this project pretrained.
        simulated_pretraining: whether the weights were pretrained on simulated scenes only; tables mark it.
        from_scratch: whether the network has no features before training, like a UNet: a baseline of dense tasks that
            is never probed.
        provenance: ``unverified`` for weights whose identity cannot be verified: marked in tables, hatched in figures,
            excluded from findings and verdicts.
        provenance_reason: why they are unverified, in a few words.
        commercial: whether the licence permits commercial use; ``ask`` if it has terms of its own or is unknown.
        commercial_source: the licence's words, or the address of its text; required for ``yes`` and ``no``.
        tasks: the only tasks that the model is measured on; empty for all. Required for embeddings from files, which
            have rows for some tasks only.
        embedding: what is known of embeddings that were computed elsewhere.
        notes: sentences that are printed with every result of the model.
    """

    slug: Slug
    title: str
    family: Literal["joint_embedding", "reconstruction", "multimodal", "supervised", "control", "embedding"]
    architecture: str
    options: dict[str, Any] = {}
    depth: int = Field(ge=0, le=1_000)
    width: int = Field(ge=0, le=1_000_000)
    prefix: int = Field(default=0, ge=0, le=10_000)
    bands: tuple[Name, ...]
    product: Product
    radar: Radar | None = None
    image_size: int | None = Field(default=None, ge=1, le=100_000)
    missing: Literal["refuse", "fill", "mask"] = "refuse"
    fill_means: FillMeans | None = None
    reads: tuple[Name, ...] = ()
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
    tasks: tuple[str, ...] = ()
    embedding: EmbeddingProduct = EmbeddingProduct()
    notes: tuple[str, ...] = ()
    variant_of: str | None = None
    licence: str = ""
    commercial: Commercial = "ask"
    commercial_source: str = ""
    citation: str = ""
    source: str = ""
    parameters: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_network(cls, fields: Any) -> Any:
        """Fields of tables and rasters of embeddings that follow from the architecture need not be given."""
        if isinstance(fields, dict) and fields.get("architecture") in (TABLE, PIXELS):
            return filled_in(fields)
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        self._check_bands()
        count = len(self.bands)
        for name in ("low", "high", "mean", "std"):
            value = getattr(self.normalisation, name)
            if isinstance(value, tuple) and len(value) != count:
                raise ValueError(
                    f"normalisation.{name} has {counted(len(value), 'value')}, expected {count}, one per band"
                )
        if (self.provenance == "unverified") != bool(self.provenance_reason):
            raise ValueError("provenance = 'unverified' needs provenance_reason, and the reverse: give both or neither")
        own = ":" in self.architecture or self.without_network
        if self.family != "control" and self.weights is None and self.random_seed is None and not own:
            raise ValueError("a model that is not a control needs weights or random_seed")
        if self.commercial != "ask" and not self.commercial_source:
            raise ValueError(
                f"commercial = '{self.commercial}' needs commercial_source, the words or the address of the licence"
            )
        self._check_fill()
        if self.without_network:
            self._check_embeddings()
        return self

    def _check_embeddings(self) -> None:
        options = read_options(self.architecture, self.options)
        check_one_product(self.embedding, files_of(options))
        if self.weights is not None or self.random_seed is not None or self.prefix:
            raise ValueError(
                f"architecture '{self.architecture}' has no network: remove weights, random_seed and prefix"
            )
        if self.precomputed and self.bands:
            raise ValueError("embeddings from files read no bands: remove bands")
        if self.precomputed and not self.tasks:
            raise ValueError("tasks is missing: name the tasks that the embeddings have rows for, tasks = ['...']")

    def _check_fill(self) -> None:
        found, unit = self.fill_means, units_of(self.bands)
        if found is None:
            if self.missing == "fill":
                raise ValueError(
                    "missing = 'fill' needs fill_means = { mean = [...], unit = '...', source = '...' }, the band "
                    "means of the pretraining corpus; if none are published, use missing = 'refuse'"
                )
        elif len(found.mean) != len(self.bands):
            raise ValueError(
                f"fill_means.mean has {counted(len(found.mean), 'value')}, expected {len(self.bands)}, one per band"
            )
        elif found.unit != unit:
            raise ValueError(f"fill_means.unit must be '{unit}' for these bands, found '{found.unit}'")

    def _check_bands(self) -> None:
        bands, reads = (tuple(canonical(name) for name in names) for names in (self.bands, self.reads))
        if not bands and not self.precomputed:
            raise ValueError("bands is empty: name them in the model's order, or '*' for all bands of the task")
        if len(set(bands)) != len(bands) or len(set(reads)) != len(reads):
            raise ValueError(f"bands are named twice: {self.bands}{' or ' + str(self.reads) if reads else ''}")
        if "*" in bands and (len(bands) > 1 or reads):
            raise ValueError("bands '*' stands for all bands of the task: remove other bands and reads")
        if not set(reads) <= set(bands):
            raise ValueError(f"reads has {', '.join(sorted(set(reads) - set(bands)))}, which is not in bands")
        if reads and len(reads) < len(bands) and self.missing == "refuse":
            raise ValueError("reads leaves bands out, so missing must be 'fill' or 'mask', found 'refuse'")

    @property
    def taps(self) -> tuple[str, ...]:
        """Tap names in order: embed, block00.., final; a control without blocks has only ``final``."""
        if self.architecture == TABLE:
            return tuple(TableOptions.model_validate(self.options).by_tap())
        if self.depth == 0:
            return ("final",)
        return ("embed", *(f"block{i:02d}" for i in range(self.depth)), "final")

    @property
    def poolings(self) -> tuple[str, ...]:
        """Poolings of this model's feature blocks."""
        return ("mean", "cls") if self.prefix else ("mean",)

    @property
    def radar_product(self) -> str | None:
        """Radar product that the model was trained on; None if unknown."""
        return radar_product(self.radar, self.product)

    @property
    def without_network(self) -> bool:
        """Whether it has no network: a table or a raster of embeddings, or the pixels themselves."""
        return self.architecture in (TABLE, PIXELS)

    @property
    def precomputed(self) -> bool:
        """Whether its features are read from files by sample, and not computed from a task's pixels."""
        return self.architecture == TABLE or (self.architecture == PIXELS and "raster" in self.options)

    @property
    def is_control(self) -> bool:
        """Whether it is a control: random twin, band statistics, random convolutions."""
        return self.family == "control"

    @property
    def rgb_only(self) -> bool:
        """Whether it is the variant of a multispectral model that reads only red, green and blue."""
        return self.variant_of is not None and self.slug == f"{self.variant_of}_rgb"

    @property
    def for_standins(self) -> bool:
        """Whether it was made for simulated data: pockets, their twins, networks trained from scratch."""
        return self.simulated_pretraining or self.from_scratch or self.architecture == "pocket"
