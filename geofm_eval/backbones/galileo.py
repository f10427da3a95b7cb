"""Galileo (Tseng et al. 2025): a ViT over channel groups of Sentinel-1 and 2 on one or several dates, by rslearn."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from geofm_eval.backbones.base import (
    SUBMODULES,
    Backbone,
    Submodule,
    TokenLayout,
    block_parts,
    date_groups,
    recorded_blocks,
    valid_patches,
)
from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.catalog import ModelSpec
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, Unavailable, WeightsError

if TYPE_CHECKING:
    from rslearn.models.galileo.single_file_galileo import Encoder

GROUPS: dict[str, tuple[str, ...]] = {
    "S1": ("VV", "VH"),
    "S2_RGB": ("B02", "B03", "B04"),
    "S2_Red_Edge": ("B05", "B06", "B07"),
    "S2_NIR_10m": ("B08",),
    "S2_NIR_20m": ("B8A",),
    "S2_SWIR": ("B11", "B12"),
}
"""Token groups of Sentinel-1 and 2 in Galileo's order, which is the order of the tokens here too."""

BANDS = tuple(band for bands in GROUPS.values() for band in bands)

OPTICAL = BANDS[len(GROUPS["S1"]) :]

DEFAULTS = {"patch": 8, "month": 6, "num_heads": 8, "mlp_ratio": 4, "max_patch_size": 8}
"""Options of an entry with their defaults, those of the published nano encoder; ``month`` (1 to 12) is used for single
images without a date."""


