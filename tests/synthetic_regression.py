"""Made-up records of regression tasks, with a test split or shuffle splits, in addition to those of `synthetic_run`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from geofm_eval.records import IntervalInfo, Record, RunManifest, Score, fraction_key, write_manifest, write_record
from geofm_eval.seeds import generator
from geofm_eval.stats.scores import neuco_q, pooled_r2, r2_interval, r2_per_draw, rmse, shuffle_interval
from tests.synthetic_run import FRACTIONS, N_TEST, Synthetic, make_record

SHUFFLES = 40
UNIT = "t/ha"


def make_regression(
    model: Synthetic, task: str, tap: str, shuffled: bool = False
) -> tuple[Record, dict[str, np.ndarray]]:
    """A ridge record whose R2 is about the model's profile at that tap, less with fewer labels, even negative."""
    record, plain = make_record(model, task, "ridge", tap)
    target = 100 + 30 * generator(task, "target").standard_normal(N_TEST)
    reached = model.profile[model.taps.index(tap)]
    outcomes: dict[str, np.ndarray] = {"ids": plain["ids"], "target": target}
    scores = {}
    for fraction, draws, n_train in FRACTIONS:
        rows = SHUFFLES if shuffled else draws
        unexplained = (1 - reached) * fraction**-0.5
        error = 30 * unexplained**0.5 * generator(model.slug, tap, fraction).standard_normal((rows, N_TEST))
        predicted = (target + error).astype(np.float32)
        if shuffled:
            for number, row in enumerate(predicted):
                row[generator("shuffle", number).random(N_TEST) > 0.1] = np.nan
        key = fraction_key(fraction)
        outcomes[f"prediction_{key}"] = predicted
        scores[key] = _score(predicted, target, n_train, shuffled)
    source = {
        "protocol": "shuffle_splits" if shuffled else "holdout",
        "target_unit": UNIT,
        "dropped": {"all" if shuffled else "test": {"the target is NaN": 2}},
    }
    assert record.selection is not None
    assert record.provenance.inputs is not None
    source["inputs"] = record.provenance.inputs.model_copy(update={"temporal": "per_date", "dates": 4})
    choices = [
        next(one for one in record.selection.choices if (one.fraction, one.draw) == (fraction, number % draws))
        for fraction, draws, _ in FRACTIONS
        for number in range(SHUFFLES if shuffled else draws)
    ]
    numbers = [number for _, draws, _ in FRACTIONS for number in range(SHUFFLES if shuffled else draws)]
    chosen = tuple(replace(one, draw=n) for one, n in zip(choices, numbers, strict=True))
    changes = {
        "scores": scores,
        "selection": record.selection.model_copy(update={"criterion": "squared_error", "choices": chosen}),
        "provenance": record.provenance.model_copy(update=source),
    }
    return record.model_copy(update=changes), outcomes


def _score(predicted: np.ndarray, target: np.ndarray, n_train: int, shuffled: bool) -> Score:
    values = r2_per_draw(predicted, target)
    tested = ~np.isnan(predicted)
    interval = shuffle_interval(predicted, target, n_train) if shuffled else r2_interval(predicted, target)
    assert interval is not None
    extra = {"rmse": rmse(np.broadcast_to(target, predicted.shape)[tested], predicted[tested])}
    if shuffled:
        extra |= {"mean_r2": float(values.mean()), "neuco_q": neuco_q(values)}
    return Score(
        metric="r2",
        value=pooled_r2(predicted, target) if shuffled else float(values.mean()),
        per_draw=tuple(values.tolist()),
        interval=IntervalInfo(**{name: getattr(interval, name) for name in IntervalInfo.model_fields}),
        n=int(tested.any(axis=0).sum()),
        n_train=n_train,
        extra=extra,
    )


def write_regression_run(folder: Path, models: Sequence[Synthetic], task: str, shuffled: bool = False) -> Path:
    """Write the records of all taps, with the list of planned cases."""
    cases = []
    for model in models:
        for tap in model.taps:
            record, outcomes = make_regression(model, task, tap, shuffled)
            write_record(record, outcomes, folder)
            cases.append(f"test_probe[{record.case.id}]")
    write_manifest(folder, RunManifest(name=folder.name, cases=tuple(cases)))
    return folder
