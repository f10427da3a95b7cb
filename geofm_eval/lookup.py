"""Features of a split from files of embeddings, written in the format of extracted features."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.data.embeddings.source import EmbeddingSource, Looked, check_complete
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import Split
from geofm_eval.errors import DataError
from geofm_eval.extraction import DTYPE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lookup:
    """Splits of a task whose features are read from files, which are read once for all splits.

    Args:
        loaded: the entry.
        adapter: describes the input.
        splits: all splits of the task: missing and surplus rows are counted over all of them.
    """

    loaded: LoadedBackbone
    adapter: InputAdapter
    splits: Mapping[str, Split]

    def write(self, folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
        """Write all arrays and the ids of some splits to a folder each, provided by the store.

        Peak memory is that of one tap over the samples of the task, for a file of any size.

        Returns:
            Content of ``block.json`` except the checksums, by split.
        """
        source, started = EmbeddingSource(self.loaded.spec), time.perf_counter()
        items = [item for one in self.splits.values() for item in one.items]
        counts: dict[str, Any] = {"rows": {}, "surplus": {}, "missing": {}}
        for found in source.looked_up(items):
            check_complete(source, next(iter(self.splits.values())).task, found, items)
            for name, rows in self._rows():
                if name in folders:
                    features = _filled(found.features[rows], found.absent[rows])
                    np.save(folders[name] / f"{found.tap}.mean.npy", features)
            counts["rows"][found.tap], counts["surplus"][found.tap] = found.rows, found.surplus
            counts["missing"][found.tap] = int(found.absent.sum())
            self._tell(found, len(items))
        for name, folder in folders.items():
            (folder / "ids.json").write_text(json.dumps(self.splits[name].ids), encoding="utf-8")
        self._check_unchanged(source, folders)
        seconds, spec = time.perf_counter() - started, self.loaded.spec
        return {
            name: {"taps": spec.taps, "poolings": spec.poolings, "meta": {**self._meta(name, seconds), **counts}}
            for name in folders
        }

    def _rows(self) -> Iterator[tuple[str, slice]]:
        """Rows of every split among the samples of all splits."""
        first = 0
        for name, split in self.splits.items():
            yield name, slice(first, first + len(split))
            first += len(split)

    def _tell(self, found: Looked, samples: int) -> None:
        missing, slug = int(found.absent.sum()), self.loaded.spec.slug
        if found.surplus or missing:
            log.info(
                "%s, tap %s: %d of %d rows belong to no sample; %d of %d samples have no row and get the mean of "
                "their split", slug, found.tap, found.surplus, found.rows, missing, samples,
            )  # fmt: skip

    def _check_unchanged(self, source: EmbeddingSource, names: Iterable[str]) -> None:
        for name in names:
            self.splits[name].check_unchanged()
        if source.sha256() != self.loaded.weights_sha256:
            raise DataError(
                f"{source.title}: the file changed during the run. Nothing was stored. Wait until no process writes to "
                "it, then try again"
            )

    def _meta(self, name: str, seconds: float) -> dict[str, Any]:
        split = self.splits[name]
        return {
            "items": len(split),
            "seconds": seconds,
            "images_per_second": len(split) / seconds,
            "batch_size": None,
            "device": "cpu",
            "dtype": DTYPE,
            "peak_memory_bytes": None,
            "valid_share": 1.0,
            "channels": [],
            "model": self.loaded.spec.slug,
            "data": f"{split.task.slug}/{split.name}",
            "weights_sha256": self.loaded.weights_sha256,
            "items_sha256": split.items_sha256,
            "inputs": self.adapter.report.as_dict(),
        }


def _filled(features: npt.NDArray[np.float32], absent: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Features (n, D) in which absent rows have the mean of the others, which tells a probe nothing."""
    if not absent.any():
        return features
    known = features[~absent]
    if not len(known):
        raise DataError("all samples of a split have no embedding; set options.missing to a smaller number")
    return np.where(absent[:, None], known.mean(axis=0, dtype=np.float64).astype(np.float32), features)
