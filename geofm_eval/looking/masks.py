"""Images with a mask per image: how their names pair, and which values the masks store."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.data.readers.images import IMAGES
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.mask_files import MASKS, legend_of, read_legend, read_mask
from geofm_eval.errors import DataError
from geofm_eval.looking.sources import IMAGE_WORDS, MASK_WORDS, Kind, OwnSource

_MASK_NAME = re.compile(r"(?:^|[._\- ])(mask|masks|label|labels|gt|seg|annotation)s?(?=[._\- ]|$)", re.IGNORECASE)
READ = 64
"""Masks that are read."""

MANY_VALUES = 50
"""Distinct values above which a mask holds numbers, not classes."""

NO_LABEL = 255
"""Value that usually marks pixels without a label, if there are others than 0."""


def find(root: Path) -> OwnSource | None:
    """Return images with masks as a source; None if names and folders do not show such pairs.

    Raises:
        DataError: a mask cannot be read.
    """
    options = _folders(root) or _below_splits(root) or _patterns(root)
    if options is None:
        return None
    images, masks = _files(root, options)
    if not images or not masks:
        return None
    return _with_values(root, options, images, masks)


def _folders(root: Path) -> dict[str, str] | None:
    names = {path.name.lower(): path.name for path in visible(root) if path.is_dir()}
    image = next((names[word] for word in IMAGE_WORDS if word in names), None)
    mask = next((names[word] for word in MASK_WORDS if word in names), None)
    return None if image is None or mask is None else {"images": image, "masks": mask}


def _below_splits(root: Path) -> dict[str, str] | None:
    """Patterns for ``train/images/a.tif`` and ``train/masks/a.tif``."""
    found = {tuple((_folders(path) or {}).values()) for path in visible(root) if path.is_dir()}
    if len(found) != 1 or () in found:
        return None
    image, mask = next(iter(found))
    endings = [
        Counter(path.suffix for path in visible(root, f"*/{name}/*") if path.is_file()).most_common(1)
        for name in (image, mask)
    ]
    if not all(endings):
        return None
    return {"image": f"*/{image}/*{endings[0][0][0]}", "mask": f"*/{mask}/*{endings[1][0][0]}"}


def _patterns(root: Path) -> dict[str, str] | None:
    files = [path for path in visible(root, "**/*") if path.is_file() and path.suffix.lower() in IMAGES]
    masks = [path.name for path in files if _MASK_NAME.search(path.stem) and path.suffix.lower() in MASKS]
    images = [path.name for path in files if not _MASK_NAME.search(path.stem)]
    if not masks or not images or len(masks) < len(images) / 2:
        return None
    return {"image": _pattern(images), "mask": _pattern(masks)}


def _pattern(names: Sequence[str]) -> str:
    """``*_mask.tif`` for names with one ending, ``mask_*.png`` for names with one beginning."""
    tail = _beginning(name[::-1] for name in names)[::-1]
    start = re.search(r"[._\-]", tail)
    ending = tail[start.start() :] if start else Path(names[0]).suffix
    if _MASK_NAME.search(Path(ending).stem) or not _MASK_NAME.search(Path(names[0]).stem):
        return f"*{ending}" if not _word(names) else f"{_word(names)}*{ending}"
    return f"{_word(names)}*{ending}"


def _beginning(names: Iterable[str]) -> str:
    """The characters that all names begin with."""
    ordered = sorted(names)
    pairs = zip(ordered[0], ordered[-1], strict=False)
    return "".join(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _word(names: Sequence[str]) -> str:
    """The word with its separator that all names begin with, for example ``mask_``; empty if there is none."""
    match = re.match(r"[A-Za-z]+[._\-]", _beginning(names))
    words = (*MASK_WORDS, *IMAGE_WORDS, "seg")
    return match[0] if match and match[0][:-1].lower() in words else ""


def _files(root: Path, options: Mapping[str, str]) -> tuple[list[Path], list[Path]]:
    if "images" in options:
        images, masks = (
            [
                path
                for path in visible(root / options[name], "**/*")
                if path.is_file() and path.suffix.lower() in endings
            ]
            for name, endings in (("images", IMAGES), ("masks", MASKS))
        )
        return images, masks
    masks = visible(root, options["mask"] if "/" in options["mask"] else f"**/{options['mask']}")
    taken = set(masks)
    images = visible(root, options["image"] if "/" in options["image"] else f"**/{options['image']}")
    return [path for path in images if path not in taken], masks


def _with_values(root: Path, options: dict[str, Any], images: Sequence[Path], masks: Sequence[Path]) -> OwnSource:
    legend = legend_of(masks[0], root)
    names = None if legend is None else list(dict.fromkeys(read_legend(legend).values()))
    values, zeros = _values(masks, root)
    comments = {"options": f"{len(images)} images and {len(masks)} masks"}
    if names is not None:
        return OwnSource("masks", root, "segmentation", tuple(names), {"": tuple(images)}, options, comments)
    if any(value != round(value) for value in values) or len(values) > MANY_VALUES:
        return OwnSource("masks", root, "dense_regression", (), {"": tuple(images)}, options, comments)
    counts = {round(value): count for value, count in values.items()}
    # The reader keeps a nodata value that is a class too: many files declare their class 0 as nodata.
    return _classes(root, options, images, {**({0: zeros} if zeros else {}), **counts}, comments, zeros > 0)


def _classes(
    root: Path,
    options: dict[str, Any],
    images: Sequence[Path],
    values: Mapping[int, int],
    comments: dict[str, str],
    zero_is_nodata: bool,
) -> OwnSource:
    kept = sorted(values)
    if NO_LABEL in kept and len(kept) > 2:
        kept.remove(NO_LABEL)
        options = {**options, "ignore": [NO_LABEL]}
        comments["options"] += f"; {NO_LABEL} is taken as 'no label', remove ignore if it is a class"
    if len(kept) < 2:
        shown = ", ".join(map(str, kept))
        raise DataError(f"{root}: the masks hold one value ({shown}); expected at least two classes, or numbers")
    names = [f"class_{value}" for value in kept]
    if kept != list(range(len(kept))):
        options = {**options, "values": {str(value): name for value, name in zip(kept, names, strict=True)}}
    comments["classes"] = "give the classes their names" + (
        ", here and in options.values" if "values" in options else ""
    )
    kind: Kind = "segmentation"
    counts = {name: values[value] for value, name in zip(kept, names, strict=True)}
    told = "0 is the nodata value of the masks and is kept as class_0; to ignore it, set label_nodata = 'ignore', "
    told += "remove class_0, and map the other values with options.values"
    warnings = (told,) if zero_is_nodata else ()
    return OwnSource("masks", root, kind, tuple(names), {"": tuple(images)}, options, comments, counts, warnings)


def _values(masks: Sequence[Path], root: Path) -> tuple[Counter[float], int]:
    """Pixels by stored value, in some masks spread over all, and the number of zeros that are nodata."""
    found, zeros = Counter[float](), 0
    chosen = np.unique(np.linspace(0, len(masks) - 1, min(READ, len(masks))).astype(int))
    for position in chosen:
        path = masks[int(position)]
        if legend_of(path, root) is not None:
            return found, 0
        raster, _ = read_mask(path, None)
        values = raster.pixels[0][~raster.is_nodata[0]]
        zeros += int(raster.is_nodata.sum()) if raster.nodata == 0 else 0
        values, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        found.update(dict(zip(values.astype(float).tolist(), counts.tolist(), strict=True)))
    return found, zeros
