"""Images in one folder per class."""

from collections import Counter
from pathlib import Path

from geofm_eval.data.readers.images import is_image
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.own_splits import split_of
from geofm_eval.looking.sources import OwnSource


def class_folders(root: Path) -> dict[str, list[Path]]:
    """Return the images of every class folder by its name; empty if there are fewer than two.

    Folders below ``train``, ``val`` and ``test`` are classes, if at least two of these exist.
    """
    inside = [path for path in visible(root) if path.is_dir()]
    splits = [path for path in inside if split_of(path.name)]
    if len({split_of(path.name) for path in splits}) > 1:
        inside = [path for split in splits for path in visible(split) if path.is_dir()]
    found: dict[str, list[Path]] = {}
    for folder in inside:
        images = [path for path in visible(folder, "**/*") if is_image(path) and path.is_file()]
        found.setdefault(folder.name, []).extend(images)
    return found if sum(bool(images) for images in found.values()) > 1 else {}


def find(root: Path) -> OwnSource:
    """Return folders of classes as a source."""
    found = class_folders(root)
    kept = {name: images for name, images in sorted(found.items()) if images}
    empty = [name for name in found if name not in kept]
    warnings = [f"folders without images are left out: {', '.join(sorted(empty)[:6])}"] if empty else []
    endings = Counter(path.suffix.lower() for images in kept.values() for path in images)
    if len(endings) > 1:
        shown = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        warnings.append(f"images of several formats ({shown}): check that all have the same bands and unit")
    return OwnSource(
        reader="folder",
        root=root,
        kind="classification",
        classes=tuple(kept),
        products={"": tuple(path for images in kept.values() for path in images)},
        counts={name: len(images) for name, images in kept.items()},
        warnings=tuple(warnings),
    )
