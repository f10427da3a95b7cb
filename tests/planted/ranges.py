"""Records and ranges whose numbers are planted, for the tests of expected ranges."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from geofm_eval.expected import Basis, Data, Key, Origin, Range, Ranges
from geofm_eval.expected.subject import basis_of, key_of
from geofm_eval.records import CaseInfo, Outcome, Record, RunInfo, Score, SeedTraining, Training
from tests.synthetic_run import MODELS, make_record

MODEL = next(model for model in MODELS if model.slug == "galileo_nano")
ORIGIN = Origin(("earlier",), "measured on a quiet afternoon", "0.8.0, commit 0123456789ab", "2026-05-31")
DATA = Data(1, "official", "holdout", {"test": "a" * 64}, {"test": "b" * 64})
BASIS = Basis("c" * 64, DATA, {"metric": "accuracy", "recipe": {"slug": "probing"}})
KEY = Key("probe", "oak-knn-final", "1.0", "cpu", "float32")
RANGE = Range(0.6, 0.62, 0.61, 10, "numeric", BASIS, ORIGIN, choices="21|22", gap=1e-05)


def on_cpu(record: Record, **update: Any) -> Record:
    """The record as one that ran on a CPU, with other fields of its provenance where asked."""
    usual = {"device": {"name": "cpu", "model": None}, "platform": "Linux x86_64"}
    provenance = record.provenance.model_copy(update={**usual, **update})
    return record.model_copy(update={"provenance": provenance})


def probe(value: float, run: str = "new", tap: str = "final", model: Any = MODEL, **update: Any) -> Record:
    """A probe of 400 test items with one label fraction."""
    record, _ = make_record(model, "eurosat_sim", "linear", tap, run)
    score = record.scores["1.0"].model_copy(update={"value": value, "per_draw": (value,), "interval": None})
    choices = tuple(choice for choice in record.selection.choices if choice.fraction == 1.0)
    selection = record.selection.model_copy(update={"choices": choices})
    return on_cpu(record.model_copy(update={"scores": {"1.0": score}, "selection": selection}), **update)


def trained(
    values: Sequence[float],
    run: str = "new",
    model: str = "pocket_mae",
    first_seed: int = 0,
    metric: str = "accuracy",
    items: int = 1000,
    direction: str = "higher",
) -> Record:
    """A tuned case of ``pooled_full_p010`` with these scores of its seeds."""
    base = probe(0.5, run)
    score = Score(
        metric=metric, value=float(np.mean(values)), per_draw=tuple(values), n=items, n_train=200, direction=direction
    )
    weights = {"weights_sha256": f"{len(model):064x}"}
    return base.model_copy(
        update={
            "case": _tuned_case(base, model),
            "training": _training(range(first_seed, first_seed + len(values)), items),
            "scores": {"0.1": score},
            "selection": None,
            "provenance": base.provenance.model_copy(update=weights),
        }
    )


def _tuned_case(base: Record, model: str) -> CaseInfo:
    return base.case.model_copy(
        update={
            "kind": "tune",
            "model": model,
            "adaptation": "pooled_full_p010",
            "layer": "final",
            "id": f"{model}-eurosat_sim-pooled_full_p010-final",
            "markers": ("sim", "trained"),
        }
    )


def _training(seeds: Sequence[int], items: int) -> Training:
    return Training(
        decoder="pooled",
        tuning="full",
        taps=("final",),
        recipe={"slug": "quick_items", "epochs": 20},
        rates=(1e-3,),
        window=64,
        chips={"train": 200, "val": 50, "test": items},
        token_gsd_m=80.0,
        context_m=640.0,
        seeds=tuple(SeedTraining(seed=seed, rate=1e-3, epoch=3, val_score=0.5) for seed in seeds),
    )


def ranges_for(record: Record, fraction: str = "1.0", **numbers: Any) -> Ranges:
    """One range for a record, with numbers of its own."""
    own = replace(RANGE, basis=basis_of(record, fraction), **numbers)
    return Ranges(record.case.task, {key_of(record, fraction): own})


def failed(record: Record, verdict: Any, reason: str = "AssertionError: it failed") -> Record:
    """The record of a case that did not pass."""
    return record.model_copy(update={"outcome": Outcome(status="failed", verdict=verdict, reason=reason)})


def of_run(record: Record, run: str) -> Record:
    """The same of another run."""
    return record.model_copy(update={"run": RunInfo(name=run)})
