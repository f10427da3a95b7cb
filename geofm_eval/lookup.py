"""Features of a split from files of embeddings, written in the format of extracted features."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.backbones.base import LoadedBackbone
from geofm_eval.data.embeddings.source import Looked, Source, check_complete
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.split import Split
from geofm_eval.errors import DataError
from geofm_eval.extraction import DTYPE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lookup:
    """One split of a task whose features are read from files, written to a folder provided by the store.

    Args:
        loaded: the entry.
        adapter: describes the input.
        splits: all splits of the task: missing and surplus rows are counted over all of them.
        name: the split that is written.
    """

    loaded: LoadedBackbone
    adapter: InputAdapter
    splits: Mapping[str, Split]
    name: str

    def write(self, folder: Path) -> dict[str, Any]:
        """Write all arrays and the ids; return the content of ``block.json`` except the checksums.

        Peak memory is that of one tap over the samples of the task, for a file of any size.
        """
        source, split, started = Source(self.loaded.spec), self.splits[self.name], time.perf_counter()
        items = [item for one in self.splits.values() for item in one.items]
        first = sum(len(one) for one in list(self.splits.values())[: list(self.splits).index(self.name)])
        counts: dict[str, Any] = {"rows": {}, "surplus": {}, "missing": {}}
        for found in source.looked_up(items):
            check_complete(source, split.task, found, items)
            rows = slice(first, first + len(split))
            np.save(folder / f"{found.tap}.mean.npy", _filled(found.features[rows], found.absent[rows]))
            counts["rows"][found.tap], counts["surplus"][found.tap] = found.rows, found.surplus
            counts["missing"][found.tap] = int(found.absent.sum())
            self._tell(found, len(items))
        (folder / "ids.json").write_text(json.dumps(split.ids), encoding="utf-8")
        self._check_unchanged(source)
        meta = {**self._meta(time.perf_counter() - started), **counts}
        return {"taps": self.loaded.spec.taps, "poolings": self.loaded.spec.poolings, "meta": meta}

    def _tell(self, found: Looked, samples: int) -> None:
        missing, slug = int(found.absent.sum()), self.loaded.spec.slug
        if self.name == next(iter(self.splits)) and (found.surplus or missing):
            log.info(
                "%s, tap %s: %d of %d rows belong to no sample; %d of %d samples have no row and get the mean of "
                "their split", slug, found.tap, found.surplus, found.rows, missing, samples,
            )  # fmt: skip

    def _check_unchanged(self, source: Source) -> None:
        self.splits[self.name].check_unchanged()
        if source.sha256() != self.loaded.weights_sha256:
            raise DataError(
                f"{source.title}: the file changed during the run. Nothing was stored. Wait until no process writes to "
                "it, then try again"
            )

    def _meta(self, seconds: float) -> dict[str, Any]:
        split = self.splits[self.name]
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