class Galileo(Backbone):
    """Galileo's encoder on one or several dates of Sentinel-1 and 2.

    A group whose bands the task lacks, and a patch without a valid pixel, do not enter the encoder: their tokens are
    zero and marked invalid. Tokens are group-major: all patches of S1, then all of S2_RGB, and so on; in a series, all
    groups of the first date, then all of the second.

    Args:
        spec: catalog entry.
        encoder: rslearn's encoder.
        groups: names of the entry's token groups in order.
        options: those of ``DEFAULTS``.
        gsd: metres per pixel of the task.
    """

    takes_time = True
    weight_files = ("config.json", "encoder.pt")

    def __init__(
        self, spec: ModelSpec, encoder: "Encoder", groups: tuple[str, ...], options: dict[str, int], gsd: float
    ) -> None:
        super().__init__(spec.taps, encoder.embedding_size)
        self.encoder = encoder
        self.groups = groups
        self.options = options
        self.gsd = gsd
        names = list(encoder.space_time_groups)
        self._slots = [names.index(group) for group in groups]
        self._group_count = len(names)
        self._channels = [channel for group in groups for channel in encoder.space_time_groups[group]]

    @property
    def network(self) -> nn.Module:
        """Galileo's encoder, whose ``state_dict`` is in ``encoder.pt``."""
        return self.encoder

    def read_weights(self, path: Path) -> dict[str, Tensor]:
        """Read a published folder, ``config.json`` and ``encoder.pt``.

        Raises:
            WeightsError: a file is damaged, or the configuration differs from the entry.
        """
        if not path.is_dir():
            raise WeightsError(f"{path}: expected a folder with config.json and encoder.pt, as Galileo is published")
        _check_config(path / "config.json", self._configuration())
        state = read_state_dict(path / "encoder.pt", self.weights_key)
        # Some published files have an additional ".backbone" in their names.
        return {name.replace(".backbone", ""): tensor for name, tensor in state.items()}

    def layout(self, batch: ModelInput) -> TokenLayout:
        """Return a square grid of patches for each group of each date, without prefix tokens.

        Raises:
            ContractError: images are not square, or not divisible into patches.
        """
        height, width = batch.pixels.shape[-2:]
        patch = self.options["patch"]
        if height != width or height % patch:
            raise ContractError(
                f"Galileo takes square images of a multiple of {patch} pixels, found {height} x {width}; "
                "choose another options.patch in its entry"
            )
        groups = date_groups(batch.pixels.shape[1], self.groups) if batch.series else self.groups
        return TokenLayout((height // patch, width // patch), 0, groups)

    def groups_present(self, batch: ModelInput) -> tuple[bool, ...]:
        """Return whether the task has the bands of each group, for every date."""
        dates = batch.pixels.shape[1] if batch.series else 1
        return groups_present(batch.present, self.groups) * dates

    def forward(self, batch: ModelInput) -> dict[str, Tensor]:
        """Run the complete forward pass; see ``Backbone.forward``."""
        seen = self._seen(batch)
        with recorded_blocks(list(self.encoder.blocks)) as found:
            output = self._encode(batch, seen, None)
        taps = {tap: self._group_major(_restored(found[tap], seen)) for tap in self.taps[:-1]}
        return {**taps, "final": self._group_major(output * seen[..., None])}

    def forward_to(self, batch: ModelInput, blocks: int) -> Tensor:
        """Run the embedding and the first ``blocks`` blocks (at least one), then the last norm."""
        if not 1 <= blocks <= len(self.encoder.blocks):
            raise ContractError(f"blocks must be 1 to {len(self.encoder.blocks)}, found {blocks}")
        return self._group_major(self._encode(batch, self._seen(batch), blocks))

    def submodules(self) -> dict[str, Submodule]:
        """Return the parts of every block; see ``Backbone.submodules``. Their tokens are packed, see :meth:`placed`."""
        return block_parts(_block_submodules(block) for block in self.encoder.blocks)

    def placed(self, tokens: Tensor, batch: ModelInput) -> Tensor:
        """Unpack the tokens of a submodule; see ``Backbone.placed``."""
        return self._group_major(_restored(tokens, self._seen(batch)))

    def _seen(self, batch: ModelInput) -> Tensor:
        """Tokens that enter the encoder, in its own order, (B, h, w, T, groups of the encoder) bool."""
        layout = self.layout(batch)
        valid = batch.valid if batch.series else batch.valid[:, None]
        patches = valid_patches(valid.flatten(0, 1), layout.grid)
        patches = patches.reshape(*valid.shape[:2], *layout.grid).permute(0, 2, 3, 1)
        # Attention over no tokens gives NaN, so a sample without a valid pixel is encoded whole and remains invalid.
        patches = patches | ~patches.flatten(1).any(dim=1)[:, None, None, None]
        seen = torch.zeros(*patches.shape, self._group_count, dtype=torch.bool, device=patches.device)
        for slot, present in zip(self._slots, groups_present(batch.present, self.groups), strict=True):
            seen[..., slot] = patches & present
        return seen

    def _encode(self, batch: ModelInput, seen: Tensor, blocks: int | None) -> Tensor:
        """Run the encoder on its nine inputs; return normed space-time tokens (B, h, w, T, groups, D)."""
        patch, like = self.options["patch"], batch.pixels
        given = like if batch.series else like[:, None]
        count, dates, _, height, width = given.shape
        channels = sum(map(len, self.encoder.space_time_groups.values()))
        bands = like.new_zeros(count, height, width, dates, channels)
        bands[..., self._channels] = given.permute(0, 3, 4, 1, 2)
        masked = (~seen).float().repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)
        space, space_mask = _absent(like, (count, height, width), self.encoder.space_groups)
        time, time_mask = _absent(like, (count, dates), self.encoder.time_groups)
        static, static_mask = _absent(like, (count,), self.encoder.static_groups)
        months = _months(batch, self.options["month"], len(self.encoder.pos_embed))
        output = self.encoder(
            bands, space, time, static, masked, space_mask, time_mask, static_mask, months,
            patch_size=patch, input_resolution_m=self.gsd, exit_after=blocks,
        )  # fmt: skip
        tokens: Tensor = output[0]
        return tokens

    def _group_major(self, tokens: Tensor) -> Tensor:
        """(B, h, w, T, groups of the encoder, D) to (B, T * groups of the entry * h * w, D)."""
        return tokens[..., self._slots, :].permute(0, 3, 4, 1, 2, 5).flatten(1, 4)

    def _configuration(self) -> dict[str, int]:
        options = {name: self.options[name] for name in ("num_heads", "mlp_ratio", "max_patch_size")}
        return {"embedding_size": self.width, "depth": len(self.encoder.blocks), **options}


def _months(batch: ModelInput, month: int, most: int) -> Tensor:
    """Month of every date, (B, T) int64 from 0.

    ``month`` (from 1) is used for single images without a date; the encoder has positions for ``most`` dates.
    """
    if batch.dates is not None:
        months = [[day.month - 1 for day in days] for days in batch.dates]
    elif not batch.series:
        months = [[month - 1]] * len(batch.pixels)
    else:
        raise ContractError(
            "Galileo encodes the month of every date, but this series has no dates; add them to the reader's samples, "
            "or use a recipe with temporal = 'per_date'"
        )
    if len(months[0]) > most:
        raise ContractError(
            f"Galileo takes at most {most} dates, the series has {len(months[0])}; choose fewer dates in the task, "
            "or use a recipe with temporal = 'per_date'"
        )
    return torch.tensor(months, device=batch.pixels.device)


def _restored(tokens: Tensor, seen: Tensor) -> Tensor:
    """Return tokens to their positions, (B, h, w, T, groups, D), zero if they were not encoded.

    Args:
        tokens: (B, L, D), the encoded tokens of each sample in order, then padding.
        seen: (B, h, w, T, groups) bool.
    """
    keep = seen.flatten(1)
    kept = torch.arange(tokens.shape[1], device=tokens.device) < keep.sum(dim=1, keepdim=True)
    full = tokens.new_zeros(*keep.shape, tokens.shape[-1])
    full[keep] = tokens[kept]
    return full.reshape(*seen.shape, -1)


def _block_submodules(block: Any) -> dict[str, Submodule]:
    """Parts of a block by their common names; Galileo has separate projections for query, key and value."""
    attention, mlp = block.attn, block.mlp
    modules = (block.norm1, attention.q, attention.k, attention.v, attention.proj, block.norm2, mlp.fc1, mlp.fc2)
    return {name: Submodule(module) for name, module in zip(SUBMODULES, modules, strict=True)}


def build(spec: ModelSpec, adapter: InputAdapter) -> Galileo:
    """Build an entry's encoder with random weights; ``options`` may set those of ``DEFAULTS``.

    Raises:
        Unavailable: rslearn is not installed.
        ContractError: unsupported bands, options, size or width, or a task with only a part of a group.
    """
    options = _options(spec)
    if adapter.bands not in (BANDS, OPTICAL):
        raise ContractError(
            f"{spec.slug}: bands must be {', '.join(BANDS)} (or begin with {OPTICAL[0]}, without radar), "
            f"found {', '.join(adapter.bands)}"
        )
    groups = tuple(group for group, bands in GROUPS.items() if bands[0] in adapter.bands)
    groups_present(adapter.present, groups)
    if spec.depth < 1 or spec.width % options["num_heads"] or spec.width % 16 or not spec.width or spec.prefix:
        raise ContractError(
            f"{spec.slug}: expected prefix = 0, a depth of at least 1 and a width divisible by 16 and num_heads, found "
            f"prefix = {spec.prefix}, depth = {spec.depth}, width = {spec.width}, num_heads = {options['num_heads']}"
        )
    if adapter.model.image_size is not None:
        raise ContractError(f"{spec.slug}: Galileo encodes ground distance, so image_size must stay unset")
    try:
        from rslearn.models.galileo.single_file_galileo import Encoder
    except ImportError:
        how = "Install the extra: pip install 'geofm-eval[galileo]'"
        raise Unavailable("package", "rslearn", how) from None
    encoder = Encoder(
        embedding_size=spec.width,
        depth=spec.depth,
        num_heads=options["num_heads"],
        mlp_ratio=options["mlp_ratio"],
        max_patch_size=options["max_patch_size"],
    )
    return Galileo(spec, encoder, groups, options, adapter.task.gsd)


def groups_present(present: tuple[bool, ...], groups: tuple[str, ...]) -> tuple[bool, ...]:
    """Return which groups have data.

    Args:
        present: whether the task has each band of the groups.
        groups: names of the groups in order.

    Raises:
        ContractError: only some bands of a group have data; in training, groups were either complete or masked.
    """
    flags = dict(zip((band for group in groups for band in GROUPS[group]), present, strict=True))
    for group in groups:
        bands = GROUPS[group]
        absent = [band for band in bands if not flags[band]]
        if absent and len(absent) < len(bands):
            raise ContractError(
                f"the task has only a part of Galileo's group {group} ({', '.join(bands)}): {', '.join(absent)} missing"
                ". Galileo masks whole groups; remove the group's other bands from the task, or choose another task"
            )
    return tuple(flags[GROUPS[group][0]] for group in groups)


def _options(spec: ModelSpec) -> dict[str, int]:
    unknown = sorted(set(spec.options) - set(DEFAULTS))
    if unknown:
        raise ContractError(f"{spec.slug}: unknown options {unknown} for galileo; known: {', '.join(DEFAULTS)}")
    options = {**DEFAULTS, **spec.options}
    if not 1 <= options["month"] <= 12 or not 1 <= options["patch"] <= options["max_patch_size"]:
        limit = options["max_patch_size"]
        raise ContractError(f"{spec.slug}: month must be 1 to 12 and patch 1 to {limit}, found {options}")
    return options


def _check_config(path: Path, expected: dict[str, int]) -> None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]["encoder"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: no Galileo configuration ({error!r}); fetch the folder again") from None
    wrong = [
        f"{name}: file {found.get(name)}, entry {value}" for name, value in expected.items() if found.get(name) != value
    ]
    if wrong:
        raise WeightsError(f"{path}: the configuration differs from the entry ({'; '.join(wrong)}); choose its entry")


def _absent(like: Tensor, shape: tuple[int, ...], groups: dict[str, list[int]]) -> tuple[Tensor, Tensor]:
    """Zeros and a full mask for inputs that are not given: (*shape, channels) and (*shape, groups)."""
    return like.new_zeros(*shape, sum(map(len, groups.values()))), like.new_ones(*shape, len(groups))
